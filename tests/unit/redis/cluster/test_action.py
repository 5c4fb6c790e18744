"""The control side of `redis_cluster`: plans, resumes, verdicts, and how the coordinator is called."""

from __future__ import annotations

from typing import Any

import pytest
from support.redis_cases import seen_of, wanted_of

from ansible_collections.steelyard.stack.plugins.action import redis_cluster
from ansible_collections.steelyard.stack.plugins.action.redis_cluster import ActionModule, with_interpreter
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack, unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.result import shown
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction

PASSWORD = "verwaltung-verwahrt-im-tresor"
SECRETS = {"sessions": {"passwords": {"steelyard": PASSWORD}}, "other": {"passwords": {"steelyard": "zweites"}}}
SEEN: dict[Any, dict[str, Any]] = {
    1: {"slots": "0-5460"}, 2: {"slots": "5461-10922"}, 3: {"slots": "10923-16383"}, 4: {"of": 1}, 5: {"of": 2},
    6: {"of": 3},
}  # fmt: skip
SIX, EIGHT = (wanted_of({"hosts": list(range(1, n))}) for n in (7, 9))


def read(wanted: ClusterSpec = SIX, **changed: Any) -> dict[str, Any]:
    """What `read` returned of six nodes, some of them changed (`_6`)."""
    seen = {**SEEN, **{int(k[1:]): v for k, v in changed.items()}}
    return {"changed": False, **shown(wanted, tuple(seen_of(seen, wanted)))}


class Bare(ActionModule):
    """The action without a connection: what it would run is written down."""

    def __init__(self) -> None:
        self.loops: list[tuple[dict[str, Any], Plan]] = []
        self.shown: list[Plan] = []

    def run_loop(self, module_name: str, module_args: Any, plan: Any, task_vars: Any, **_: Any) -> dict[str, Any]:
        self.loops.append((dict(module_args), plan))
        return {"changed": bool(plan.steps)}

    def show_plan(self, plan: Any, task_vars: Any) -> None:
        self.shown.append(plan)

    def finish(self, result: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        return result


def arguments(operation: str, wanted: ClusterSpec = SIX, **more: Any) -> dict[str, Any]:
    return {"operation": operation, "cluster": wanted.as_dict(), "secrets": SECRETS, **more}


def planned(wanted: ClusterSpec = EIGHT, **more: Any) -> dict[str, Any]:
    return Bare()._answer(arguments("plan", wanted, **more), {})


def verbs(found: dict[str, Any]) -> list[str]:
    return [s["verb"] for s in found["plan"]["steps"]]


def test_a_plan_is_made_of_what_was_read_and_shown_once() -> None:
    action = Bare()
    found = action._answer(arguments("plan", EIGHT, seen=read(EIGHT, _7={"out": True}, _8={"out": True})), {})
    assert verbs(found)[:2] == ["meet", "meet"]
    assert "move_slots" in verbs(found)
    assert (found["changed"], len(action.shown)) == (True, 1)
    assert "meet" in found["diff"]["after"]


def test_nothing_to_do_is_no_change() -> None:
    found = planned(SIX, seen=read())
    assert (found["changed"], found["plan"]["steps"]) == (False, [])


def test_a_part_of_a_larger_plan_is_not_shown() -> None:
    action = Bare()
    action._answer(arguments("plan", seen=read(), show=False), {})
    assert action.shown == []


def test_without_any_node_the_plan_follows_from_the_inventory() -> None:
    found = planned(SIX)
    assert verbs(found) == ["create"]
    assert found["plan"]["notes"] == ["no instance answers: planned from the inventory alone"]
    assert verbs(planned(SIX, seen=read(**{f"_{n}": {"error": "Connection refused"} for n in SEEN}))) == ["create"]


def test_a_read_that_failed_is_no_empty_cluster() -> None:
    with pytest.raises(Refused, match="no library"):
        planned(SIX, seen={"failed": True, "msg": "no library"})


def test_a_refused_plan_fails_with_its_reasons_and_is_shown() -> None:
    action = Bare()
    found = action._answer(arguments("plan", seen=read(_6={"of": 3, "error": "timeout"}), show=False), {})
    assert (found["failed"], found["exit_code"], found["changed"]) == (True, 2, False)
    assert "redis6:7000: timeout" in found["msg"]
    assert len(action.shown) == 1


def test_dead_masters_are_replaced_only_where_it_is_asked_for() -> None:
    dead = read(_3={"slots": "10923-16383", "error": "timeout"})
    assert planned(SIX, seen=dead)["failed"]
    assert verbs(planned(SIX, seen=dead, repair=True)) == ["promote"]


def test_a_saved_plan_goes_on_or_has_moved() -> None:
    before = read(EIGHT, _7={"out": True}, _8={"out": True})
    saved = planned(seen=before)["plan"]
    half = planned(seen=read(EIGHT, _7={}, _8={"out": True}), expect=saved)
    assert [s["id"] for s in half["plan"]["steps"]] == [
        s["id"] for s in saved["steps"] if s["id"] != "meet/redis7:7000"
    ]
    with pytest.raises(StateMoved):
        planned(SIX, seen=read(), expect=saved)


def test_apply_does_the_whole_plan_and_hides_the_secrets() -> None:
    action = Bare()
    plan = planned(seen=read(EIGHT, _7={"out": True}, _8={"out": True}))["plan"]
    handle = {"cluster": "sessions", "run": "r1", "token": 3}
    action._answer(arguments("apply", EIGHT, plan=plan, lease=handle), {})
    sent, done = action.loops[0]
    assert done == Plan.from_summary(plan)
    assert sorted(sent) == ["cluster", "lease", "operation", "payload", "required"]
    assert sent["lease"] == handle
    assert PASSWORD not in str(sent)
    assert unpack(sent["payload"]) == [{**SECRETS["sessions"], "certificate": "", "key": "", "ca": ""}]


def test_giving_keys_up_takes_the_clusters_name() -> None:
    step = Step("assign/0-5", "assign_slots", "0-5", args={"lost": "all keys in them are lost: redis1:7000 is dead"})
    plan = Plan("redis", "sessions", (step,)).summary()
    for confirm in ("", "yes"):
        with pytest.raises(Refused, match=r"redis1:7000 is dead.*confirm: sessions"):
            Bare()._answer(arguments("apply", plan=plan, confirm=confirm), {})
    action = Bare()
    action._answer(arguments("apply", plan=plan, confirm="sessions"), {})
    assert len(action.loops) == 1


def test_stopping_is_judged_on_what_was_read() -> None:
    ask = {"seen": read(), "member": "redis4"}
    assert Bare()._answer(arguments("ok_to_stop", **ask), {})["verdict"]["ok"]
    with pytest.raises(GateNotPassed, match="hand over to redis4:7000 first"):
        Bare()._answer(arguments("ok_to_stop", **{**ask, "member": "redis1"}), {})
    found = Bare()._answer(arguments("ok_to_stop", **{**ask, "member": "redis1"}, required=False), {})
    assert found["verdict"]["ok"] is False
    with pytest.raises(Refused, match="names a member"):
        Bare()._answer(arguments("ok_to_stop", seen=read()), {})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"operation": "aply"}, "value of operation must be one of"),
        ({"cluster": {**SIX.as_dict(), "mode": "standalone"}}, "servers that are something together"),
        ({"switchover_to": "redis2"}, "for clusters with one primary"),
        ({"repair": "maybe"}, "repair"),
        ({"operation": "read", "secrets": {}}, "none of this cluster"),
        ({"operation": "read", "secrets": PASSWORD}, "seen: str"),
    ],
)
def test_wrong_arguments_are_refused_and_no_secret_is_told(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said) as refused:
        Bare()._answer({**arguments("plan"), **wrong}, {})
    assert PASSWORD not in str(refused.value)


