# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where quotes come from: tick workers asked over HTTP, or a generator of our own when there is no worker.

A feed that is down is not an outage: the service goes on answering from what it knows.
"""

from __future__ import annotations

import asyncio
import logging
import time
from random import Random
from typing import TYPE_CHECKING, Protocol

import httpx

from market_api.quotes import BadQuote, Quote, parse_quote
from market_api.store import StoreFull
from market_api.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from market_api.metrics import Metrics
    from market_api.settings import Settings
    from market_api.store import QuoteStore

log = logging.getLogger(__name__)

LONGEST_PAUSE = 5.0  # seconds between two attempts to reach a worker that is down
TIMEOUT = httpx.Timeout(2.0)


class Feed(Protocol):
    """A source of quotes."""

    name: str
    up: bool

    async def run(self, store: QuoteStore) -> None:
        """Put quotes into the store until cancelled."""


class FeedDown(Exception):
    """The worker did not answer as a worker does; the message says how."""


class GeneratorFeed:
    """Random walks made in this process: what an instance without workers shows."""

    name = "generator"
    up = True

    def __init__(self, symbols: Sequence[tuple[str, float]], interval: float, random: Random) -> None:
        self._walks = {symbol: Walk(price, random) for symbol, price in symbols}
        self._interval = interval

    async def run(self, store: QuoteStore) -> None:
        """See Feed."""
        while True:
            now = round(time.time(), 3)
            await store.put(Quote(symbol, walk.step(), now, self.name) for symbol, walk in self._walks.items())
            await asyncio.sleep(self._interval)


class WorkerFeed:
    """A tick worker, asked for what is new since the last answer.

    `epoch` is the worker's process: when it changes, its numbering began anew and everything is asked for again.
    """

    def __init__(self, url: str, interval: float, client: httpx.AsyncClient, metrics: Metrics) -> None:
        self.name, self.up = url, False
        self._interval, self._client, self._metrics = interval, client, metrics
        self._epoch, self._sequence = "", 0

    async def run(self, store: QuoteStore) -> None:
        """See Feed. Asks at the interval; less and less often while the worker is down."""
        pause = self._interval
        while True:
            try:
                await self.poll(store)
            except (FeedDown, StoreFull) as err:
                self._turn(False, str(err))
                pause = min(max(pause, self._interval) * 2, max(LONGEST_PAUSE, self._interval))
            else:
                self._turn(True, "answers")
                pause = self._interval
            await asyncio.sleep(pause)

    async def poll(self, store: QuoteStore) -> int:
        """Ask once; return how many quotes were new; raises FeedDown, StoreFull."""
        params: dict[str, str | int] = {"since": self._sequence, "epoch": self._epoch}
        try:
            answer = await self._client.get(f"{self.name}/ticks", params=params)
            answer.raise_for_status()
            data = answer.json()
            now = time.time()
            quotes = [parse_quote(tick, now, self.name) for tick in data["ticks"]]
            epoch, sequence = str(data["epoch"]), int(data["sequence"])
        except (httpx.HTTPError, BadQuote, KeyError, TypeError, ValueError) as err:
            raise FeedDown(f"{type(err).__name__}: {err}") from err
        kept = await store.put(quotes)
        self._epoch, self._sequence = epoch, sequence
        self._metrics.ticks.labels(self.name).inc(len(quotes))
        return kept

    def _turn(self, up: bool, why: str) -> None:
        """Note the state, and say it once, when it changes."""
        if up != self.up:
            log.log(
                logging.INFO if up else logging.WARNING, "feed %s is %s: %s", self.name, "up" if up else "down", why
            )
        self.up = up
        self._metrics.feed_up.labels(self.name).set(up)


def new_client(settings: Settings) -> httpx.AsyncClient:
    """Return the client that asks workers; proxies of the environment are not for them."""
    return httpx.AsyncClient(headers={"authorization": f"Bearer {settings.token}"}, timeout=TIMEOUT, trust_env=False)


def make_feeds(settings: Settings, client: httpx.AsyncClient, metrics: Metrics) -> list[Feed]:
    """Return a feed for each worker that the settings name, else the generator."""
    if not settings.feeds:
        return [GeneratorFeed(settings.symbols, settings.tick_interval, Random())]
    return [WorkerFeed(url, settings.feed_interval, client, metrics) for url in settings.feeds]
