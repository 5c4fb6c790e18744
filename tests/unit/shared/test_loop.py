"""The loop on the control side, with a module that is not there: what it is asked, and what its answers become."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.plugin_utils import loop, run
from ansible_collections.steelyard.stack.plugins.plugin_utils.journal import read_journal

PLAN = Plan("nginx", "main", tuple(Step(i, "add", i) for i in ("a", "b", "c")), fingerprint="f00")


class Action(loop.ClusterAction):
    """Answers in turn instead of modules, on a clock that stands still but for answers and pauses."""

    def __init__(self, answers: list[Any], check: bool = False, takes: float = 5.0) -> None:
        self._task = SimpleNamespace(check_mode=check, action="steelyard.stack.nginx_pool")
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.now = 100.0
        self.takes = takes
        self.pauses: list[float] = []
        self.clock = lambda: self.now  # type: ignore[method-assign]
        self.sleep = self._pause  # type: ignore[method-assign]

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def _execute_module(self, **call: Any) -> dict[str, Any]:
        self.asked.append(call["module_args"])
        self.now += self.takes
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)


def done(*ids: str, **more: Any) -> dict[str, Any]:
    return {"changed": bool(ids), "applied": list(ids), "remaining": [], **more}


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.delenv("STEELYARD_JOURNAL_DIR", raising=False)
    monkeypatch.delenv("STEELYARD_RESULT_DIR", raising=False)
    (tmp_path / "inv").mkdir()
    return {
        "inventory_hostname": "lb1", "ansible_inventory_sources": [str(tmp_path / "inv")],
        "__steelyard_operation": "scale", "ansible_play_hosts_all": ["lb1", "lb2"],
    }  # fmt: skip


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(loop, "display", SimpleNamespace(display=lines.append))
    return lines


def go(action: Action, variables: dict[str, Any], plan: Plan = PLAN, **settings: Any) -> dict[str, Any]:
    return action.run_loop(
        "steelyard.stack.nginx_pool", {"pools": [], "lease": {"token": 4}}, plan, variables, **settings
    )


def told(variables: dict[str, Any]) -> list[tuple[str, str, float | None]]:
    directory = Path(variables["ansible_inventory_sources"][0]) / ".steelyard" / "journal"
    return [(e.step, e.outcome, e.seconds) for e in read_journal(directory)]


def test_calls_go_on_until_nothing_remains(variables: dict[str, Any], said: list[str]) -> None:
    action = Action([done("a"), done(progress="3 left"), done("b", "c", timings={"b": 1.0, "c": 2.0}, observed="x")])
    result = go(action, variables)
    assert (result["changed"], result["applied"], result["remaining"]) == (True, ["a", "b", "c"], [])
    assert result["plan"] == PLAN.summary()
    assert result["diff"] == PLAN.as_diff()
    assert result["observed"] == "x"
    assert [[s["id"] for s in asked["plan"]["steps"]] for asked in action.asked] == [
        ["a", "b", "c"],
        ["b", "c"],
        ["b", "c"],
    ]
    assert [asked["waited"] for asked in action.asked] == [0, 0, 5]
    assert {asked["budget"] for asked in action.asked} == {10.0}
    assert action.asked[0]["lease"] == {"cluster": "main", "run": run.run_id(), "token": 4}
    assert action.asked[0]["pools"] == []
    assert told(variables) == [("a", "done", 5.0), ("b", "done", 6.0), ("c", "done", 2.0)]
    assert said == [
        "lb1 nginx main: 1/3 add a done (5 s, about 10 s left)",
        "lb1 nginx main: 2/3 add b: 3 left (10 s, about 20 s left)",
        "lb1 nginx main: 2/3 add b done in 6 s",
        "lb1 nginx main: 3/3 add c done in 2 s (15 s)",
    ]


def test_the_journal_has_every_field(variables: dict[str, Any], said: list[str]) -> None:
    go(Action([done("a", "b", "c")]), variables)
    (entry, *_) = read_journal(Path(variables["ansible_inventory_sources"][0]) / ".steelyard" / "journal")
    this = run.current_run()
    assert (entry.run, entry.operator, entry.operation) == (this.id, this.operator, "scale")
    assert (entry.service, entry.cluster, entry.fingerprint, entry.host) == ("nginx", "main", "f00", "lb1")


def test_check_mode_calls_nothing_and_shows_the_same(variables: dict[str, Any], said: list[str]) -> None:
    dry = go(Action([], check=True), variables)
    real = go(Action([done("a", "b", "c")]), variables)
    assert (dry["changed"], dry["applied"], dry["remaining"]) == (True, [], ["a", "b", "c"])
    assert (dry["diff"], dry["plan"]) == (real["diff"], real["plan"])


def test_nothing_to_do_calls_nothing(variables: dict[str, Any]) -> None:
    result = go(Action([]), variables, Plan("nginx", "main"))
    assert (result["changed"], result["remaining"]) == (False, [])
    assert told(variables) == []


def test_a_refused_plan_calls_nothing(variables: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        go(Action([]), variables, Plan("nginx", "main", PLAN.steps, refusals=(Refusal("r", "s", "m"),)))


def test_a_failure_says_what_was_done_and_what_remains(variables: dict[str, Any], said: list[str]) -> None:
    problem = {"failed": True, "msg": "the state moved", "exit_code": 3, "problems": []}
    result = go(Action([done("a"), problem]), variables)
    assert (result["failed"], result["msg"], result["exit_code"]) == (True, "the state moved", 3)
    assert (result["changed"], result["applied"], result["remaining"]) == (True, ["a"], ["b", "c"])
    assert told(variables) == [("a", "done", 5.0), ("b", "failed", 5.0)]
    assert said[-1].startswith("lb1 nginx main: 2/3 add b: FAILED")


def test_steps_done_before_the_failure_in_one_call_count(variables: dict[str, Any], said: list[str]) -> None:
    result = go(Action([done("a", failed=True, msg="broken")]), variables)
    assert (result["applied"], result["changed"], result["failed"]) == (["a"], True, True)
    assert [t[:2] for t in told(variables)] == [("a", "done"), ("b", "failed")]


def test_a_failure_at_the_first_step_changed_nothing(variables: dict[str, Any], said: list[str]) -> None:
    assert go(Action([{"failed": True, "msg": "locked", "exit_code": 4}]), variables)["changed"] is False


def test_a_loop_that_gets_nowhere_ends(variables: dict[str, Any], said: list[str]) -> None:
    result = go(Action([done(progress="7 left")] * 99), variables, stall=20)
    assert (result["failed"], result["exit_code"]) == (True, 5)
    assert "7 left" in result["msg"]
    assert result["remaining"] == ["a", "b", "c"]


def test_answers_that_come_at_once_are_not_asked_for_without_a_pause(
    variables: dict[str, Any], said: list[str]
) -> None:
    action = Action([done(progress="x"), done(progress="x"), done("a", "b", "c")], takes=0.1)
    go(action, variables)
    assert action.pauses == [loop.PAUSE, loop.PAUSE]


def test_a_worker_whose_run_was_killed_starts_nothing(
    variables: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "control_is_alive", lambda: False)
    result = go(Action([]), variables)
    assert (result["failed"], result["exit_code"]) == (True, 4)


def test_without_a_journal_nothing_is_done(variables: dict[str, Any]) -> None:
    action = Action([])
    with pytest.raises(SteelyardError, match="journal"):
        go(action, {**variables, "ansible_inventory_sources": ["lb1,"]})
    assert action.asked == []


@pytest.mark.parametrize("answer", [done("a", "b", "c"), {"failed": True, "msg": "no"}, OSError("unreachable")])
def test_the_result_is_written_for_the_command(
    variables: dict[str, Any], said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setenv("STEELYARD_RESULT_DIR", str(tmp_path))
    try:
        go(Action([answer]), variables)
    except OSError:
        assert isinstance(answer, OSError)
    (file,) = tmp_path.glob("*.json")
    assert file.stat().st_mode & 0o777 == 0o600
    written = json.loads(file.read_text())
    assert (written["host"], written["action"], written["check"]) == ("lb1", "steelyard.stack.nginx_pool", False)
    assert written["run"] == run.run_id()
    assert written["plan"] == PLAN.summary()


def test_the_plan_is_shown_once(variables: dict[str, Any], said: list[str]) -> None:
    Action([]).show_plan(PLAN, variables)
    Action([]).show_plan(PLAN, {**variables, "inventory_hostname": "lb2"})
    assert said == [PLAN.as_table()]
