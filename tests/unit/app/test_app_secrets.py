"""Secrets reach the host and nothing else: not a result, not a diff, not what is shown of a call."""

from __future__ import annotations

import base64
import copy
import io
import json
import zlib
from contextlib import redirect_stdout
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase
from support.app_hosts import app_class, instances

from ansible_collections.steelyard.stack.plugins.action import app_instances as action
from ansible_collections.steelyard.stack.plugins.module_utils import payload
from ansible_collections.steelyard.stack.plugins.module_utils.app import plan
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.modules import app_instances as module
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction

# Short words that occur in names, and one that occurs nowhere.
SECRETS = {"TOKEN": "demo", "STEP": "install", "LONG": "s3cr3t-that-occurs-nowhere"}
WANTED = [i.as_dict() for i in instances({"api": app_class(secrets=SECRETS)})]


def run_module(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    """Run the module over an empty host and return what it prints."""

    def read(wish: Wish) -> tuple[Seen, plan.Plan]:
        return Seen(), make_plan(Seen(), wish)

    monkeypatch.setattr(module.work, "read", read)
    monkeypatch.setattr(module, "can_make_venv", lambda _python: True)
    monkeypatch.setattr(module, "ARGUMENTS", copy.deepcopy(module.ARGUMENTS))  # Ansible fills defaults in
    said = io.StringIO()
    with patch_module_args(arguments), redirect_stdout(said), pytest.raises(SystemExit):
        module.main()
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


class Action(action.ActionModule):
    """Runs the real module in this process instead of on a host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], check_mode: bool = True) -> None:
        self._task = SimpleNamespace(
            check_mode=check_mode, args=arguments, action=action.MODULE, async_val=0, diff=True
        )
        self.asked: list[dict[str, Any]] = []

        def execute(_self: object, **call: Any) -> dict[str, Any]:
            self.asked.append(call["module_args"])
            return run_module(monkeypatch, **call["module_args"])

        monkeypatch.setattr(ClusterAction, "_execute_module", execute)
        monkeypatch.setattr(ActionBase, "run", lambda *_: {})
        monkeypatch.setattr(self, "_find", lambda src: None)


def test_steps_are_whole_though_a_secret_occurs_in_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_module(monkeypatch, operation="read", payload=payload.pack(WANTED))
    assert "install/demo-1.0.0" in [s["id"] for s in found["plan"]["steps"]]
    assert found["missing"] == ["demo-1.0.0"]


@pytest.mark.parametrize("operation", ["read", "apply", "health"])
def test_no_secret_is_in_what_the_module_prints(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    packed = payload.pack(WANTED)
    arguments = {"_ansible_check_mode": True, "_ansible_diff": True}
    found = json.dumps(run_module(monkeypatch, operation=operation, payload=packed, **arguments))
    assert SECRETS["LONG"] not in found
    assert packed not in found


def test_the_action_hands_over_one_text_and_shows_no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Action(monkeypatch, {"operation": "read", "instances": WANTED})
    result = work.run(None, {"inventory_hostname": "api1"})
    assert "failed" not in result
    (asked,) = work.asked
    assert "instances" not in asked
    assert json.loads(zlib.decompress(base64.b64decode(asked["payload"])))[0]["secrets"] == SECRETS
    assert SECRETS["LONG"] not in json.dumps(asked)
    assert "invocation" not in result
    assert SECRETS["LONG"] not in json.dumps(result)
    assert asked["payload"] not in json.dumps(result)


def test_the_task_keeps_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    work = Action(monkeypatch, {"operation": "read", "instances": WANTED})
    work.run(None, {"inventory_hostname": "api1"})
    assert work._task.args["instances"] == WANTED


@pytest.mark.parametrize(
    "wrong",
    [{"portt": 1}, {"secrets": SECRETS["LONG"]}, {"state": SECRETS["LONG"]}, {"port": "none"}],
    ids=["unknown key", "secrets as a text", "a secret in another place", "no number"],
)
def test_instances_that_are_none_are_refused_without_a_secret(wrong: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="options describe") as caught:
        action.checked([{**WANTED[0], **wrong}, WANTED[0]])
    assert SECRETS["LONG"] not in str(caught.value)


def test_a_payload_of_somebody_else_is_refused_without_showing_it() -> None:
    with pytest.raises(Refused, match="what the action packed") as caught:
        payload.unpack("s3cr3t-that-occurs-nowhere")
    assert SECRETS["LONG"] not in str(caught.value)
