# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which machines a scaling step concerns, and the one plan that the services' plans make together. Pure.

Knows no service's protocol: services answer with plans, this module decides who is contacted and in which
order the parts run. The parts:

- `balance`: keeps the pools (asked first: they know who is a member),
- `look`: might join, leave, or serve somebody who does; its firewall is read before anything is decided, and with
  `look_app`, `look_redis` what runs there,
- `join`: is prepared and started before it is added anywhere,
- `drop`: stays, and stops what the inventory took from it and no pool knows (a pool's member is refused),
- `serve`: lets a joining or leaving host in or out by its firewall,
- `members`: keeps the lease of a cluster that is changed,
- `leave`: is stopped and cleaned, wholly or in part, after nobody uses it any more,
- `retire`: is a balancer that goes; its clients have been led elsewhere before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import scaling as redis

LOOK = "steelyard_look"
"""The variable, given with -e, that names hosts to look at beside those that a step would concern."""

TAKING = frozenset({"drain", "remove"})
MOVING = TAKING | {"add"}
STOPPING = frozenset({"stop", "remove", "drop class", "prune", "clean"})
SHUTTING_OUT = frozenset({"remove_elements"})


@dataclass(frozen=True)
class Located:
    """A cluster whose members know each other: who speaks for it, what is to be changed, and who keeps its lease.

    `cluster` is its wanted state in JSON types. `knows`: it exists. `left`: a killed run left its lease or a temporary
    setting, which are taken over and put back even when no step is left to do. `primary` is where a new replica finds who
    leads, as its role is told; empty where that is nobody's business.
    """

    service: str
    name: str
    coordinator: str
    plan: Plan
    hosts: tuple[str, ...]
    cluster: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    knows: bool = True
    left: bool = False
    primary: str = ""

    @property
    def busy(self) -> bool:
        """Whether there is something to do."""
        return self.left or bool(self.plan.steps)

    def as_work(self) -> dict[str, Any]:
        """Return, in JSON types, what the tasks that change it need to know."""
        return {
            "service": self.service, "name": self.name, "coordinator": self.coordinator, "hosts": list(self.hosts),
            "cluster": dict(self.cluster), "plan": self.plan.summary(),
        }  # fmt: skip


@dataclass(frozen=True)
class Looks:
    """Whom to look at before a plan can be made, in inventory order; and on which of them at a service."""

    hosts: tuple[str, ...]
    app: frozenset[str] = frozenset()
    redis: frozenset[str] = frozenset()

    def parts(self, host: str) -> list[str]:
        """Return what one host is asked for."""
        own = {"look": self.hosts, "look_app": self.app, "look_redis": self.redis}
        return [part for part, names in own.items() if host in names]


def leaving(host: Host) -> bool:
    """Return whether the inventory takes the applications of this host away."""
    return host.state_of("app") == "leaving"


def looks(fleet: Fleet, pool_plans: Iterable[Plan], clusters: Iterable[Located] = ()) -> Looks:
    """Return the hosts that must be read before a scaling plan can be made.

    These are the hosts that a pool or a cluster would gain or lose, those that leave, those with instances that are in
    no pool and no cluster (only they know what runs there), those that the operator names, and whoever lets one of
    them in by its firewall. Raises Refused when a named one is not in the inventory.
    """
    names = {h.name for h in fleet.hosts}
    asked = set(asked_for(fleet))
    app = {s.args["host"] for p in pool_plans for s in p.steps if s.verb in MOVING} & names
    app |= {h.name for h in fleet.hosts if leaving(h)}
    app |= set(services.hosts_outside_pools(fleet)) | asked
    data = {h for c in clusters for h in redis.joining(c.plan)} & names
    data |= {h.name for h in fleet.hosts if "redis" in services.leaving(fleet, h)}
    going = {h.name for h in fleet.group("load_balancers") if h.state_of("nginx") == "leaving"}
    serving = set(hosts_serving(fleet, app | data | going))
    # One that runs by itself joins nothing that its host's other groups are in.
    alone = redis.alone(fleet)
    serving |= set(_letting_in(fleet, {g for groups in alone.values() for g in groups}))
    data |= alone.keys()
    moving = app | data
    runs = {n for n in moving | serving if services.runs_applications(fleet, fleet.host(n))}
    data |= {n for n in asked if "redis" in services.services_of(fleet, fleet.host(n))}
    found = tuple(h.name for h in fleet.hosts if h.name in moving | serving)
    return Looks(found, frozenset(app | runs), frozenset(data))


def hosts_to_look_at(fleet: Fleet, pool_plans: Iterable[Plan], clusters: Iterable[Located] = ()) -> tuple[str, ...]:
    """Return, in inventory order, the hosts that `looks` names."""
    return looks(fleet, pool_plans, clusters).hosts


def asked_for(fleet: Fleet) -> tuple[str, ...]:
    """Return the hosts that `steelyard_look` names, or `all` with an application; raises Refused for an unknown one.

    Where a host that stays has lost a class without a pool, neither the inventory nor a balancer remembers that it was
    there: only the host knows. site.yml and verify.yml, which ask every host, say so, and name this variable.
    """
    stated = next((str(h.vars[LOOK]) for h in fleet.hosts if h.vars.get(LOOK)), "")
    names = [name.strip() for name in stated.split(",") if name.strip()]
    if names == ["all"]:
        return tuple(h.name for h in fleet.hosts if services.runs_applications(fleet, h))
    unknown = [name for name in names if name not in {h.name for h in fleet.hosts}]
    if unknown:
        remedy = "name hosts of the inventory, with a comma between them, or all"
        raise Refused("a host to look at is in the inventory", ", ".join(unknown), remedy, LOOK)
    return tuple(names)


def hosts_serving(fleet: Fleet, moving: Iterable[str]) -> tuple[str, ...]:
    """Return the hosts with a listener that names a group of one of the `moving` hosts."""
    return _letting_in(fleet, {g for name in moving for g in fleet.host(name).groups})


def _letting_in(fleet: Fleet, groups: AbstractSet[str]) -> tuple[str, ...]:
    return tuple(
        h.name for h in fleet.hosts if any(groups & set(listener.groups) for listener in services.listeners(fleet, h))
    )


@dataclass(frozen=True)
class Answers:
    """What the machines answered: plans of pools and clusters, and by host those of its services and its firewall.

    `balancers` serve: they answered, have nginx, and are neither leaving nor in maintenance. `retiring` are those that
    leave and still have nginx. `lease_left`: a killed run left the pools' lease, which is taken over and given back
    even when no step is left to do.
    """

    pools: tuple[Plan, ...] = ()
    app: Mapping[str, Plan] = field(default_factory=dict)
    firewall: Mapping[str, Plan] = field(default_factory=dict)
    balancers: tuple[str, ...] = ()
    retiring: tuple[str, ...] = ()
    lease_left: bool = False
    clusters: tuple[Located, ...] = ()
    redis: Mapping[str, Plan] = field(default_factory=dict)

    @property
    def plans(self) -> tuple[Plan, ...]:
        """Every plan, of pools and clusters first."""
        of_hosts = (*self.app.values(), *self.redis.values(), *self.firewall.values())
        return (*(c.plan for c in self.clusters), *self.pools, *of_hosts)

    def builds(self, host: Host) -> bool:
        """Return whether something is to be made or started on a host."""
        here = [self.redis, *([] if leaving(host) else [self.app])]
        return any(s.verb not in STOPPING for plans in here for s in _steps(plans, host.name))

    def drops(self, host: Host) -> bool:
        """Return whether a host that stays is to stop applications."""
        return not leaving(host) and any(s.verb in STOPPING for s in _steps(self.app, host.name))

    def stops(self, host: Host) -> bool:
        """Return whether something is stopped on a host after nobody uses it any more."""
        apps = leaving(host) and bool(_steps(self.app, host.name))
        return apps or any(s.verb in STOPPING for s in _steps(self.redis, host.name))


def _steps(plans: Mapping[str, Plan], host: str) -> tuple[Step, ...]:
    return plans[host].steps if host in plans else ()


def parts(fleet: Fleet, answers: Answers) -> dict[str, tuple[str, ...]]:
    """Return the parts of each host that has something to do; `look` is over by then."""
    # All balancers take part when one does: they hold the lease together, and prove together.
    busy = answers.lease_left or any(p.steps for p in answers.pools)
    somebody_leaves = any(leaving(h) or services.leaving(fleet, h) for h in fleet.hosts)
    members = {host for cluster in answers.clusters if cluster.busy for host in cluster.hosts}
    found: dict[str, tuple[str, ...]] = {}
    for host in fleet.hosts:
        builds, gates = answers.builds(host), _steps(answers.firewall, host.name)
        gone = leaving(host) if not services.services_of(fleet, host) else services.gone(fleet, host)
        # The role base, which prepares who joins, lets in who leaves until that is drained.
        serves = bool(gates) and not gone and (somebody_leaves or not builds)
        own = {
            "retire": host.name in answers.retiring,
            "balance": busy and host.name in answers.balancers and host.name not in answers.retiring,
            "members": host.name in members,
            "join": builds,
            "drop": answers.drops(host),
            "leave": answers.stops(host) or bool(gates and gone),
            "serve": serves,
        }
        if any(own.values()):
            found[host.name] = tuple(part for part, has in own.items() if has)
    return found


def assemble(fleet: Fleet, answers: Answers) -> Plan:
    """Return the whole scaling plan in the order in which it is run.

    Start what joins, let it in, add it, drain and remove what leaves, stop that, shut it out; clusters of data before
    pools, whose members use them. What a host that stays has lost is stopped before the pools change: a run that is
    killed later would not look at that host again.
    """
    found = parts(fleet, answers)
    joining, dropping, serving, leavers = (
        [h for h, own in found.items() if p in own] for p in ("join", "drop", "serve", "leave")
    )
    members = tuple(s for p in answers.pools for s in p.steps)
    gates = _steps_of(answers.firewall, serving)
    opening = {name for s in gates if s.verb not in SHUTTING_OUT and s.verb != "persist" for name in s.hosts}
    going = [h for h in leavers if leaving(fleet.host(h))]
    steps = (
        *(s for s in _steps_of(answers.redis, joining) if s.verb not in STOPPING),
        *(s for s in _steps_of(answers.app, (h for h in joining if h not in going)) if s.verb not in STOPPING),
        *(s for s in _steps_of(answers.app, dropping) if s.verb in STOPPING),
        *(s for s in gates if s.hosts[0] in opening and s.verb not in SHUTTING_OUT),
        *(_of(c, step) for c in answers.clusters for step in c.plan.steps),
        *(s for s in members if s.verb not in TAKING),
        *(s for s in members if s.verb in TAKING),
        *_steps_of(answers.app, going),
        *(s for s in _steps_of(answers.redis, leavers) if s.verb in STOPPING),
        *(_retire(host) for host in answers.retiring),
        *(s for s in gates if s.hosts[0] not in opening or s.verb in SHUTTING_OUT),
        *_steps_of(answers.firewall, (h for h in leavers if h not in serving)),
    )
    everything = answers.plans
    return Plan(
        service="fleet",
        cluster="main",
        steps=steps,
        refusals=(*(r for p in everything for r in p.refusals), *_moved(fleet, members)),
        notes=(*dict.fromkeys(n for p in everything for n in p.notes), *_prepared(joining), *_silent(fleet, answers)),
        fingerprint=fingerprint([p.fingerprint for p in everything], [s.id for s in steps]),
    )


def _of(cluster: Located, step: Step) -> Step:
    """Return a cluster's step as it is told among those of others."""
    return replace(step, id=f"{cluster.service}/{cluster.name}/{step.id}", subject=f"{step.subject} in {cluster.name}")


def _moved(fleet: Fleet, members: Iterable[Step]) -> tuple[Refusal, ...]:
    """Refuse to take a member from a host that stays, without the inventory saying that it leaves.

    Its firewall no longer knows the port, and would shut the balancers out before they have drained it.
    """
    stay = {h.name for h in fleet.hosts if not leaving(h)}
    # The planner of the pools names a member by its endpoint when the inventory no longer places it on its host.
    moved = sorted({s.args["host"] for s in members if s.verb in TAKING and "@" in s.id} & stay)
    remedy = (
        "undo that change, mark {0} app_state: leaving, run scale.yml; then change it, mark it present, run it again"
    )
    return tuple(
        Refusal("a host that serves loses a port, address or group only after it left", name, remedy.format(name))
        for name in moved
    )


def _retire(host: str) -> Step:
    detail = "stopped after its last request, package and files removed"
    return Step(f"retire/{host}", "retire", f"nginx on {host}", detail, disruption="brief", hosts=(host,))


def _prepared(joining: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{host} is prepared by the role base first: packages, limits, firewall" for host in joining)


def _silent(fleet: Fleet, answers: Answers) -> tuple[str, ...]:
    """Say whose leaving stays undone: a machine that only seems dead goes on with what it runs."""
    apps = (h for h in fleet.hosts if leaving(h) and services.runs_applications(fleet, h) and h.name not in answers.app)
    data = (h for h in fleet.hosts if "redis" in services.leaving(fleet, h) and h.name not in answers.redis)
    return tuple(
        f"{name} leaves and does not answer: nothing is stopped or removed there"
        for name in dict.fromkeys(h.name for h in (*apps, *data))
    )


def _steps_of(plans: Mapping[str, Plan], hosts: Iterable[str]) -> tuple[Step, ...]:
    """Return the steps of these hosts' plans, each said to be on its host."""
    return tuple(_on(step, host) for host in hosts if host in plans for step in plans[host].steps)


def _on(step: Step, host: str) -> Step:
    return replace(step, id=f"{host}/{step.id}", subject=f"{step.subject} on {host}", hosts=(host,))
