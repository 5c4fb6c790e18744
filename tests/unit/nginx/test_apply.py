"""The executor against a fake nginx: gates, one reload a phase, the way back, calls that end and go on."""

from __future__ import annotations

from typing import Any

import pytest
from support.nginx import Killed, Scene

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import held_members
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import hold_plan, in_phases
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import SeenPool, Server
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes


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


@pytest.mark.parametrize(
    ("address", "resolved"),
    [
        ("api3.example", {"10.0.0.3"}),
        ("api3.example", {"10.0.0.3", "2001:db8::3"}),
        ("2001:0db8:0::0003", {}),
        ("::ffff:10.0.0.3", {}),
    ],
)
def test_a_member_by_name_or_in_other_words_is_proved_by_its_address(
    notes: UndoNotes, address: str, resolved: set[str]
) -> None:
    scene = Scene(notes, "up", "up", "up", addresses={3: address})
    scene.nginx.names = {"api3.example": resolved}
    assert scene.call(scene.plan()).remaining == []
    assert scene.lines() == ["api1", "api2", "api3"]


@pytest.mark.parametrize(
    ("address", "peer"),
    [("api2.example", "10.0.0.9"), ("2001:0db8:0::0002", "[2001:db8::2]"), ("::ffff:10.0.0.9", "10.0.0.9")],
)
def test_connections_to_a_member_by_name_or_in_other_words_are_waited_for(
    notes: UndoNotes, address: str, peer: str
) -> None:
    scene = Scene(notes, "up", "removed", addresses={2: address})
    scene.nginx.names = {"api2.example": {"10.0.0.9"}}
    scene.nginx.silent_at = {f"{peer}:8000": scene.clock() + 4}
    scene.call(scene.plan())
    assert scene.clock() >= 1004
    assert scene.lines() == ["api1"]


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


def test_a_line_whose_process_has_another_line_needs_no_silence(notes: UndoNotes) -> None:
    """A member stated by name before and by address now: what serves has connections, and goes on."""
    scene = Scene(notes, "up", "removed", "up", addresses={2: "api3.example", 3: "10.0.0.3"})
    scene.nginx.names = {"api3.example": {"10.0.0.3"}}
    scene.nginx.silent_at = {"10.0.0.3:8000": scene.clock() + 999}
    assert scene.call(scene.plan()).remaining == []
    assert (scene.lines(), scene.nginx.reloads) == (["api1", "api3"], 3)
    assert scene.clock() < 1004


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


def test_the_note_of_a_pool_that_is_gone_is_removed(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up", "up")
    notes.write("nginx/ws/10.0.0.2:9000", "up", "down", "api2 is held out of pool ws")
    plan = scene.plan()
    assert scene.call(plan).applied == ["add/api/api3:8000", "forget/ws/10.0.0.2:9000"]
    assert (held_members(notes), scene.plan().steps, scene.plan().notes) == ((), (), ())
    assert scene.call(plan.only(["forget/ws/10.0.0.2:9000"])).remaining == [], "again, after a kill"


def test_unhold_waits_for_a_member_that_answers(notes: UndoNotes) -> None:
    scene = Scene(notes, "up", "up")
    scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=False))
    scene.nginx.sick = {"10.0.0.2:8000"}
    with pytest.raises(GateNotPassed):
        scene.call(hold_plan((scene.pool,), scene.see(), ["api2"], release=True))
    assert (scene.lines(), len(held_members(notes))) == (["api1", "api2 down"], 1)
