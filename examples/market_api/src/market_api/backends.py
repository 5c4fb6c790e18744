# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a process keeps things: in its memory alone, or with Redis behind it. Chosen here, by the settings."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from market_api.backing import Backing
from market_api.cache import CachedStore
from market_api.local_cache import LocalCache
from market_api.sessions import MemorySessions, RedisSessions, Sessions
from market_api.shared_cache import SharedCache

if TYPE_CHECKING:
    from market_api.metrics import Metrics
    from market_api.settings import Settings
    from market_api.store import QuoteStore


@asynccontextmanager
async def _nothing() -> AsyncIterator[None]:
    yield


@dataclass(frozen=True)
class Backends:
    """Store and sessions, what runs beside the requests, and what /readyz says of them."""

    store: QuoteStore
    sessions: Sessions
    tasks: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    describe: Callable[[], dict[str, Any]] = dict
    open: Callable[[], AbstractAsyncContextManager[None]] = _nothing


def choose(settings: Settings, store: QuoteStore, metrics: Metrics) -> Backends:
    """Return the backends that the settings name, around the store that holds the truth."""
    if settings.redis is None:
        return Backends(store, MemorySessions(settings.max_sessions, settings.ttls, time.monotonic))
    backing = Backing(settings.redis, metrics.redis(), Random())
    shared = SharedCache(backing, settings.ttls)
    local = LocalCache[Any](settings.local_ttl, settings.local_entries, time.monotonic)
    cached = CachedStore(store, local, shared, backing, metrics.cache())

    def describe() -> dict[str, Any]:
        return {"degraded": not backing.up, "redis": "up" if backing.up else "away"}

    return Backends(
        cached,
        RedisSessions(backing, settings.ttls),
        {
            "redis": backing.probe,
            "what is owed to redis": cached.pay,
            "what others say": partial(shared.listen, cached.forget),
        },
        describe,
        backing.open,
    )
