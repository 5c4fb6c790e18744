# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The instances of one cluster, by their inventory names: links to them, and reading what they say.

Each method asks or does one thing and decides nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import MASTER, Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import HostProcess
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import (
    Access,
    Command,
    ErrorReply,
    Link,
    NoAnswer,
    Word,
)

OPTIONAL_COMMANDS = ("cluster|migration", "cluster|migrateslots", "cluster|slot-stats")
READERS = 32
"""Threads that read; each waits for its server nearly all of the time."""
SLOTS_A_PIPELINE = 4096

Result = TypeVar("Result")


class Client:
    """Links to the instances of one cluster, kept for the next who asks; close it when done."""

    def __init__(self, access: Access, instances: Iterable[HostProcess]) -> None:
        self.access = access
        self.instances = {i.name: i for i in instances}
        self._free: dict[tuple[str, float], list[Link]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def link(self, name: str, timeout: float | None = None) -> Iterator[Link]:
        """Lend a link to an instance; `timeout` in seconds where it is not the usual one."""
        patience = self.access.timeout if timeout is None else timeout
        with self._lock:
            free = self._free.setdefault((name, patience), [])
            link = free.pop() if free else None
        if link is None:
            place = self.instances[name]
            link = Link(place.address, place.port, replace(self.access, timeout=patience))
        try:
            yield link
        except BaseException:
            link.close()  # replies may be due on it
            raise
        with self._lock:
            free.append(link)

    def ask(self, name: str, *words: Word, timeout: float | None = None) -> Any:
        """Send one command to an instance; raises ErrorReply or NoAnswer."""
        reply = self.ask_all(name, [words], timeout)[0]
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def ask_all(self, name: str, commands: Sequence[Command], timeout: float | None = None) -> list[Any]:
        """Send commands to an instance together; error replies are among the replies. Raises NoAnswer."""
        with self.link(name, timeout) as link:
            return link.ask_all(commands)

    def close(self) -> None:
        """End the connections that nobody uses."""
        with self._lock:
            for link in (one for links in self._free.values() for one in links):
                link.close()
            self._free.clear()

    def on_each(self, names: Iterable[str], work: Callable[[str], Result]) -> dict[str, Result]:
        """Do `work` for each name at the same time; what it raises is passed on."""
        wanted = list(names)
        if len(wanted) < 2:
            return {n: work(n) for n in wanted}
        with ThreadPoolExecutor(min(READERS, len(wanted))) as pool:
            return dict(zip(wanted, pool.map(work, wanted), strict=True))

    def tell_all(self, names: Iterable[str], commands: Sequence[Command]) -> dict[str, list[Any]]:
        """Send the same commands to several instances at the same time; who does not answer has one NoAnswer."""

        def tell(name: str) -> list[Any]:
            try:
                return self.ask_all(name, commands)
            except NoAnswer as silent:
                return [silent]

        return self.on_each(names, tell)

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


def whole(reply: Any) -> int:
    """Return an integer reply; raises ErrorReply."""
    if isinstance(reply, ErrorReply):
        raise reply
    return int(reply)


def text(reply: Any) -> str:
    """Return a text reply; an error reply is an empty text."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""


def _setting(reply: Any) -> str:
    return text(reply[1]) if isinstance(reply, list) and len(reply) > 1 else ""


def _commands(reply: Any) -> frozenset[str]:
    if not isinstance(reply, list):
        return frozenset()
    return frozenset(n for n, known in zip(OPTIONAL_COMMANDS, reply, strict=True) if known)


def masters(nodes: Iterable[Node]) -> Mapping[str, Node]:
    """Return the masters among those that answer, by id."""
    return {n.id: n for n in nodes if n.answers and n.role == MASTER}
