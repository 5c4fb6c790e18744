"""The executor against a fake nginx: gates, one reload a phase, the way back, calls that end and go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.cluster import do_steps
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import Client, held_members, read_balancer
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Member, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.parse import Process
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import hold_plan, in_phases, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import (
    Balancer,
    SeenPool,
    Server,
    members_digest,
)
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes


class Killed(BaseException):
    """SIGKILL: nothing after it is run in this process, and what is on the disk stays."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Transaction:
    """The parts of fileset's that the executor uses, over the fake's memory."""

    def __init__(self, nginx: FakeNginx, target: Mapping[str, Sequence[Server]]) -> None:
        self.nginx, self.target, self.staged = nginx, target, False
        self.interrupted = tuple(nginx.pending)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self) -> None:
        pass

    def stage(self) -> None:
        self.staged = True

    def validate(self) -> None:
        assert self.staged
        if self.nginx.invalid:
            raise SteelyardError("nginx accepts the new files", "emerg", "correct them")

    def swap(self) -> None:
        for name, servers in self.target.items():
            self.nginx.pending.setdefault(name, self.nginx.files[name])
            self.nginx.files[name] = tuple(servers)
        self.nginx.writes += 1
        if self.nginx.kill_at == "swap":
            raise Killed

    def rollback(self) -> bool:
        if self.nginx.kill_at:
            return False
        self.nginx.files.update(self.nginx.pending)
        self.nginx.pending.clear()
        return True

    def commit(self) -> None:
        self.nginx.pending.clear()


class FakeNginx(Client):
    """An nginx in memory; `connections` to drained members end as the clock goes on."""

    def __init__(self, notes: UndoNotes, clock: Clock, **pools: Sequence[Server]) -> None:
        super().__init__(notes=notes)
        self.clock = clock
        self.files: dict[str, tuple[Server, ...]] = {n: tuple(s) for n, s in pools.items()}
        self.running = dict(self.files)
        self.pending: dict[str, tuple[Server, ...]] = {}
        self.sick: set[str] = set()
        self.unreached: set[str] = set()
        self.silent_at: dict[str, float] = {}
        self.reloads = self.writes = self.requests = self.old = 0
        self.pids = [100, 101]
        self.invalid = self.deaf = False
        self.kill_at = ""

    def installed(self) -> bool:
        return True

    def version(self) -> str:
        return "1.26.3"

    def pools(self) -> tuple[str, ...]:
        return tuple(self.files)

    def members(self, pool: str) -> tuple[Server, ...]:
        return self.files[pool]

    def transaction(self, pools: Mapping[str, Sequence[Server]]) -> Any:
        return Transaction(self, pools)

    def reload(self) -> None:
        self.reloads += 1
        if self.kill_at == "reload":
            raise Killed
        if not self.deaf:
            self.running = dict(self.files)
            self.pids = [p + 10 for p in self.pids]

    def loaded(self, pool: str) -> str:
        return members_digest(self.running[pool])

    def through(self, pool: str) -> tuple[str, str]:
        serving = [s for s in self.running[pool] if s.serves and s.endpoint not in self.unreached]
        self.requests += 1
        return (serving[self.requests % len(serving)].endpoint, "") if serving else ("", "HTTP 502")

    def ask(self, address: str, port: int, path: str, host: str = "") -> str:
        return "connection refused" if f"{address}:{port}" in self.sick else ""

    def processes(self) -> tuple[Process, ...]:
        old = [Process(900 + n, 1, "old") for n in range(self.old)]
        return (Process(1, 0, "master"), *(Process(p, 1, "worker") for p in self.pids), *old)

    def connections(self, pools: Mapping[str, Any]) -> dict[str, dict[str, int]]:
        def count(server: Server) -> int:
            return int(self.clock() < self.silent_at.get(server.endpoint, 0.0))

        return {pool: {s.endpoint: count(s) for s in servers} for pool, servers in pools.items()}


class Scene:
    """Pools as wanted, a fake nginx with what there is, and calls of the module over them."""

    def __init__(self, notes: UndoNotes, *states: str, there: Sequence[int] = (1, 2), **options: Any) -> None:
        members = tuple(Member(f"api{n}", f"10.0.0.{n}", 8000, state) for n, state in enumerate(states, 1))
        self.pool = Pool("api", "api", members, health="/readyz", **options)
        up = Pool("api", "api", tuple(Member(m.host, m.address, m.port) for m in members))
        self.clock = Clock()
        self.nginx = FakeNginx(notes, self.clock, api=[s for s in up.servers() if int(s.address[-1]) in there])

    def see(self) -> Balancer:
        return read_balancer(self.nginx, "lb1", (self.pool,))

    def plan(self) -> Plan:
        return make_plan((self.pool,), (self.see(),))

    def call(self, plan: Plan, budget: float = 10.0, waited: float = 0.0) -> Any:
        applier = Applier(self.nginx, "lb1", (self.pool,), plan.steps, waited, clock=self.clock, sleep=self.clock.sleep)
        applier.require_unmoved()
        return do_steps(plan.steps, applier.execute, budget=budget, clock=self.clock)

    def lines(self) -> list[str]:
        return [f"{s.host}{' down' if s.down else ''}" for s in self.nginx.files["api"]]


