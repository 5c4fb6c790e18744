# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redis as the rest of the service knows it: calls that are tried again until their deadline, and whether it is there.

A failover, a slot that moves, a server that starts: each is an error for a moment, and nothing that a client of ours
should see. What is asked of Redis here may be done twice without harm, so that an attempt whose answer was lost is
tried again like any other.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
from redis.exceptions import ReadOnlyError

from market_api import topology
from market_api.redis_errors import LIBRARY_ERRORS, Meaning, meaning

if TYPE_CHECKING:
    from random import Random

    from market_api.metrics import RedisMetrics
    from market_api.redis_settings import RedisSettings
    from market_api.topology import Client, Clients

log = logging.getLogger(__name__)
T = TypeVar("T")

PREFIX = "market:"  # of every key and channel: what the ACL user may touch
FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds between two attempts
PROBE_PAUSE = 0.5  # seconds between two looks at a Redis that is away


class Away(Exception):
    """Redis did not do it; `reason` is the label that metrics carry."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"Redis is away: {reason}")


def pause_after(attempt: int, random: Random) -> float:
    """Return the seconds to wait after this many attempts: doubled each time, and spread so that not all come at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(attempt, 10))
    return longest * random.uniform(0.5, 1.0)


class Backing:
    """One Redis. `up` is what the last calls found; while it is not, only urgent calls and a probe try."""

    def __init__(self, settings: RedisSettings, metrics: RedisMetrics, random: Random) -> None:
        self.settings, self.up = settings, False
        self._metrics, self._random = metrics, random
        self._clients: Clients | None = None
        self._room = anyio.Semaphore(settings.connections)
        self._turned = anyio.Event()
        metrics.limit.set(settings.connections)
        metrics.up.set(0)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Have clients within the context."""
        async with topology.clients(self.settings) as found:
            self._clients = found
            try:
                yield
            finally:
                self._clients = None

    @property
    def clients(self) -> Clients:
        """The clients; Away before the start and after the end of the process's service."""
        if self._clients is None:
            raise Away("closed")
        return self._clients

    async def write(self, work: Callable[[Client], Awaitable[T]], seconds: float, *, urgent: bool = False) -> T:
        """Return what `work` returns with the primaries' client, within `seconds`; raises Away."""
        return await self._call(lambda: work(self.clients.writer), seconds, urgent)

    async def read(self, work: Callable[[Client], Awaitable[T]], seconds: float, *, urgent: bool = False) -> T:
        """The same with the client for reads."""
        return await self._call(lambda: work(self.clients.reader), seconds, urgent)

    async def _call(self, attempt: Callable[[], Awaitable[T]], seconds: float, urgent: bool) -> T:
        last = Meaning("deadline", True)
        with anyio.move_on_after(seconds):
            async with self._room:
                with self._metrics.in_use.track_inprogress():
                    attempts = 0
                    while self.up or urgent:
                        try:
                            answer = await attempt()
                        except LIBRARY_ERRORS as err:
                            last = meaning(err)
                            if not last.again:
                                break
                            attempts += 1
                            self._metrics.retries.labels(last.reason).inc()
                            await self._mend(err)
                            await anyio.sleep(pause_after(attempts, self._random))
                        else:
                            self._turn(True, "answers")
                            return answer
                    else:
                        self._metrics.skipped.inc()
                        raise Away("away")
        self._metrics.failures.labels(last.reason).inc()
        if last.again or last.reason == "denied":
            self._turn(False, last.reason)
        raise Away(last.reason)

    async def _mend(self, error: BaseException) -> None:
        # Whoever became a replica keeps its connections: the next attempt must not take one of them.
        if isinstance(error, ReadOnlyError):
            await self.clients.renew()

    def _turn(self, up: bool, why: str) -> None:
        """Note the state, and say it once, when it changes."""
        if up != self.up:
            log.log(logging.INFO if up else logging.WARNING, "redis is %s: %s", "up" if up else "away", why)
            self.up = up
            self._metrics.up.set(up)
            self._turned.set()
            self._turned = anyio.Event()

    async def until(self, up: bool) -> None:
        """Wait until it is up, or away."""
        while self.up != up:
            await self._turned.wait()

    async def probe(self) -> None:
        """Look for a Redis that is away until it answers; until cancelled."""
        while True:
            try:
                await self.write(lambda c: c.get(f"{PREFIX}probe"), 4 * self.settings.timeout, urgent=True)
            except Away:
                await anyio.sleep(PROBE_PAUSE)
            else:
                await self.until(False)
