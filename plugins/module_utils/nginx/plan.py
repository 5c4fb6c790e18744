# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a cluster of balancers: what each must do so that all have the wanted members. Pure, values in and out.

Every step is about one member of one pool and carries the line that the member has before (by balancer) and after.
A member's lines in the order of its steps are its chain: live state that is anywhere on it belongs to this plan, so
a killed run goes on under the same plan, and anything else means that somebody else has been at work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import (
    DOWN,
    REMOVED,
    SERVICE,
    UP,
    Member,
    Pool,
)
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool, Server
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration

PHASES: Mapping[str, tuple[str, ...]] = {
    "add": ("load", "add", "set", "enable", "unhold"),
    "drain": ("drain", "disable", "hold"),
    "remove": ("remove", "forget"),
}
"""The verbs of each phase, in order. All changes of one phase on one balancer go into one reload."""

VERBS = tuple(verb for verbs in PHASES.values() for verb in verbs)
RELOAD_SECONDS = 1.0

_DETAILS = {
    "load": "its members are written but not in force: reload",
    "add": "healthy from every balancer first, then requests reach it",
    "set": "its line is set to what the inventory says",
    "enable": "takes requests again",
    "unhold": "takes requests again",
    "drain": "no new requests, then wait until no connection is left, at most {deadline}",
    "disable": "no new requests, then wait until no connection is left, at most {deadline}; stays a member",
    "hold": "no new requests for now, then wait until no connection is left, at most {deadline}",
    "remove": "its line is deleted",
    "forget": "the note of an ended hold, whose member is gone, is removed",
}


def phase_of(verb: str) -> str:
    """Return the phase in which a verb is done; raises KeyError for a verb that is not one of ours."""
    return {verb: phase for phase, verbs in PHASES.items() for verb in verbs}[verb]


def in_phases(steps: Iterable[Step], phase: str) -> tuple[Step, ...]:
    """Return the steps of one phase, or of `all`, in plan order."""
    return tuple(s for s in steps if phase in ("all", phase_of(s.verb)))


@dataclass
class _Draft:
    """A step that gathers the balancers that need it (`hosts`) and the line before on every balancer."""

    verb: str
    pool: Pool
    member: Member | None = None
    after: Server | None = None
    before: dict[str, Server | None] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)

    def need(self, host: str, line: Server | None) -> None:
        self.hosts.append(host)
        self.before[host] = line

    @property
    def name(self) -> str:
        return self.member.name if self.member else ""

    def step(self) -> Step:
        args: dict[str, Any] = {"pool": self.pool.name}
        if self.member:
            lines = {host: line.as_dict() if line else None for host, line in self.before.items()}
            after = self.after.as_dict() if self.after else None
            args |= {"host": self.member.host, "endpoint": self.member.endpoint, "before": lines, "after": after}
        subject = f"{self.name} in {self.pool.name}" if self.member else self.pool.name
        return Step(
            id="/".join(filter(None, (self.verb, self.pool.name, self.name))),
            verb=self.verb,
            subject=f"{subject} on {', '.join(self.hosts)}",
            detail=_DETAILS[self.verb].format(deadline=format_duration(self.pool.drain_deadline)),
            seconds=None if phase_of(self.verb) == "drain" else RELOAD_SECONDS,
            hosts=tuple(self.hosts),
            args=args,
        )


class _Departed(Member):
    """A line whose host the inventory knows, at a port or address that it no longer states."""

    @property
    def name(self) -> str:
        """Told from the host's present members, which may have the same port at another address."""
        return f"{self.host}@{self.endpoint}"


def _departed(pool: Pool, balancers: Iterable[Balancer]) -> tuple[_Departed, ...]:
    """Return the members that a pool is to lose because their host is no longer stated to serve there."""
    stated, known = {m.endpoint for m in pool.members}, set(pool.known_hosts)
    found: dict[str, _Departed] = {}
    for balancer in balancers:
        for server in balancer.pools.get(pool.name, SeenPool()).servers:
            if server.endpoint not in stated and server.host in known:
                found.setdefault(server.endpoint, _Departed(server.host, server.address, server.port, REMOVED))
    return tuple(found[endpoint] for endpoint in sorted(found))


