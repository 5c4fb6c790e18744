# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Links to the servers and Sentinels of one cluster, by their inventory names, and replies as text and numbers."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import HostProcess
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import (
    Access,
    Command,
    ErrorReply,
    Link,
    NoAnswer,
    Word,
)

READERS = 32
"""Threads that read; each waits for its server nearly all of the time."""

Result = TypeVar("Result")


class Links:
    """Links to the members of one cluster, kept for the next who asks; close it when done."""

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


def whole(reply: Any) -> int:
    """Return an integer reply; raises ErrorReply."""
    if isinstance(reply, ErrorReply):
        raise reply
    return int(reply)


def text(reply: Any) -> str:
    """Return a text reply; an error reply is an empty text."""
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
