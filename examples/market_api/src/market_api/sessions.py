# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions: small documents under a random name, which end when nobody has touched them for their lifetime.

They live in Redis and nowhere else, so a call is tried again until its deadline; then the client is told to come back.
Without Redis they are in this process's memory.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from market_api.shared_cache import name_of

if TYPE_CHECKING:
    from market_api.backing import Backing
    from market_api.ttls import Ttls


@dataclass(frozen=True)
class Session:
    """One session; `data` is what its owner keeps in it."""

    name: str
    data: Mapping[str, Any]


class SessionsFull(Exception):
    """There are as many sessions as may be."""


class Sessions(Protocol):
    """Where sessions are kept. Every method raises Away where that is Redis, and it does not do it in time."""

    async def create(self, data: Mapping[str, Any]) -> Session:
        """Keep a new one; raises SessionsFull."""

    async def read(self, name: str) -> Session | None:
        """Return it, with its end unchanged."""

    async def touch(self, name: str) -> Session | None:
        """Return it, and let its lifetime begin anew."""

    async def delete(self, name: str) -> None:
        """End it; one that has ended already is fine."""

    def lifetime(self, name: str) -> float:
        """Return the seconds that it lives untouched."""


def new_name() -> str:
    """Return a name that nobody guesses."""
    return secrets.token_urlsafe(32)


def key_of(name: str) -> str:
    """Return the key of a session, which MARKET_TTLS has patterns for."""
    return f"sessions:{name}"


class RedisSessions:
    """Sessions in Redis, common to all instances."""

    def __init__(self, backing: Backing, ttls: Ttls) -> None:
        self._backing, self._ttls = backing, ttls
        self._seconds = backing.settings.session_deadline

    def lifetime(self, name: str) -> float:
        """See Sessions."""
        return self._ttls.of(key_of(name))

    def _milliseconds(self, name: str) -> int:
        return max(1, int(1000 * self.lifetime(name)))

    async def create(self, data: Mapping[str, Any]) -> Session:
        """See Sessions. Done twice, when the first answer was lost, it is the same session."""
        name, text = new_name(), json.dumps(data)
        key, lifetime = name_of(key_of(name)), self._milliseconds(name)
        await self._backing.write(lambda c: c.set(key, text, px=lifetime), self._seconds, urgent=True)
        return Session(name, data)

    async def read(self, name: str) -> Session | None:
        """See Sessions. A replica may not know it yet: then the primary is asked."""
        key = name_of(key_of(name))
        text = await self._backing.read(lambda c: c.get(key), self._seconds, urgent=True)
        if text is None and self._backing.settings.read_replicas:
            text = await self._backing.write(lambda c: c.get(key), self._seconds, urgent=True)
        return _session(name, text)

    async def touch(self, name: str) -> Session | None:
        """See Sessions."""
        key, lifetime = name_of(key_of(name)), self._milliseconds(name)
        return _session(
            name, await self._backing.write(lambda c: c.getex(key, px=lifetime), self._seconds, urgent=True)
        )

    async def delete(self, name: str) -> None:
        """See Sessions."""
        await self._backing.write(lambda c: c.delete(name_of(key_of(name))), self._seconds, urgent=True)


class MemorySessions:
    """Sessions of this process: lost with it, and not shared with other processes."""

    def __init__(self, limit: int, ttls: Ttls, clock: Callable[[], float]) -> None:
        self._limit, self._ttls, self._clock = limit, ttls, clock
        self._known: dict[str, tuple[float, Session]] = {}

    def lifetime(self, name: str) -> float:
        """See Sessions."""
        return self._ttls.of(key_of(name))

    async def create(self, data: Mapping[str, Any]) -> Session:
        """See Sessions."""
        if len(self._known) >= self._limit:
            now = self._clock()
            self._known = {name: kept for name, kept in self._known.items() if kept[0] > now}
        if len(self._known) >= self._limit:
            raise SessionsFull(f"there are at most {self._limit} sessions")
        session = Session(new_name(), dict(data))
        self._known[session.name] = (self._clock() + self.lifetime(session.name), session)
        return session

    async def read(self, name: str) -> Session | None:
        """See Sessions."""
        end, session = self._known.get(name, (0.0, None))
        return session if end > self._clock() else None

    async def touch(self, name: str) -> Session | None:
        """See Sessions."""
        session = await self.read(name)
        if session is not None:
            self._known[name] = (self._clock() + self.lifetime(name), session)
        return session

    async def delete(self, name: str) -> None:
        """See Sessions."""
        self._known.pop(name, None)


def _session(name: str, text: bytes | None) -> Session | None:
    if text is None:
        return None
    data: dict[str, Any] = json.loads(text)
    return Session(name, data)