def make_plan(wanted: Sequence[Pool], seen: Sequence[Balancer], cluster: str = "main") -> Plan:
    """Return what turns the pools that the balancers show into the wanted ones, or why nothing may be done."""
    usable = [b for b in seen if b.in_service]
    drafts = [draft for pool in wanted for draft in _drafts(pool, [b for b in usable if pool.name in b.pools])]
    forgotten = _forgotten(wanted, usable)
    steps = (*(d.step() for d in sorted(drafts, key=lambda d: VERBS.index(d.verb))), *forgotten)
    last = last_balancer_refusal(seen)
    alive = (*_silent(seen), *_stopped(seen), *((last,) if last else ()))
    return Plan(
        service=SERVICE,
        cluster=cluster,
        steps=steps,
        refusals=(*alive, *_strangers(wanted, usable), *_capacity(wanted, usable, steps)),
        notes=tuple(_notes(wanted, seen)),
        fingerprint=plan_fingerprint(wanted, steps),
    )


def _drafts(pool: Pool, balancers: Sequence[Balancer]) -> list[_Draft]:
    """Return the steps for one pool: first what is only written, then member by member in inventory order."""
    stale = [b.host for b in balancers if not b.pools[pool.name].loaded]
    found = [_Draft("load", pool, hosts=stale)] if stale else []
    for member in (*pool.members, *_departed(pool, balancers)):
        drafts: dict[str, _Draft] = {}
        for balancer in balancers:
            line = balancer.pools[pool.name].server(member.endpoint)
            for verb, after in _verbs(pool, member, line, (pool.name, member.endpoint) in balancer.held):
                drafts.setdefault(verb, _Draft(verb, pool, member, after)).need(balancer.host, line)
                line = after
        for draft in drafts.values():
            for balancer in balancers:
                draft.before.setdefault(balancer.host, balancer.pools[pool.name].server(member.endpoint))
        found += drafts.values()
    return found


def _verbs(pool: Pool, member: Member, line: Server | None, held: bool) -> list[tuple[str, Server | None]]:
    """Return the verbs, each with the line after it, that bring one member's line where it should be.

    A member with an open undo note always has a step, if only to put the note away. A member in maintenance that has
    no line gets none before it returns.
    """
    wanted = pool.server_of(member)
    if wanted is None:
        drained = pool.server_of(replace(member, state=DOWN))
        gone: list[tuple[str, Server | None]] = [("remove", None)]
        if line is None:
            return gone if held else []
        return gone if line.down else [("drain", drained), *gone]
    if line is None:
        return [("add", wanted)] if member.state == UP else [("remove", None)] if held else []
    settled = "enable" if member.state == UP else "disable"
    if line == wanted:
        return [(settled, wanted)] if held else []
    return [("set" if line.down == wanted.down else settled, wanted)]


def _forgotten(wanted: Iterable[Pool], balancers: Sequence[Balancer]) -> tuple[Step, ...]:
    """Return the steps for notes that no member's step puts away: their pool or their line is gone."""
    stated = {(p.name, m.endpoint) for p in wanted for m in p.members}
    found: dict[tuple[str, str], list[str]] = {}
    for balancer in balancers:
        for pool, endpoint in balancer.held:
            if _is_orphan(balancer, pool, endpoint, (pool, endpoint) in stated):
                found.setdefault((pool, endpoint), []).append(balancer.host)
    return tuple(
        Step(
            id=f"forget/{pool}/{endpoint}", verb="forget", subject=f"{endpoint} in {pool} on {', '.join(hosts)}",
            detail=_DETAILS["forget"], seconds=0.0, hosts=tuple(hosts), args={"pool": pool, "endpoint": endpoint},
        )
        for (pool, endpoint), hosts in found.items()
    )  # fmt: skip


def _is_orphan(balancer: Balancer, pool: str, endpoint: str, stated: bool) -> bool:
    seen = balancer.pools.get(pool)
    return seen is None or (not stated and seen.server(endpoint) is None)


def _silent(seen: Iterable[Balancer]) -> Iterator[Refusal]:
    for balancer in seen:
        if not balancer.reachable and not balancer.excused:
            remedy = f"bring {balancer.host} back, or give it nginx_state: maintenance or leaving"
            yield Refusal("every balancer answers", f"{balancer.host} is unreachable", remedy)


def _stopped(seen: Iterable[Balancer]) -> Iterator[Refusal]:
    """Refuse to change members where no nginx runs: nothing there could load them, or prove them."""
    for balancer in seen:
        if balancer.in_service and not balancer.running:
            remedy = (
                f"start it (systemctl start nginx; its journal says why it stopped), "
                f"or give {balancer.host} nginx_state: maintenance or leaving"
            )
            yield Refusal("every balancer runs nginx", f"nginx is stopped on {balancer.host}", remedy)


