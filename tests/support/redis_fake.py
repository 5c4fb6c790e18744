"""A client of a Redis Cluster without servers: shows what a case file's `seen` says, and lets few commands change it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from support.redis_cases import name_of, seen_of

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer

WANDERING = "cluster-allow-replica-migration"


class FakeClient:
    """`seen` by number, as in a case; `keys` by (name, slot); `asked` are the commands that changed something."""

    def __init__(self, wanted: ClusterSpec, seen: dict[Any, dict[str, Any]]) -> None:
        self.wanted, self.seen = wanted, seen
        self.instances = {i.name: i for i in wanted.instances}
        self.settings = {i.name: {WANDERING: "yes"} for i in wanted.instances}
        self.keys: dict[tuple[str, int], int] = {}
        self.asked: list[tuple[Any, ...]] = []
        self.refuses: dict[str, str] = {}

    def read(self, names: Iterable[str] | None = None) -> tuple[Node, ...]:
        chosen = set(self.instances if names is None else names)
        return tuple(n for n in seen_of(self.seen, self.wanted) if n.name in chosen)

    def slot_keys(self, name: str, slots: Sequence[int]) -> dict[int, int]:
        return {s: self.keys.get((name, s), 0) for s in slots}

    def ask(self, name: str, *words: Any, timeout: float | None = None) -> Any:
        reply = self.ask_all(name, [words], timeout)[0]
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def ask_all(self, name: str, commands: Sequence[Any], timeout: float | None = None) -> list[Any]:
        if "error" in self._said(name):
            raise NoAnswer(self._said(name)["error"])
        return [self._one(name, tuple(c)) for c in commands]

    def on_each(self, names: Iterable[str], work: Any) -> dict[str, Any]:
        return {n: work(n) for n in names}

    def close(self) -> None:
        pass

    def _said(self, name: str) -> dict[str, Any]:
        return next(said for key, said in self.seen.items() if name_of(key) == name)

    def _one(self, name: str, words: tuple[Any, ...]) -> Any:
        kind = " ".join(str(w) for w in words[:2])
        if kind == "CONFIG GET":
            return [words[2].encode(), self.settings[name][words[2]].encode()]
        if kind == "CLUSTER GETKEYSINSLOT":
            return [f"{words[2]}.{n}".encode() for n in range(min(words[3], self.keys.get((name, words[2]), 0)))]
        if kind.startswith("MEMORY USAGE"):
            return 100
        if kind in self.refuses:
            return ErrorReply(self.refuses[kind])
        self.asked.append((name, *words))
        if kind == "CONFIG SET":
            self.settings[name][words[2]] = words[3]
        elif kind == "CLUSTER SETSLOT":
            assert words[3] == "STABLE"
            for marks in ("migrating", "importing"):
                self._said(name).get(marks, {}).pop(words[2], None)
        elif kind == "CLUSTER FAILOVER":
            self._swap(name)
        else:
            raise AssertionError(f"nobody expects {words}")
        return b"OK"

    def _swap(self, name: str) -> None:
        mine = self._said(name)
        key = next(k for k in self.seen if name_of(k) == name)
        old_key = mine.pop("of")
        mine["slots"] = self.seen[old_key].pop("slots")
        for said in self.seen.values():
            if said.get("of") == old_key:
                said["of"] = key
        self.seen[old_key]["of"] = key


@contextlib.contextmanager
def lent(client: FakeClient) -> Iterator[FakeClient]:
    """Stand for `access.opened`."""
    yield client
