"""The control side of the lease: who asks, proof of death, waiting, and the majority, without any machine."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.steelyard.stack.plugins.action import lease as action
from ansible_collections.steelyard.stack.plugins.module_utils.process import process_of, this_process
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import ExpectedFailure
from ansible_collections.steelyard.stack.plugins.plugin_utils.run import current_run


class Action(action.ActionModule):
    """Answers in turn instead of members, on a clock that only pauses move."""

    def __init__(self, args: dict[str, Any], answers: list[dict[str, Any]], check: bool = False) -> None:
        self._task = SimpleNamespace(args={"service": "nginx", **args}, check_mode=check)
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        self.now = 0.0
        self.clock = lambda: self.now  # type: ignore[method-assign]
        self.sleep = self._pause  # type: ignore[method-assign]

    def _pause(self, seconds: float) -> None:
        self.now += seconds

    def _execute_module(self, **call: Any) -> dict[str, Any]:
        self.asked.append(dict(call["module_args"]))
        return self.answers.pop(0)


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(ActionBase, "run", lambda *a: {})
    monkeypatch.setattr(action, "display", SimpleNamespace(display=lines.append, warning=lines.append))
    return lines


VARIABLES = {"inventory_hostname": "lb1", "ansible_play_hosts_all": ["lb1", "lb2", "lb3"]}


def answer(verdict: str, holder: dict[str, Any] | None = None, retry_after: float = 0.0) -> dict[str, Any]:
    return {"held": verdict == "granted", "verdict": verdict, "why": "because", "retry_after": retry_after,
            "lease": {"holder": holder}, "changed": False}  # fmt: skip


def go(instance: Action, variables: dict[str, Any] = VARIABLES) -> dict[str, Any]:
    try:
        return instance.run(None, dict(variables))
    except ExpectedFailure as failed:
        return dict(failed.result_contribution)


def ended() -> dict[str, Any]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    identity = process_of(child.pid)
    child.kill()
    child.communicate()
    return identity.as_dict()


def test_it_says_who_asks() -> None:
    instance = Action({"operation": "scale"}, [answer("granted")])
    assert go(instance)["member"] == "lb1"
    (asked,) = instance.asked
    this = current_run()
    assert (asked["run"], asked["operator"], asked["holder"]) == (this.id, this.operator, this.control.as_dict())
    assert asked["operation"] == "scale"


def test_a_holder_that_has_ended_is_proved_dead() -> None:
    holder = ended()
    instance = Action({}, [answer("denied", holder), answer("granted", this_process().as_dict())])
    assert go(instance)["held"] is True
    assert [a.get("proved_dead") for a in instance.asked] == [None, holder]


def test_proof_that_does_not_help_is_given_once() -> None:
    holder = ended()
    instance = Action({}, [answer("denied", holder), answer("denied", holder)])
    assert go(instance)["held"] is False


@pytest.mark.parametrize("host", ["elsewhere", None])
def test_a_holder_that_lives_or_cannot_be_seen_is_not(host: str | None) -> None:
    holder = this_process().as_dict() | ({"host": host} if host else {})
    assert go(Action({}, [answer("denied", holder)]))["held"] is False


def test_it_waits_while_waiting_helps(said: list[str]) -> None:
    instance = Action({}, [answer("wait", retry_after=230)] * 3 + [answer("granted")])
    assert go(instance)["held"] is True
    assert instance.now == 3 * action.LONGEST_PAUSE
    assert said[0] == "lb1 lease nginx: because; asks again (at most 3 m 50 s left)"


def test_and_no_longer_than_it_ever_should() -> None:
    instance = Action({"ttl": "10s"}, [answer("wait", retry_after=5)] * 99)
    assert go(instance)["held"] is False
    assert instance.now <= 10 + 60 + action.LONGEST_PAUSE


def test_a_dry_run_does_not_wait() -> None:
    instance = Action({}, [answer("wait", retry_after=230)], check=True)
    assert go(instance)["verdict"] == "wait"
    assert instance.now == 0


def held(*members: str) -> dict[str, Any]:
    seen = [{"member": m, "held": m in members, "why": "held by bob"} for m in ("lb1", "lb2", "lb3")]
    return {"state": "proved", "seen": [*seen, None, {}]}


def test_a_majority_is_enough() -> None:
    result = go(Action(held("lb1", "lb3"), []))
    assert result["held"] is True
    assert "failed" not in result


def test_without_one_what_was_taken_is_released() -> None:
    instance = Action(held("lb1"), [{"changed": True}])
    result = go(instance)
    assert (result["failed"], result["exit_code"]) == (True, 4)
    assert [p["where"] for p in result["problems"]] == ["nginx main on lb2", "nginx main on lb3"]
    assert "held by bob" in result["msg"]
    (asked,) = instance.asked
    assert (asked["state"], asked["force"], asked["run"]) == ("absent", False, current_run().id)
    assert "seen" not in asked


def test_a_dry_run_only_says_so(said: list[str]) -> None:
    result = go(Action(held("lb1"), [], check=True))
    assert result["held"] is False
    assert "failed" not in result
    assert "held by bob" in said[0]


@pytest.mark.parametrize(
    "args", [{"state": "gone"}, {"service": ""}, {"ttl": "long"}, {"state": "proved", "members": []}]
)
def test_nonsense_is_refused(args: dict[str, Any]) -> None:
    result = go(Action(args, []), {"inventory_hostname": "lb1"})
    assert (result["failed"], result["exit_code"]) == (True, 2)
