# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which machines a scaling step concerns, and the one plan that the services' plans make together. Pure.

Knows no service's protocol: services answer with plans, this module decides who is contacted and in which
order the parts run. The parts:

- `balance`: keeps the pools (asked first: they know who is a member),
- `look`: might join, leave, or serve somebody who does; read before anything is decided,
- `join`: is prepared and started before it is added anywhere,
- `drop`: stays, and stops what the inventory took from it and no pool knows (a pool's member is refused),
- `serve`: lets a joining or leaving host in or out by its firewall,
- `leave`: is stopped and cleaned after nobody uses it any more,
- `retire`: is a balancer that goes; its clients have been led elsewhere before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step

LOOK = "steelyard_look"
"""The variable, given with -e, that names hosts to look at beside those that a step would concern."""

TAKING = frozenset({"drain", "remove"})
MOVING = TAKING | {"add"}
STOPPING = frozenset({"stop", "remove", "drop class", "prune", "clean"})
SHUTTING_OUT = frozenset({"remove_elements"})


def leaving(host: Host) -> bool:
    """Return whether the inventory takes the applications of this host away."""
    return host.state_of("app") == "leaving"


def hosts_to_look_at(fleet: Fleet, pool_plans: Iterable[Plan]) -> tuple[str, ...]:
    """Return, in inventory order, the hosts that must be read before a scaling plan can be made.

    These are the hosts that a pool would gain or lose, those that leave, those whose classes are in no pool (only
    they know what runs there), those that the operator names, and whoever lets one of them in by its firewall. Raises
    Refused when a named one is not in the inventory.
    """
    names = {h.name for h in fleet.hosts}
    moving = {s.args["host"] for p in pool_plans for s in p.steps if s.verb in MOVING} & names
    moving |= {h.name for h in fleet.hosts if leaving(h)}
    moving |= set(services.hosts_outside_pools(fleet)) | set(asked_for(fleet))
    going = {h.name for h in fleet.group("load_balancers") if h.state_of("nginx") == "leaving"}
    serving = set(hosts_serving(fleet, moving | going))
    return tuple(h.name for h in fleet.hosts if h.name in moving | serving)


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
    groups = {g for name in moving for g in fleet.host(name).groups}
    return tuple(
        h.name for h in fleet.hosts if any(groups & set(listener.groups) for listener in services.listeners(fleet, h))
    )


@dataclass(frozen=True)
class Answers:
    """What the machines answered, as plans by host.

    `balancers` serve: they answered, have nginx, and are neither leaving nor in maintenance. `retiring` are those that
    leave and still have nginx. `lease_left`: a killed run left its lease, which is taken over and given back even
    when no step is left to do.
    """

    pools: tuple[Plan, ...] = ()
    app: Mapping[str, Plan] = field(default_factory=dict)
    firewall: Mapping[str, Plan] = field(default_factory=dict)
    balancers: tuple[str, ...] = ()
    retiring: tuple[str, ...] = ()
    lease_left: bool = False

    def has_steps(self, host: str) -> bool:
        """Return whether the applications or the firewall of a host are not as they should be."""
        return any(host in plans and plans[host].steps for plans in (self.app, self.firewall))


def parts(fleet: Fleet, answers: Answers) -> dict[str, tuple[str, ...]]:
    """Return the parts of each host that has something to do: balance, retire, join, drop, leave, serve."""
    # All balancers take part when one does: they hold the lease together, and prove together.
    busy = answers.lease_left or any(p.steps for p in answers.pools)
    somebody_leaves = any(leaving(h) for h in fleet.hosts)
    found: dict[str, tuple[str, ...]] = {}
    for host in fleet.hosts:
        own = []
        if host.name in answers.retiring:
            own.append("retire")
        elif busy and host.name in answers.balancers:
            own.append("balance")
        if leaving(host):
            own += ["leave"] if answers.has_steps(host.name) else []
        elif host.name in answers.app and answers.app[host.name].steps:
            stops = [s.verb in STOPPING for s in answers.app[host.name].steps]
            own += ["join"] if not all(stops) else []
            own += ["drop"] if any(stops) else []
            gates = host.name in answers.firewall and answers.firewall[host.name].steps
            if gates and (somebody_leaves or "join" not in own):
                own.append("serve")  # the role base, which prepares it, lets in who leaves until that is drained
        elif answers.has_steps(host.name):
            own.append("serve")
        if own:
            found[host.name] = tuple(own)
    return found


def assemble(fleet: Fleet, answers: Answers) -> Plan:
    """Return the whole scaling plan in the order in which it is run.

    Start what joins, let it in, add it, drain and remove what leaves, stop that, shut it out. What a host that stays
    has lost is stopped before the pools change: a run that is killed later would not look at that host again.
    """
    found = parts(fleet, answers)
    joining, dropping, serving, leavers = (
        [h for h, own in found.items() if p in own] for p in ("join", "drop", "serve", "leave")
    )
    members = tuple(s for p in answers.pools for s in p.steps)
    gates = _steps_of(answers.firewall, serving)
    opening = {name for s in gates if s.verb not in SHUTTING_OUT and s.verb != "persist" for name in s.hosts}
    steps = (
        *(s for s in _steps_of(answers.app, joining) if s.verb not in STOPPING),
        *(s for s in _steps_of(answers.app, dropping) if s.verb in STOPPING),
        *(s for s in gates if s.hosts[0] in opening and s.verb not in SHUTTING_OUT),
        *(s for s in members if s.verb not in TAKING),
        *(s for s in members if s.verb in TAKING),
        *_steps_of(answers.app, leavers),
        *(_retire(host) for host in answers.retiring),
        *(s for s in gates if s.hosts[0] not in opening or s.verb in SHUTTING_OUT),
        *_steps_of(answers.firewall, (h for h in leavers if h not in serving)),
    )
    everything = (*answers.pools, *answers.app.values(), *answers.firewall.values())
    return Plan(
        service="fleet",
        cluster="main",
        steps=steps,
        refusals=(*(r for p in everything for r in p.refusals), *_moved(fleet, members)),
        notes=(*dict.fromkeys(n for p in everything for n in p.notes), *_prepared(joining), *_silent(fleet, answers)),
        fingerprint=fingerprint([p.fingerprint for p in everything], [s.id for s in steps]),
    )


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
    leavers = (h for h in fleet.hosts if leaving(h) and services.runs_applications(fleet, h))
    return tuple(
        f"{h.name} leaves and does not answer: nothing is stopped or removed there"
        for h in leavers
        if h.name not in answers.app
    )


def _steps_of(plans: Mapping[str, Plan], hosts: Iterable[str]) -> tuple[Step, ...]:
    """Return the steps of these hosts' plans, each said to be on its host."""
    return tuple(_on(step, host) for host in hosts if host in plans for step in plans[host].steps)


def _on(step: Step, host: str) -> Step:
    return replace(step, id=f"{host}/{step.id}", subject=f"{step.subject} on {host}", hosts=(host,))
