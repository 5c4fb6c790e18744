"""Atomic slot migration against a scripted fake of Redis >= 8.4 (after its documentation) and of Valkey >= 9."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import ranges, spread
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.atomic import AtomicMigration, jobs
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.stream import Move
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply

IDS = {"a": "a" * 40, "b": "b" * 40}


class Fake:
    """Two masters, `a` with all slots; a job is done after so many looks at it."""

    def __init__(self, server: str, looks: int = 2, fails: int = 0) -> None:
        self.server, self.looks, self.fails = server, looks, fails
        self.owned = {"a": set(range(100)), "b": set(range(100, 16384))}
        self.tasks: list[dict[str, Any]] = []
        self.asked: list[tuple[str, tuple[Any, ...]]] = []

    def read(self, names: Any = None) -> tuple[Node, ...]:
        view = tuple(Peer(IDS[n], "", 1, "master", slots=tuple(ranges(s))) for n, s in self.owned.items())
        return tuple(
            Node(n, n, "", 1, id=IDS[n], server=self.server, view=view, keys=10, used_memory=1000)
            for n in (names or self.owned)
        )

    def slot_keys(self, name: str, slots: Any) -> dict[int, int]:
        return {s: int(s in self.owned[name]) for s in slots}

    def ask(self, name: str, *words: Any) -> Any:
        return self.ask_all(name, [words])[0]

    def ask_all(self, name: str, commands: Any) -> list[Any]:
        self.asked += [(name, tuple(c)) for c in commands]
        return [self._one(name, list(c)[1:]) for c in commands]

    def _one(self, name: str, words: list[Any]) -> Any:
        if words[0] == "MIGRATESLOTS":
            target = next(n for n, i in IDS.items() if i == words[-1])
            return self._begin(words[2:-2], target)
        if words[:2] == ["MIGRATION", "IMPORT"]:
            return self._begin(words[2:], name)
        for task in self.tasks:
            self._look(task)
        if words[0] == "GETSLOTMIGRATIONS":
            keys = ("name", "slot_ranges", "target_node", "state", "message")
        else:
            assert words == ["MIGRATION", "STATUS", "ALL"]
            keys = ("id", "slots", "dest", "state", "last_error")
        return [[w.encode() for pair in zip(keys, self._told(t), strict=True) for w in pair] for t in self.tasks]

    def _begin(self, parts: list[int], target: str) -> Any:
        slots = spread(list(zip(parts[::2], parts[1::2], strict=True)))
        if any(set(slots) & set(t["slots"]) for t in self.tasks if t["state"] == "in_progress"):
            return ErrorReply("slots are already migrating")
        self.tasks.append(
            {"id": f"j{len(self.tasks)}", "slots": slots, "target": target, "state": "in_progress", "looks": 0}
        )
        return b"OK"

    def _look(self, task: dict[str, Any]) -> None:
        task["looks"] += 1
        if task["state"] == "in_progress" and task["looks"] > self.looks:
            failed = self.fails > 0
            self.fails -= failed
            task["state"] = "failed" if failed else ("success" if self.server == "valkey" else "completed")
            if not failed:
                for owned in self.owned.values():
                    owned.difference_update(task["slots"])
                self.owned[task["target"]].update(task["slots"])

    def _told(self, task: dict[str, Any]) -> tuple[str, ...]:
        text = " ".join(f"{a}-{b}" for a, b in ranges(task["slots"]))
        return (
            task["id"],
            text,
            IDS[task["target"]],
            task["state"],
            "out of luck" if task["state"] == "failed" else "",
        )


def migration(fake: Fake) -> AtomicMigration:
    time = iter(range(10_000))
    nodes = {n.name: n for n in fake.read()}
    return AtomicMigration(fake, nodes, clock=lambda: float(next(time)), sleep=lambda _: None)  # type: ignore[arg-type]


MOVES = [Move(s, "a", "b") for s in (1, 2, 3, 7)]


@pytest.mark.parametrize(("server", "where"), [("valkey", "a"), ("redis", "b")])
def test_moves_and_asks_the_right_side(server: str, where: str) -> None:
    fake = Fake(server)
    tally = migration(fake).run(MOVES, 100)
    assert (tally.slots, tally.keys) == (4, 4)
    assert {1, 2, 3, 7} <= fake.owned["b"]
    assert len(fake.tasks) == 1
    begun = [(n, c) for n, c in fake.asked if "SLOTSRANGE" in c or "IMPORT" in c]
    assert [n for n, _ in begun] == [where]
    parts = begun[0][1][3:-2] if server == "valkey" else begun[0][1][3:]
    assert parts == (1, 3, 7, 7)


@pytest.mark.parametrize("server", ["valkey", "redis"])
def test_adopts_what_is_under_way(server: str) -> None:
    fake = Fake(server, looks=5)
    fake._begin([1, 3], "b")
    migration(fake).run(MOVES, 100)
    assert [t["slots"] for t in fake.tasks] == [[1, 2, 3], [7]]


def test_time_up_is_no_end_of_the_job() -> None:
    fake = Fake("redis", looks=50)
    assert migration(fake).run(MOVES, 5).slots == 0
    assert migration(fake).run(MOVES, 1000).slots == 4
    assert len(fake.tasks) == 1


def test_a_job_that_fails_is_tried_again_and_then_reported() -> None:
    fake = Fake("redis", looks=0, fails=2)
    assert migration(fake).run(MOVES, 1000).slots == 4
    with pytest.raises(GateNotPassed, match="out of luck"):
        migration(Fake("valkey", looks=0, fails=99)).run(MOVES, 1000)


def test_a_job_that_goes_elsewhere_is_not_ours() -> None:
    fake = Fake("redis", looks=50)
    fake._begin([2, 2], "a")
    with pytest.raises(StateMoved, match="slot 2"):
        migration(fake).run(MOVES, 100)


def test_both_dialects_are_read() -> None:
    valkey = [b"name", b"x", b"slot_ranges", b"1-2 5", b"target_node", b"t", b"state", b"snapshotting", b"message", b""]
    redis = [b"id", b"y", b"slots", b"1-2", b"dest", b"t", b"state", b"completed", b"last_error", b""]
    one, two = jobs([valkey, redis])
    assert (one.id, one.slots, one.target, one.ended) == ("x", (1, 2, 5), "t", False)
    assert (two.id, two.slots, two.ended, two.failed) == ("y", (1, 2), True, False)