def last_balancer_refusal(balancers: Iterable[Balancer]) -> Refusal | None:
    """Refuse to let a balancer that serves leave while no other one in service runs: nobody would serve."""
    seen = tuple(balancers)
    going = ", ".join(b.host for b in seen if b.leaving and b.reachable and b.installed and b.running)
    if not going or any(b.in_service and b.running for b in seen):
        return None
    remedy = "add another balancer with site.yml and lead the clients to it first, or keep this one"
    return Refusal("a balancer leaves only while another one serves", f"{going} would be the last one to go", remedy)


def _strangers(wanted: Iterable[Pool], seen: Iterable[Balancer]) -> Iterator[Refusal]:
    """Refuse a live member whose host the inventory does not know: to remove it is for the inventory to say."""
    balancers = tuple(seen)
    for pool in wanted:
        named = {m.endpoint for m in (*pool.members, *_departed(pool, balancers))}
        found: dict[str, list[str]] = {}
        for balancer in balancers:
            for server in balancer.pools.get(pool.name, SeenPool()).servers:
                if server.endpoint not in named:
                    name = f"{server.endpoint} ({server.host})" if server.host else server.endpoint
                    found.setdefault(name, []).append(balancer.host)
        for name, hosts in found.items():
            remedy = "put its host back with app_state: leaving and run; delete it from the inventory after that"
            yield Refusal(
                "every live member is in the inventory", f"{name} in {pool.name} on {', '.join(hosts)}", remedy
            )


def _capacity(wanted: Iterable[Pool], seen: Iterable[Balancer], steps: Sequence[Step]) -> Iterator[Refusal]:
    """Refuse to take serving members away where too few would go on serving."""
    for balancer in seen:
        after = after_steps(balancer, steps)
        for pool in wanted:
            taken = [s for s in steps if s.args["pool"] == pool.name and _takes(s, balancer.host)]
            if taken:
                yield from _too_few(pool, balancer, sum(s.serves for s in after.pools[pool.name].servers))


def _takes(step: Step, host: str) -> bool:
    """Return whether a step takes a serving member away on `host`."""
    if host not in step.hosts or "before" not in step.args:
        return False
    before, after = _line(step.args["before"][host]), _line(step.args["after"])
    return before is not None and before.serves and not (after is not None and after.serves)


def _too_few(pool: Pool, balancer: Balancer, left: int) -> Iterator[Refusal]:
    remedy = "keep members, or add others first"
    if left == 0:
        yield Refusal("a pool is never emptied", f"no member of {pool.name} would serve on {balancer.host}", remedy)
    elif left < pool.min_members:
        seen = f"{left} of {pool.name} would serve on {balancer.host}"
        yield Refusal(f"at least {pool.min_members} members serve", seen, f"{remedy}, or lower min_members")


def _notes(wanted: Sequence[Pool], seen: Iterable[Balancer]) -> Iterator[str]:
    for balancer in seen:
        if not balancer.reachable:
            if balancer.excused:
                yield f"{balancer.host} is unreachable and out of service: left as it is"
        elif not balancer.installed:
            if not balancer.excused:
                yield f"{balancer.host} has no nginx yet: site.yml creates it with these members"
        elif balancer.excused:
            yield f"{balancer.host} is out of service: left as it is"
        else:
            names = {p.name for p in wanted}
            for missing in sorted(names - set(balancer.pools)):
                yield f"{missing} does not exist on {balancer.host} yet: site.yml creates it with these members"
            for pool, endpoint in balancer.held:
                gone = pool not in balancer.pools
                end = "its pool is gone, and so goes the note" if gone else "put back"
                yield f"{endpoint} in {pool} on {balancer.host} was held by a run that did not end: {end}"


