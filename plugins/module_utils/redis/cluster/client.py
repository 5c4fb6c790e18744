# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The instances of one cluster, by their inventory names: links to them, and reading what they say.

Each method asks or does one thing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import Links, text, whole
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import (
    Command,
    ErrorReply,
    NoAnswer,
)

OPTIONAL_COMMANDS = ("cluster|migration", "cluster|migrateslots", "cluster|slot-stats")
SLOTS_A_PIPELINE = 4096


class Client(Links):
    """The instances of one Redis Cluster."""

    def read(self, names: Iterable[str] | None = None) -> tuple[Node, ...]:
        """Return what each instance says; one that does not answer is a Node with an `error`."""
        found = self.on_each(self.instances if names is None else names, self._read_one)
        return tuple(found.values())

    def _read_one(self, name: str) -> Node:
        place = self.instances[name]
        where = {"name": name, "host": place.host, "address": place.address, "port": place.port}
        commands: list[Command] = [("INFO",), ("CONFIG", "GET", "save"), ("COMMAND", "INFO", *OPTIONAL_COMMANDS)]
        cluster: list[Command] = [("CLUSTER", "NODES"), ("CLUSTER", "INFO")]
        try:
            replies = self.ask_all(name, commands + cluster)
        except NoAnswer as silent:
            return parse.silent(where, str(silent))
        if isinstance(replies[0], ErrorReply):
            return parse.silent(where, replies[0].text)
        info, save, known, seen, state = replies
        answers = parse.Answers(text(info), text(seen), text(state), _setting(save), _commands(known))
        return parse.node(where, answers)

    def slot_keys(self, name: str, slots: Sequence[int]) -> dict[int, int]:
        """Return how many keys the instance has in each slot; raises ErrorReply or NoAnswer."""
        counts: dict[int, int] = {}
        for start in range(0, len(slots), SLOTS_A_PIPELINE):
            part = slots[start : start + SLOTS_A_PIPELINE]
            replies = self.ask_all(name, [("CLUSTER", "COUNTKEYSINSLOT", s) for s in part])
            counts.update(zip(part, map(whole, replies), strict=True))
        return counts


def _setting(reply: Any) -> str:
    return text(reply[1]) if isinstance(reply, list) and len(reply) > 1 else ""


def _commands(reply: Any) -> frozenset[str]:
    if not isinstance(reply, list):
        return frozenset()
    return frozenset(n for n, known in zip(OPTIONAL_COMMANDS, reply, strict=True) if known)


def masters(nodes: Iterable[Node]) -> Mapping[str, Node]:
    """Return the masters among those that answer, by id."""
    return {n.id: n for n in nodes if n.answers and n.role == MASTER}
