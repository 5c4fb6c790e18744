"""`redis_cluster` for clusters of mode replication: the action plans and judges, the module reads, by the same words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from support.redis_replication_cases import state_of, wanted_of

from ansible_collections.steelyard.stack.plugins.action.redis_cluster import ActionModule
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack, unpack
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ADMIN, ClusterSpec, Secrets
from ansible_collections.steelyard.stack.plugins.module_utils.redis.modes import MODES, mode_of
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import access, result
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State
from ansible_collections.steelyard.stack.plugins.modules import redis_cluster

THREE = wanted_of({"servers": [1, 2, 3], "sentinels": [1, 2, 3]})
FOUR = wanted_of({"servers": [1, 2, 3, 4], "sentinels": [1, 2, 3]})
WELL: dict[str, Any] = {"servers": {1: {}, 2: {"of": 1}, 3: {"of": 1}}, "sentinels": {1: {}, 2: {}, 3: {}}}
SECRETS = {"cache": {"passwords": {"steelyard": "verwaltung", "sentinel": "waechter"}}}


class Bare(ActionModule):
    """The action without a connection."""

    def __init__(self) -> None:
        self.shown: list[Any] = []

    def show_plan(self, plan: Any, task_vars: Any) -> None:
        self.shown.append(plan)

    def finish(self, result: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        return result


def read(wanted: ClusterSpec = THREE, seen: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"changed": False, **result.shown(wanted, state_of(seen or WELL, wanted))}


def ask(operation: str, wanted: ClusterSpec = THREE, **more: Any) -> dict[str, Any]:
    return Bare()._answer({"operation": operation, "cluster": wanted.as_dict(), "secrets": SECRETS, **more}, {})


def steps(found: dict[str, Any]) -> list[str]:
    return [s["id"] for s in found["plan"]["steps"]]


def test_what_is_read_comes_back_whole() -> None:
    found = read()
    state = state_of(WELL, THREE)
    assert result.seen(unpack(found["nodes"]), THREE) == state
    assert (found["clustered"], found["primary"]) == (True, "redis1:6379")
    assert [m["role"] for m in found["members"]] == ["master", "replica", "replica", *["sentinel"] * 3]
    assert [m["of"] for m in found["members"]][1] == "redis1:6379"


def test_plans_by_the_same_task() -> None:
    assert steps(ask("plan", seen=read())) == []
    found = ask("plan", FOUR, seen=read(FOUR))
    assert (found["changed"], steps(found)) == (True, ["attach/redis4:6379"])
    assert steps(ask("plan")) == ["create/cache"]
    assert "no instance answers: planned from the inventory alone" in ask("plan")["plan"]["notes"]
    assert steps(ask("plan", seen=read(), switchover_to="redis3")) == ["switchover/redis3:6379"]


def test_a_saved_plan_goes_on_or_has_moved() -> None:
    saved = ask("plan", FOUR, seen=read(FOUR))["plan"]
    done = {**WELL, "servers": {**WELL["servers"], 4: {"of": 1}}}
    assert steps(ask("plan", FOUR, seen=read(FOUR, done), expect=saved)) == []
    led = {**WELL, "servers": {1: {"of": 2}, 2: {}, 3: {"of": 2}}}
    assert steps(ask("plan", FOUR, seen=read(FOUR, led), expect=saved)) == ["attach/redis4:6379"]
    with pytest.raises(StateMoved):
        ask("plan", THREE, seen=read(), expect=saved)


def test_the_fingerprint_does_not_know_who_leads() -> None:
    led = {**WELL, "servers": {1: {"of": 2, "offset": 77}, 2: {}, 3: {"of": 2}}}
    one, other = (ask("plan", FOUR, seen=read(FOUR, seen))["plan"]["fingerprint"] for seen in (WELL, led))
    assert one == other


def test_settings_that_somebody_else_told_have_moved() -> None:
    wanted = wanted_of({"servers": [1, 2, 3], "sentinels": [1, 2, 3], "quorum": 3})
    saved = ask("plan", wanted, seen=read(wanted))["plan"]
    told = {**WELL, "sentinels": {1: {"quorum": 3}, 2: {}, 3: {}}}
    assert steps(ask("plan", wanted, seen=read(wanted, told), expect=saved)) == [
        "tune/redis2:26379",
        "tune/redis3:26379",
    ]
    with pytest.raises(StateMoved, match="quorum is 1"):
        ask("plan", wanted, seen=read(wanted, {**WELL, "sentinels": {1: {"quorum": 1}, 2: {}, 3: {}}}), expect=saved)


def test_stopping_is_judged() -> None:
    assert ask("ok_to_stop", seen=read(), member="redis2")["verdict"]["ok"]
    with pytest.raises(GateNotPassed, match="switch over to redis2:6379 first"):
        ask("ok_to_stop", seen=read(), member="redis1")


def test_every_mode_has_a_whole_row() -> None:
    assert set(MODES) == {"cluster", "replication"}
    with pytest.raises(Refused, match="mode standalone"):
        mode_of(replace(THREE, mode="standalone"))


def test_the_module_reads_and_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fake:
        def state(self) -> State:
            return state_of(WELL, THREE)

    @contextlib.contextmanager
    def lent(*_: Any) -> Iterator[Fake]:
        yield Fake()

    row = replace(mode_of(THREE), opened=lent)
    monkeypatch.setattr(redis_cluster, "mode_of", lambda _: row)
    params = {n: o.get("default") for n, o in redis_cluster.ARGUMENTS.items()}
    given = {**params, "cluster": THREE.as_dict(), "payload": pack([{}])}
    assert redis_cluster.answer({**given, "operation": "read"}, False)["primary"] == "redis1:6379"
    assert redis_cluster.answer({**given, "operation": "health"}, False)["verdict"]["ok"]


def test_a_failover_is_waited_for_by_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = {**WELL, "sentinels": {1: {"flags": ["master", "failover_in_progress"]}, 2: {}, 3: {}}}
    answers = [state_of(busy, THREE), state_of(busy, THREE), state_of(WELL, THREE)]

    class Fake:
        def state(self) -> State:
            return answers.pop(0)

    monkeypatch.setattr(access, "PAUSE", 0.0)
    assert access.read(Fake(), THREE, True) == state_of(WELL, THREE)  # type: ignore[arg-type]
    answers.append(state_of(busy, THREE))
    assert access.read(Fake(), THREE, False) == state_of(busy, THREE)  # type: ignore[arg-type]


def test_the_client_knows_the_sentinels_and_hides_their_password() -> None:
    with access.opened(THREE, Secrets({ADMIN: "verwaltung", "sentinel": "waechter"})) as client:
        assert client.sentinels == ("redis1:26379", "redis2:26379", "redis3:26379")
        assert client.sentinel_password == "waechter"
        assert "waechter" not in repr(client)
        assert "verwaltung" not in repr(client.access)
    with pytest.raises(Refused, match="password of the user steelyard"), access.opened(THREE, Secrets()):
        pass
