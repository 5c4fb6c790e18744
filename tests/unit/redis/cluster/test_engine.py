"""Whom the steps wait for, and marks that nobody else takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.redis_cases import id_of, seen_of, wanted_of
from support.redis_fake import FakeClient

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import counted_on, disagreement
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

HALVES: dict[Any, dict[str, Any]] = {
    1: {"slots": "0-5460"}, 2: {"slots": "5461-10922"}, 3: {"slots": "10923-16383"}, 4: {"of": 1}, 5: {"of": 2},
    6: {"of": 3},
}  # fmt: skip


def whole(**changed: Any) -> dict[Any, dict[str, Any]]:
    """Three shards of two, some of them changed (`_6`)."""
    seen = {k: {**v, "cluster_state": "ok"} for k, v in HALVES.items()}
    for key, said in changed.items():
        seen[int(key[1:])] = said
    return seen


@pytest.mark.parametrize(
    ("hosts", "changed", "reason"),
    [
        ([1, 2, 3, 4, 5, 6], {}, ""),
        ([1, 2, 3, 4, 5, "6 maintenance"], {"_6": {"of": 3, "error": "timeout"}}, ""),
        ([1, 2, 3, 4, 5, "6 maintenance"], {"_6": {"of": 3, "error": "timeout", "runs": True}}, ""),
        ([1, 2, 3, 4, 5, 6], {"_6": {"of": 3, "error": "timeout"}}, "redis6:7000 does not answer: timeout"),
        ([1, 2, 3, 4, 5, 6, 7], {"_7": {"out": True, "error": "Connection refused"}}, ""),
        (
            [1, 2, "3 maintenance", 4, 5, 6], {"_3": {"slots": "10923-16383", "error": "timeout"}},
            "redis3:7000 does not answer: timeout",
        ),
    ],
    ids=["all", "maintenance", "maintenance-just-now", "dead", "not-installed", "maintenance-with-slots"],
)  # fmt: skip
def test_who_has_to_agree(hosts: list[Any], changed: dict[str, Any], reason: str) -> None:
    wanted = wanted_of({"hosts": hosts})
    counted, excused = counted_on(seen_of(whole(**changed), wanted), wanted.instances)
    assert disagreement(list(counted.values()), dead=excused) == reason


def test_nobody_who_answers_is_not_agreement() -> None:
    wanted = wanted_of({"hosts": [1, 2, 3]})
    counted, excused = counted_on(seen_of({n: {"error": "timeout"} for n in (1, 2, 3)}, wanted), wanted.instances)
    assert disagreement(list(counted.values()), dead=excused) == "redis1:7000 does not answer: timeout"


def finish(client: FakeClient, folder: Path, slots: dict[str, Any]) -> str | None:
    step = Step("finish/5", "finish_slots", "5", args={"slots": slots})
    applier = Applier(client, client.wanted, (), [step], notes=UndoNotes(str(folder)))  # type: ignore[arg-type]
    try:
        return applier.execute(step, 5.0)
    finally:
        assert applier.put_back() == []


@pytest.mark.parametrize(("number", "slot"), [(1, 5), (1, 6000)], ids=["its-own", "anothers"])
@pytest.mark.parametrize("kind", ["migrating", "importing"])
def test_a_mark_that_names_a_forgotten_node_goes(tmp_path: Path, number: int, slot: int, kind: str) -> None:
    """Also where the plan knew nothing of it."""
    seen = whole()
    seen[number][kind] = {slot: 99}
    seen[2]["importing"] = {7: 1}
    client = FakeClient(wanted_of({"hosts": [1, 2, 3, 4, 5, 6]}), seen)
    assert id_of(99) not in {p.id for n in client.read() for p in n.view}
    ends = {"source": "redis2:7000", "target": "redis1:7000"}
    assert finish(client, tmp_path, {"7": ends}) is None
    assert not any(n.myself.migrating or n.myself.importing for n in client.read() if n.myself)
    assert set(client.settings["redis1:7000"].values()) == {"yes"}


def test_a_mark_with_keys_under_it_stays(tmp_path: Path) -> None:
    """They would be stray: the next plan says where they go."""
    seen = whole()
    seen[1]["importing"] = {6000: 99}
    client = FakeClient(wanted_of({"hosts": [1, 2, 3, 4, 5, 6]}), seen)
    client.keys["redis1:7000", 6000] = 3
    assert finish(client, tmp_path, {"7": {"source": "redis1:7000", "target": "redis1:7000"}}) is None
    assert ("redis1:7000", "CLUSTER", "SETSLOT", 6000, "STABLE") not in client.asked


def test_the_ends_are_who_leads_now(tmp_path: Path) -> None:
    """The plan named a master that its replica has replaced, and a source that has left."""
    seen = whole(_1={"of": 4, "cluster_state": "ok"}, _4={"slots": "0-5460", "cluster_state": "ok"})
    seen[4]["importing"] = {5: 2}
    client = FakeClient(wanted_of({"hosts": [1, 2, 3, 4, 5, 6]}), seen)
    assert finish(client, tmp_path, {"5": {"source": "redis9:7000", "target": "redis1:7000"}}) is None
    assert ("redis4:7000", "CLUSTER", "SETSLOT", 5, "STABLE") in client.asked


def test_a_target_that_is_gone_is_said(tmp_path: Path) -> None:
    client = FakeClient(wanted_of({"hosts": [1, 2, 3, 4, 5, 6]}), whole())
    with pytest.raises(GateNotPassed, match="redis9:7000 answers"):
        finish(client, tmp_path, {"5": {"source": "redis1:7000", "target": "redis9:7000"}})


def test_moving_closes_what_has_arrived_and_is_marked_still(tmp_path: Path) -> None:
    """The source died after the target had taken the slot, and came back with its mark."""
    seen = whole()
    seen[1]["migrating"] = {6000: 2, 7000: 2}
    client = FakeClient(wanted_of({"hosts": [1, 2, 3, 4, 5, 6]}), seen)
    ends = {"source": "redis1:7000", "target": "redis2:7000"}
    step = Step("move/6", "move_slots", "6", args={**ends, "slots": [[6000, 6001]]})
    applier = Applier(client, client.wanted, (), [step], notes=UndoNotes(str(tmp_path)))  # type: ignore[arg-type]
    assert applier.execute(step, 5.0) is None
    assert client.asked == [("redis1:7000", "CLUSTER", "SETSLOT", 6000, "STABLE")]