def hold_plan(
    wanted: Sequence[Pool], balancer: Balancer, hosts: Iterable[str], release: bool, cluster: str = "main"
) -> Plan:
    """Return what takes the members on `hosts` out of this balancer's pools for a while, or (release) puts them back.

    Only members that the inventory wants up are held. Members held already are in the plan again: a killed run's
    wait is waited for anew.
    """
    chosen = set(hosts)
    verb = "unhold" if release else "hold"
    drafts = []
    for pool in wanted:
        for member in pool.members:
            line = balancer.pools.get(pool.name, SeenPool()).server(member.endpoint)
            if member.host in chosen and member.state == UP and line is not None:
                after = replace(line, down=not release)
                if not release or line.down or (pool.name, member.endpoint) in balancer.held:
                    drafts.append(_Draft(verb, pool, member, after, {balancer.host: line}, [balancer.host]))
    steps = tuple(d.step() for d in drafts)
    refusals = (*(_stopped([balancer]) if steps else ()), *_capacity(wanted, [balancer], steps))
    return Plan(SERVICE, cluster, steps, refusals, (), plan_fingerprint(wanted, steps))


def after_steps(balancer: Balancer, steps: Iterable[Step]) -> Balancer:
    """Return the balancer as it is when its steps are done."""
    pools = dict(balancer.pools)
    held = balancer.held
    for step in steps:
        if balancer.host not in step.hosts:
            continue
        name = step.args["pool"]
        if step.verb != "forget":
            pools[name] = replace(pools[name], loaded=True)
        if "after" in step.args:
            pools[name] = pools[name].with_server(step.args["endpoint"], _line(step.args["after"]))
        if "endpoint" in step.args:
            held = tuple(h for h in held if h != (name, step.args["endpoint"]))
    return replace(balancer, pools=pools, held=held)


def plan_fingerprint(wanted: Iterable[Pool], steps: Iterable[Step]) -> str:
    """Return the fingerprint: the wanted pools, and of the members that the steps touch the lines they start from."""
    start: dict[str, Any] = {}
    for step in steps:
        for host, line in step.args.get("before", {}).items():
            key = f"{step.args['pool']} {step.args['endpoint']} {host}"
            start.setdefault(key, _line(line).directive() if line else None)  # type: ignore[union-attr]
    # What is known of hosts beside the members decides steps alone, and these are in the start.
    return fingerprint([replace(p, known_hosts=()).as_dict() for p in wanted], start)


def _line(raw: Mapping[str, Any] | None) -> Server | None:
    return None if raw is None else Server.from_dict(raw)


Read = Callable[[str, str], "Server | None"]


def steps_passed(steps: Iterable[Step], host: str, read: Read) -> frozenset[str]:
    """Return the ids of the steps whose line is written on `host` already, or one that comes after it.

    Raises StateMoved unless every member's live line, given by `read(pool, endpoint)`, is somewhere on its chain.
    """
    chains: dict[tuple[str, str], list[tuple[str, Server | None]]] = {}
    for step in steps:
        if host in step.args.get("before", {}):
            chain = chains.setdefault((step.args["pool"], step.args["endpoint"]), [])
            chain.append(("", _line(step.args["before"][host])))
            if host in step.hosts:
                chain.append((step.id, _line(step.args["after"])))
    passed: set[str] = set()
    for (pool, endpoint), chain in chains.items():
        live = read(pool, endpoint)
        places = [n for n, (_id, line) in enumerate(chain) if line == live]
        if not places:
            seen = live.directive() if live else "no line"
            rule = f"{endpoint} in {pool} is as the plan found it, or as it leaves it"
            raise StateMoved(rule, seen, "make a new plan, look at it, and run that", host)
        passed |= {step_id for step_id, _line_after in chain[: places[-1] + 1] if step_id}
    return frozenset(passed)


def resume(saved: Plan, wanted: Sequence[Pool], seen: Sequence[Balancer]) -> Plan:
    """Return what remains of a saved plan, or raise StateMoved when it no longer fits.

    It fits when the inventory wants what it wanted then, and the live state is the plan's start with any subset of
    its steps done or half done. Refusals are those of now.
    """
    if saved.fingerprint != plan_fingerprint(wanted, saved.steps):
        rule = "the inventory and this version are those that the plan was made from"
        raise StateMoved(rule, f"plan {saved.fingerprint}", "make a new plan, look at it, and run that")
    for balancer in seen:
        if balancer.in_service:
            pools = balancer.pools
            steps_passed(saved.steps, balancer.host, lambda p, e, of=pools: of.get(p, SeenPool()).server(e))  # type: ignore[misc]
    fresh = make_plan(wanted, seen, saved.cluster)
    ours = {s.id for s in saved.steps} | {s.id for s in fresh.steps if s.verb == "load"}
    return replace(fresh.only(ours), fingerprint=saved.fingerprint)
