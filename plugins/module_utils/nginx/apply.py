# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does one balancer's part of a plan: gate, write, reload, prove; and back to the last good files where that fails.

All changes of one phase are written and loaded with its first step, in one reload; the steps after it find that
done. Whatever was done is seen by the next call (and the next run), so a call may end, or die, anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import Client, note_key
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.health import MAX_OLD_GENERATIONS
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.parse import old_generations
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import in_phases, phase_of, steps_passed
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import SeenPool, Server, members_digest
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

HEALTH_DEADLINE = 8.0
LOAD_DEADLINE = 8.0
TRAFFIC_DEADLINE = 8.0
TRIES_A_SHARE = 20
"""Requests sent for each share of the weight before a new member is said to get none: by chance (method random) one
that is well is missed in 1 of 500 million cases."""

Lines = dict[str, tuple[Server, ...]]


class Applier:
    """Executes steps on one balancer, through `client`; `waited` is how long the first one has waited already."""

    def __init__(
        self, client: Client, host: str, pools: Iterable[Pool], steps: Sequence[Step], waited: float = 0.0, *,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._client = client
        self._host = host
        self._pools = {p.name: p for p in pools}
        own = [s for s in steps if host in s.hosts]
        self._steps = [s for s in own if s.verb != "forget"]  # that needs no pool, which may be gone
        self._waited = {own[0].id: waited} if own else {}
        self._passed: frozenset[str] = frozenset()
        self._clock = clock
        self._sleep = sleep

    def require_unmoved(self) -> None:
        """Raise StateMoved when somebody else has changed a member that the steps are about; call this first."""
        lines = self._lines()
        self._passed = steps_passed(
            self._steps, self._host, lambda pool, endpoint: SeenPool(lines[pool]).server(endpoint)
        )

    def execute(self, step: Step, left: float) -> str | None:
        """Do one step; return None when it is done, else what it waits for. Raises SteelyardError."""
        if step.verb == "forget":
            self._client.notes.remove(note_key(step.args["pool"], step.args["endpoint"]))
            return None
        begun = self._clock() - self._waited.get(step.id, 0.0)
        phase = phase_of(step.verb)
        together = in_phases(self._steps, phase)
        if phase == "remove":
            waiting = self._wait_for_silence(together, left, begun)
            return waiting or self._load(together, begun)
        waiting = self._load(together, begun)
        if waiting is None and phase == "drain":
            waiting = self._wait_for_silence([step], left, begun)
        return waiting

    def _lines(self) -> Lines:
        return {name: self._client.members(name) for name in sorted({s.args["pool"] for s in self._steps})}

    def _load(self, steps: Sequence[Step], begun: float) -> str | None:
        """Bring the members of these steps where the steps leave them, written, loaded and proved."""
        lines = self._lines()
        target = _after(lines, [s for s in steps if s.id not in self._passed])
        changed = {name for name in target if set(target[name]) != set(lines[name])}
        touched = {s.args["pool"] for s in steps}
        if changed or any(self._client.loaded(p) != members_digest(target[p]) for p in touched):
            crowd = self._crowd(steps, begun)
            if crowd is not None:
                return crowd
            self._require_health(steps, lines)
            self._take_notes(steps)
            self._change({name: target[name] for name in touched}, steps)
        self._put_notes_away(steps)
        return None

    def _crowd(self, steps: Sequence[Step], begun: float) -> str | None:
        """Return what to wait for before another reload may add a generation of workers; None when it may."""
        generations = old_generations(self._client.processes())
        if generations < MAX_OLD_GENERATIONS:
            return None
        seen = f"{generations} generations of old workers have connections"
        deadline = max(self._pools[s.args["pool"]].drain_deadline for s in steps)
        if self._clock() - begun > deadline:
            remedy = "lower worker_shutdown_timeout (nginx_settings), or wait for the long connections to end"
            raise GateNotPassed(f"fewer than {MAX_OLD_GENERATIONS} before a reload", seen, remedy, self._host)
        return seen

    def _require_health(self, steps: Iterable[Step], lines: Lines) -> None:
        """Raise GateNotPassed unless every member that is to take requests from now on answers this balancer."""
        for step in steps:
            after, now = _after_of(step), SeenPool(lines[step.args["pool"]])
            if after is None or after.down or now.server(after.endpoint) == after:
                continue
            path = self._pools[step.args["pool"]].health
            wait_until(
                lambda at=after, path=path: self._client.ask(at.address, at.port, path),  # type: ignore[misc]
                lambda wrong: not wrong, HEALTH_DEADLINE, f"{after.endpoint} answers {self._host}",
                clock=self._clock, sleep=self._sleep,
                remedy=f"see the unit of {step.args['host']}, its firewall and its health check; nothing was changed",
            )  # fmt: skip

    def _change(self, target: Mapping[str, Sequence[Server]], steps: Iterable[Step]) -> None:
        """Write the lines, load and prove them; put the last good files back when anything of that fails."""
        self._forget_what_was_proved(target)
        with self._client.transaction(target) as transaction:
            transaction.plan()
            transaction.stage()
            transaction.validate()
            transaction.swap()
            try:
                self._reload(target)
                for step in steps:
                    self._prove_traffic(step, target)
            except BaseException:
                if transaction.rollback():
                    self._client.reload()
                raise
            transaction.commit()

    def _forget_what_was_proved(self, target: Mapping[str, Sequence[Server]]) -> None:
        """End an earlier run's change whose files nginx has loaded: what is in force is the last good state."""
        with self._client.transaction(target) as earlier:
            current = {name: self._client.members(name) for name in target}
            if earlier.interrupted and all(self._client.loaded(n) == members_digest(s) for n, s in current.items()):
                earlier.commit()

    def _reload(self, target: Mapping[str, Sequence[Server]]) -> None:
        """Reload, then wait until the new workers answer and the old ones have stopped to accept."""
        before = {p.pid for p in self._client.processes() if p.kind == "worker"}
        self._client.reload()

        def observe() -> list[str]:
            stale = [n for n, servers in target.items() if self._client.loaded(n) != members_digest(servers)]
            accepting = [p.pid for p in self._client.processes() if p.kind == "worker" and p.pid in before]
            return [f"{n} not loaded" for n in stale] + [f"old worker {pid} still accepts" for pid in accepting]

        wait_until(
            observe, lambda left: not left, LOAD_DEADLINE, f"the running nginx of {self._host} has loaded its members",
            clock=self._clock, sleep=self._sleep, describe="; ".join,
            remedy="see its error log; the last good members have been put back",
        )  # fmt: skip

    def _prove_traffic(self, step: Step, target: Mapping[str, Sequence[Server]]) -> None:
        """Raise GateNotPassed unless a request through this balancer reaches an added member.

        Where the method binds a client to a member (hash, ip_hash), and for a backup, traffic cannot prove it: that
        it answers and is loaded has to do.
        """
        after, pool = _after_of(step), self._pools[step.args["pool"]]
        if step.verb not in ("add", "enable", "unhold") or after is None or not after.serves or not pool.rotates:
            return
        shares = sum(s.weight for s in target[pool.name] if s.serves) / after.weight
        end = self._clock() + TRAFFIC_DEADLINE
        answered: set[str] = set()
        places = self._client.places(after)
        for _try in range(int(TRIES_A_SHARE * shares) + 1):
            by, wrong = self._client.through(pool.name)
            if by in places and not wrong:
                return
            answered.add(f"{by} {wrong}".strip())
            if self._clock() > end:
                break
        rule = f"requests through {self._host} reach {after.endpoint}"
        raise GateNotPassed(
            rule, f"answered by {', '.join(sorted(answered))}", "see nginx's error log there", pool.name
        )

    def _wait_for_silence(self, steps: Sequence[Step], left: float, begun: float) -> str | None:
        """Wait, as long as this call may, until no connection to the members is left; past the deadline, fail."""
        end = self._clock() + left
        for step in steps:
            waiting = self._wait_for_one(step, end - self._clock(), begun)
            if waiting is not None:
                return waiting
        return None

    def _wait_for_one(self, step: Step, left: float, begun: float) -> str | None:
        pool, endpoint = step.args["pool"], step.args["endpoint"]
        server = SeenPool(self._client.members(pool)).server(endpoint)
        if server is None or self._serves_on(pool, server):
            return None
        deadline = self._pools[pool].drain_deadline

        def count() -> int:
            return self._client.connections({pool: [server]})[pool][endpoint]

        budget = max(0.0, min(left, begun + deadline - self._clock()))
        try:
            wait_until(count, lambda n: n == 0, budget, "silence", clock=self._clock, sleep=self._sleep)
        except GateNotPassed as error:
            seen = f"{error.problems[0].seen} connection(s) to {endpoint} left"
            if self._clock() - begun < deadline:
                return seen
            self._give_up(step, seen)
        return None

    def _serves_on(self, pool: str, leaving: Server) -> bool:
        """Return whether another line leads to the same places, as when a name becomes its address.

        The process goes on serving then, and its connections are not those of the line that is drained.
        """
        others = [s for s in self._client.members(pool) if s.endpoint != leaving.endpoint and not s.down]
        return self._client.places(leaving) <= frozenset().union(*map(self._client.places, others))

    def _give_up(self, step: Step, seen: str) -> None:
        """Fail a drain that lasted too long; a member that is not leaving is put back as it was."""
        pool = self._pools[step.args["pool"]]
        remedy = "let the clients end, or raise the pool's drain_deadline, and run again"
        if step.verb in ("disable", "hold"):
            before = step.args["before"][self._host]
            lines = SeenPool(self._client.members(pool.name))
            back = lines.with_server(step.args["endpoint"], Server.from_dict({**before, "down": False}))
            self._change({pool.name: back.servers}, ())
            self._client.notes.remove(note_key(pool.name, step.args["endpoint"]))
            remedy = f"it takes requests again; {remedy}"
        rule = f"no connection from {self._host} to {step.args['endpoint']} within {pool.drain_deadline:g} s"
        raise GateNotPassed(rule, seen, remedy, pool.name)

    def _take_notes(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.verb == "hold":
                what = f"{step.args['host']} is held out of pool {step.args['pool']}"
                self._client.notes.write(note_key(step.args["pool"], step.args["endpoint"]), "up", "down", what)

    def _put_notes_away(self, steps: Iterable[Step]) -> None:
        for step in steps:
            if step.verb != "hold" and "endpoint" in step.args:
                self._client.notes.remove(note_key(step.args["pool"], step.args["endpoint"]))


def _after_of(step: Step) -> Server | None:
    raw: dict[str, Any] | None = step.args.get("after")
    return None if raw is None else Server.from_dict(raw)


def _after(lines: Lines, steps: Iterable[Step]) -> Lines:
    """Return the lines as these steps leave them."""
    found = {name: SeenPool(servers) for name, servers in lines.items()}
    for step in steps:
        if "endpoint" in step.args:
            found[step.args["pool"]] = found[step.args["pool"]].with_server(step.args["endpoint"], _after_of(step))
    return {name: pool.servers for name, pool in found.items()}
