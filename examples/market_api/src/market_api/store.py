# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where quotes are kept: `QuoteStore` is what the rest of the service knows, `MemoryStore` keeps them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from market_api.quotes import Quote


class StoreFull(Exception):
    """The store has as many symbols as it may hold."""


class Subscription:
    """What changed since it was last asked, newest quote of each symbol only.

    A slow reader therefore costs memory for one quote a symbol, and gets the present, not a backlog.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Quote] = {}
        self._changed = asyncio.Event()

    def offer(self, quote: Quote) -> None:
        """Note a change; never waits."""
        self._pending[quote.symbol] = quote
        self._changed.set()

    async def next(self) -> list[Quote]:
        """Wait for a change; return what changed, oldest first."""
        await self._changed.wait()
        self._changed.clear()
        changed, self._pending = self._pending, {}
        return sorted(changed.values(), key=lambda quote: quote.sequence)


class QuoteStore(Protocol):
    """The newest quote of each symbol, and word of its changes."""

    async def put(self, quotes: Iterable[Quote]) -> int:
        """Keep each quote that is not older than the one known; return how many were kept; raises StoreFull."""

    async def get(self, symbol: str) -> Quote | None:
        """Return the newest quote of a symbol."""

    async def all(self) -> list[Quote]:
        """Return the newest quote of every symbol, by symbol."""

    def subscribe(self, symbols: frozenset[str] = frozenset()) -> AbstractContextManager[Subscription]:
        """Within the context, report changes of these symbols; of all when none is named."""


class MemoryStore:
    """A QuoteStore in this process's memory: lost with it, and not shared with other processes."""

    def __init__(self, max_symbols: int) -> None:
        self._max_symbols = max_symbols
        self._quotes: dict[str, Quote] = {}
        self._sequence = 0
        self._subscriptions: dict[Subscription, frozenset[str]] = {}

    async def put(self, quotes: Iterable[Quote]) -> int:
        """See QuoteStore. A batch that would not fit is refused whole."""
        batch = list(quotes)
        if len(self._quotes.keys() | {quote.symbol for quote in batch}) > self._max_symbols:
            raise StoreFull(f"the store holds at most {self._max_symbols} symbols")
        return sum(self._put_one(quote) for quote in batch)

    def _put_one(self, quote: Quote) -> bool:
        known = self._quotes.get(quote.symbol)
        if known is not None and quote.time < known.time:
            return False
        self._sequence += 1
        kept = replace(quote, sequence=self._sequence)
        self._quotes[quote.symbol] = kept
        for subscription, symbols in self._subscriptions.items():
            if not symbols or quote.symbol in symbols:
                subscription.offer(kept)
        return True

    async def get(self, symbol: str) -> Quote | None:
        """See QuoteStore."""
        return self._quotes.get(symbol)

    async def all(self) -> list[Quote]:
        """See QuoteStore."""
        return [self._quotes[symbol] for symbol in sorted(self._quotes)]

    @contextmanager
    def subscribe(self, symbols: frozenset[str] = frozenset()) -> Iterator[Subscription]:
        """See QuoteStore."""
        subscription = Subscription()
        self._subscriptions[subscription] = symbols
        try:
            yield subscription
        finally:
            del self._subscriptions[subscription]
