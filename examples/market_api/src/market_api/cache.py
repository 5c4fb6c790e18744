# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A store behind two caches: reads ask this process, then Redis, then the store; writes go through to all three.

The store is the source of truth. Where Redis is away, reads are answered from the store, and what could not be written
through is owed: the store alone is asked for it until it has been.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import anyio

from market_api.backing import Away
from market_api.quotes import BadQuote, Quote, parse_quote

if TYPE_CHECKING:
    from market_api.backing import Backing
    from market_api.local_cache import LocalCache
    from market_api.metrics import CacheMetrics
    from market_api.shared_cache import SharedCache
    from market_api.store import QuoteStore, Subscription

PAY_PAUSE = 0.5  # seconds


def key_of(symbol: str) -> str:
    """Return the key of a symbol's quote, which MARKET_TTLS has patterns for."""
    return f"quotes:{symbol}"


class CachedStore:
    """A QuoteStore; `all` and `subscribe` are the store's own."""

    def __init__(
        self, store: QuoteStore, local: LocalCache[Quote], shared: SharedCache, backing: Backing, metrics: CacheMetrics
    ) -> None:
        self._store, self._local, self._shared, self._backing = store, local, shared, backing
        self._metrics = metrics
        self._owed: set[str] = set()

    async def all(self) -> list[Quote]:
        """See QuoteStore."""
        return await self._store.all()

    def subscribe(self, symbols: frozenset[str] = frozenset()) -> AbstractContextManager[Subscription]:
        """See QuoteStore."""
        return self._store.subscribe(symbols)

    async def put(self, quotes: Iterable[Quote]) -> int:
        """See QuoteStore."""
        batch = list(quotes)
        kept = await self._store.put(batch)
        if kept:
            changed = {quote.symbol for quote in batch}
            newest = [quote for symbol in sorted(changed) if (quote := await self._store.get(symbol)) is not None]
            # Before anything is waited for: who was woken by the store's change reads it here.
            for quote in newest:
                self._local.put(key_of(quote.symbol), quote)
            await self._write_through(newest)
        return kept

    async def get(self, symbol: str) -> Quote | None:
        """See QuoteStore."""
        key = key_of(symbol)
        found = self._local.get(key)
        self._metrics.count("local", found is not None)
        if found is not None:
            return found
        with self._local.filling(key) as fill:
            found = await self._shared_quote(symbol)
            if found is None:
                found = await self._store.get(symbol)
                if found is not None:
                    await self._write_through([found], tell=False)
            if found is not None:
                fill(found)
        return found

    async def _shared_quote(self, symbol: str) -> Quote | None:
        """Return what Redis knows; None where it knows nothing that can be used."""
        if symbol in self._owed:
            return None
        try:
            text = await self._shared.get(key_of(symbol))
        except Away:
            return None
        found = None if text is None else read_quote(symbol, text)
        self._metrics.count("shared", found is not None)
        return found

    async def _write_through(self, quotes: Sequence[Quote], *, tell: bool = True) -> None:
        done: list[str] = []

        async def write(quote: Quote) -> None:
            key = key_of(quote.symbol)
            try:
                newest = await self._shared.put(key, quote.time, json.dumps(quote.as_dict()), len(quotes))
            except Away:
                self._owed.add(quote.symbol)
                return
            self._owed.discard(quote.symbol)
            done.append(key)
            if not newest:
                self._local.forget(key)  # another instance knows a later one, which the next reader gets

        async with anyio.create_task_group() as group:
            for quote in quotes:
                group.start_soon(write, quote)
        if done and tell:
            try:
                await self._shared.tell(done)
            except Away:
                self._owed |= {quote.symbol for quote in quotes if key_of(quote.symbol) in done}

    async def pay(self) -> None:
        """Write through what is owed, whenever Redis is there; until cancelled."""
        while True:
            await self._backing.until(True)
            owed = [quote for symbol in sorted(self._owed) if (quote := await self._store.get(symbol)) is not None]
            if owed:
                await self._write_through(owed)
            await anyio.sleep(PAY_PAUSE)

    def forget(self, patterns: Iterable[str]) -> None:
        """Ask Redis anew for what another instance has changed."""
        for pattern in patterns:
            self._metrics.forgotten.inc()
            self._local.forget(pattern)


def read_quote(symbol: str, text: str) -> Quote | None:
    """Return the quote that a text from Redis holds; None where it is not one of this symbol. Pure."""
    try:
        data = json.loads(text)
        quote = parse_quote(data, float("inf"), str(data["source"]))
        return (
            Quote(quote.symbol, quote.price, quote.time, quote.source, int(data["sequence"]))
            if (quote.symbol == symbol)
            else None
        )
    except (BadQuote, ValueError, TypeError, KeyError):
        return None
