"""The control side of a trial: it connects anew, with pauses that grow, until the host has taken the rule set back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.steelyard.stack.plugins.action import firewall as action

CONFIRMED = {"changed": True, "armed": False}


class Action(action.ActionModule):
    """A host that answers in turn, on a clock that only pauses move; None is a connection that is refused at once."""

    def __init__(self, answers: list[dict[str, Any] | None]) -> None:
        self._connection = SimpleNamespace(reset=lambda: None)
        self.answers = list(answers)
        self.now = 0.0
        self.pauses: list[float] = []
        self.clock = lambda: self.now  # type: ignore[method-assign]
        self.sleep = self._pause  # type: ignore[method-assign]

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def _execute_module(self, **_call: Any) -> dict[str, Any]:
        found = self.answers.pop(0) if self.answers else None
        return dict(found) if found else {"unreachable": True, "msg": "Connection refused"}


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(ActionBase, "run", lambda *a: {})
    monkeypatch.setattr(action, "display", SimpleNamespace(display=lines.append))
    return lines


def confirm(instance: Action) -> dict[str, Any]:
    return instance._confirm({"changed": True, "armed": True}, {}, {}, end=60.0)


def test_a_new_connection_at_once_needs_no_pause(said: list[str]) -> None:
    instance = Action([CONFIRMED])
    assert confirm(instance) == {"changed": True, "armed": False}
    assert (instance.pauses, said) == ([], [])


def test_refused_connections_are_tried_again_after_pauses_that_grow(said: list[str]) -> None:
    instance = Action([*[None] * 12, CONFIRMED])
    assert confirm(instance)["armed"] is False
    assert instance.pauses == sorted(instance.pauses)
    assert (len(instance.pauses), instance.pauses[-1] > 1, len(said)) == (12, True, 1)


def test_a_host_that_took_it_back_says_what_the_connection_failed_with() -> None:
    answer = confirm(Action([None, {"failed": True, "msg": "the former rule set is back"}]))
    assert answer["msg"] == "the former rule set is back\nThe new connection failed with: Connection refused"
    assert answer["changed"] is False


def test_a_host_that_never_answers_again_is_unreachable() -> None:
    instance = Action([])
    with pytest.raises(AnsibleConnectionFailure, match="Connection refused"):
        confirm(instance)
    assert instance.now == pytest.approx(60 + action.GRACE)
    assert len(instance.pauses) < 100