@pytest.fixture
def notes(tmp_path: Any) -> UndoNotes:
    return UndoNotes(str(tmp_path / "undo"))


def test_nothing_to_do_writes_and_reloads_nothing(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up")
    scene.call(scene.plan())
    assert (scene.nginx.writes, scene.nginx.reloads) == (0, 0)


def test_add_is_one_reload_for_all_and_is_proved_by_traffic(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up", "up")
    work = scene.call(scene.plan())
    assert work.applied == ["add/api/api3:8000", "add/api/api4:8000"]
    assert (scene.nginx.reloads, scene.lines()) == (1, ["api1", "api2", "api3", "api4"])
    assert scene.nginx.requests > 0
    assert scene.plan().steps == ()


def test_add_waits_for_a_member_that_answers(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up")
    scene.nginx.sick = {"10.0.0.3:8000"}
    with pytest.raises(GateNotPassed, match="connection refused"):
        scene.call(scene.plan())
    assert (scene.nginx.writes, scene.lines()) == (0, ["api1", "api2"])


def test_add_is_taken_back_when_no_request_reaches_the_member(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up")
    scene.nginx.unreached = {"10.0.0.3:8000"}
    with pytest.raises(GateNotPassed, match="requests through lb1 reach"):
        scene.call(scene.plan())
    assert scene.lines() == ["api1", "api2"]
    assert scene.nginx.running == scene.nginx.files


def test_a_method_that_binds_clients_needs_no_traffic(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up", method="ip_hash")
    scene.nginx.unreached = {"10.0.0.3:8000"}
    assert scene.call(scene.plan()).remaining == []


def test_what_nginx_refuses_is_not_swapped(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up")
    scene.nginx.invalid = True
    with pytest.raises(SteelyardError, match="nginx accepts"):
        scene.call(scene.plan())
    assert (scene.nginx.writes, scene.nginx.reloads) == (0, 0)


def test_what_nginx_does_not_load_is_taken_back(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up")
    scene.nginx.deaf = True
    with pytest.raises(GateNotPassed, match="api not loaded"):
        scene.call(scene.plan())
    assert scene.lines() == ["api1", "api2"]


def test_leaving_is_drained_in_silence_and_removed(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed")
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 4}
    work = scene.call(scene.plan())
    assert work.applied == ["drain/api/api2:8000", "remove/api/api2:8000"]
    assert scene.clock() >= 1004
    assert (scene.lines(), scene.nginx.reloads) == (["api1"], 2)


def test_two_that_leave_need_two_reloads(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed", "removed", there=(1, 2, 3))
    assert len(scene.call(scene.plan()).applied) == 4
    assert (scene.lines(), scene.nginx.reloads) == (["api1"], 2)


def test_a_long_drain_goes_on_in_the_next_call(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed")
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 25}
    plan, calls, waited = scene.plan(), 0, 0.0
    while plan.steps:
        begun = scene.clock()
        work = scene.call(plan, waited=waited)
        assert scene.clock() - begun <= 13
        waited = 0.0 if work.applied else waited + scene.clock() - begun
        assert work.applied or "1 connection(s)" in work.progress
        plan, calls = plan.only(work.remaining), calls + 1
    assert (calls, scene.lines(), scene.nginx.reloads) == (3, ["api1"], 2)


def test_a_drain_past_its_deadline_fails_and_stays_down(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed", drain_deadline=30)
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 99}
    plan = scene.plan()
    assert scene.call(plan).applied == []
    with pytest.raises(GateNotPassed, match="within 30 s"):
        scene.call(plan, waited=29)
    assert scene.lines() == ["api1", "api2 down"]
    assert [s.id for s in scene.plan().steps] == ["remove/api/api2:8000"]


def test_maintenance_past_its_deadline_is_put_back(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "down", drain_deadline=5)
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 99}
    with pytest.raises(GateNotPassed, match="takes requests again"):
        scene.call(scene.plan())
    assert scene.lines() == ["api1", "api2"]
    assert scene.nginx.running == scene.nginx.files


def test_remove_alone_waits_for_silence_too(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed")
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 15}
    plan = scene.plan()
    drained = plan.only(s.id for s in in_phases(plan.steps, "drain"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene.nginx, "silent_at", {})
        scene.call(drained)
    remove = scene.plan()
    work = scene.call(remove)
    assert (work.applied, scene.lines()) == ([], ["api1", "api2 down"])
    assert scene.call(remove, waited=10).applied == ["remove/api/api2:8000"]


@pytest.mark.parametrize("kill_at", ["swap", "reload"])
@pytest.mark.parametrize(
    ("states", "there", "end"),
    [
        (("up", "up", "up"), (1, 2), ["api1", "api2", "api3"]),
        (("up", "removed"), (1, 2), ["api1"]),
        (("up", "down"), (1, 2), ["api1", "api2 down"]),
        (("removed", "up"), (1,), ["api2"]),
    ],
)
def test_killed_anywhere_and_run_again_it_finishes(
    notes: UndoNotes, kill_at: str, states: tuple[str, ...], there: tuple[int, ...], end: list[str]
) -> None:
    scene = Scene(notes, *states, there=there)
    saved = scene.plan()
    for _phase in range(3):
        scene.nginx.kill_at = kill_at
        with pytest.raises(Killed):
            scene.call(scene.plan())
        scene.nginx.kill_at = ""
        rest = scene.plan()
        assert {s.id for s in rest.steps} <= {s.id for s in saved.steps} | {"load/api"}
        first = in_phases(rest.steps, "add") or in_phases(rest.steps, "drain") or rest.steps
        scene.call(rest.only(s.id for s in first))
        if not scene.plan().steps:
            break
    assert (scene.lines(), scene.plan().steps, scene.nginx.pending) == (end, (), {})
    assert scene.nginx.running == scene.nginx.files


def test_an_interrupted_change_is_rolled_back_to_what_was_proved(notes: UndoNotes) -> None:
    """The note of a change that turned out to be loaded is no longer the last good state."""
    scene = Scene(notes, "up", "up", "up", "up")
    plan = scene.plan()
    first = plan.only(["add/api/api3:8000"])
    scene.call(first)
    scene.nginx.pending = {"api": scene.nginx.files["api"][:2]}  # killed between the proof and its commit
    scene.nginx.unreached = {"10.0.0.4:8000"}
    with pytest.raises(GateNotPassed):
        scene.call(plan.only(["add/api/api4:8000"]))
    assert scene.lines() == ["api1", "api2", "api3"]


def test_what_somebody_else_changed_is_left_alone(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed")
    plan = scene.plan()
    other = Server("10.0.0.2", 8000, weight=5)
    scene.nginx.files["api"] = SeenPool(scene.nginx.files["api"]).with_server("10.0.0.2:8000", other).servers
    with pytest.raises(StateMoved):
        scene.call(plan)
    assert scene.nginx.writes == 0


def test_a_whole_plan_goes_on_where_its_member_is_further(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "removed")
    plan = scene.plan()
    scene.call(plan)
    assert scene.call(plan).remaining == []
    assert (scene.lines(), scene.nginx.reloads) == (["api1"], 2)


def test_old_generations_are_bounded(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up", drain_deadline=30)
    scene.nginx.old = 7
    plan = scene.plan()
    work = scene.call(plan)
    assert (work.applied, scene.nginx.reloads) == ([], 0)
    assert "4 generations of old workers" in work.progress
    with pytest.raises(GateNotPassed, match="worker_shutdown_timeout"):
        scene.call(plan, waited=31)
    scene.nginx.old = 6
    assert scene.call(plan).remaining == []


def test_hold_leaves_a_note_and_unhold_takes_it_away(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up")
    scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=False))
    assert (scene.lines(), held_members(notes)) == (["api1", "api2 down"], (("api", "10.0.0.2:8000"),))
    scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=True))
    assert (scene.lines(), held_members(notes)) == (["api1", "api2"], ())


def test_hold_past_its_deadline_is_put_back_with_its_note(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", drain_deadline=5)
    scene.nginx.silent_at = {"10.0.0.2:8000": scene.clock() + 99}
    with pytest.raises(GateNotPassed):
        scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=False))
    assert (scene.lines(), held_members(notes)) == (["api1", "api2"], ())


@pytest.mark.parametrize("kill_at", ["swap", "reload"])
def test_the_next_run_puts_back_what_a_killed_run_held(notes: UndoNotes, kill_at: str) -> None:
    scene = Scene(notes, "up", "up")
    scene.nginx.kill_at = kill_at
    with pytest.raises(Killed):
        scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=False))
    scene.nginx.kill_at = ""
    assert held_members(notes), "the note is written before the change"
    plan = scene.plan()
    assert plan.steps[-1].id == "enable/api/api2:8000"
    scene.call(plan)
    assert (scene.lines(), held_members(notes), scene.plan().steps) == (["api1", "api2"], (), ())


def test_unhold_waits_for_a_member_that_answers(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up")
    scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=False))
    scene.nginx.sick = {"10.0.0.2:8000"}
    with pytest.raises(GateNotPassed):
        scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=True))
    assert (scene.lines(), len(held_members(notes))) == (["api1", "api2 down"], 1)