def called(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> list[dict[str, Any]]:
    """Let the module answer that; return what it is called with."""
    calls: list[dict[str, Any]] = []

    def execute(_self: Any, **given: Any) -> dict[str, Any]:
        calls.append(given)
        return dict(answer)

    monkeypatch.setattr(ClusterAction, "_execute_module", execute)
    return calls


@pytest.mark.parametrize("operation", redis_cluster.REMOTE)
def test_the_module_runs_with_the_python_that_has_the_library(monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    calls = called(monkeypatch, {"changed": False, "invocation": {"module_args": "all of them"}})
    variables = {"inventory_hostname": "redis1", "ansible_python_interpreter": "/usr/bin/python3"}
    assert Bare()._answer(arguments(operation), variables) == {"changed": False}
    assert calls[0]["task_vars"]["ansible_python_interpreter"] == "/opt/steelyard/client/bin/python"
    assert calls[0]["module_args"]["operation"] == operation
    assert PASSWORD not in str(calls[0]["module_args"])
    assert variables["ansible_python_interpreter"] == "/usr/bin/python3"


def test_delegated_hosts_get_it_too() -> None:
    found = with_interpreter({"ansible_delegated_vars": {"redis2": {"ansible_host": "10.0.0.2"}}}, "/x/python")
    assert found["ansible_delegated_vars"]["redis2"] == {
        "ansible_host": "10.0.0.2", "ansible_python_interpreter": "/x/python",
    }  # fmt: skip


@pytest.mark.parametrize(
    "answer",
    [
        {"failed": True, "rc": 127, "module_stderr": "/bin/sh: 1: /opt/steelyard/client/bin/python: not found"},
        {
            "failed": True, "rc": 127,
            "msg": "The module interpreter '/opt/steelyard/client/bin/python' was not found.",
        },
    ],
)  # fmt: skip
def test_a_missing_environment_says_what_installs_it(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]) -> None:
    called(monkeypatch, answer)
    with pytest.raises(Refused, match=r"redis1: .*client library.*run site\.yml.*redis=="):
        Bare()._answer(arguments("read"), {"inventory_hostname": "redis1"})


def test_what_the_module_itself_says_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"failed": True, "msg": "sessions is well (seen: redis6 not found)", "exit_code": 5}
    called(monkeypatch, said)
    assert Bare()._answer(arguments("health"), {}) == said


def test_what_is_read_travels_as_one_text() -> None:
    found = read()
    assert isinstance(found["nodes"], str)
    assert pack(unpack(found["nodes"])) == found["nodes"]
