# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tick worker: random walks, kept in a log of bounded length that API instances ask over HTTP."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from market_api.feeds import GeneratorFeed
from market_api.lifecycle import Lifecycle
from market_api.metrics import Metrics
from market_api.store import MemoryStore
from market_api.web import answer_error, common_middleware, common_routes, refusal, require_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.requests import Request

    from market_api.quotes import Quote
    from market_api.settings import Settings

LOG_LENGTH = 10_000


class TickLog:
    """A store that also remembers the order in which quotes came: the newest LOG_LENGTH of them.

    `epoch` names this log; its sequence starts at 1.
    """

    def __init__(self, max_symbols: int, epoch: str) -> None:
        self.epoch, self.sequence = epoch, 0
        self._store = MemoryStore(max_symbols)
        self._log: deque[Quote] = deque(maxlen=LOG_LENGTH)
        self.subscribe, self.get, self.all = self._store.subscribe, self._store.get, self._store.all

    async def put(self, quotes: Iterable[Quote]) -> int:
        """See QuoteStore."""
        kept = 0
        with self._store.subscribe() as changes:
            for quote in quotes:
                if await self._store.put((quote,)):
                    kept += 1
                    self._log.extend(await changes.next())
        self.sequence = self._log[-1].sequence if self._log else 0
        return kept

    async def since(self, sequence: int, epoch: str) -> list[Quote]:
        """Return what came after `sequence`; the newest of each symbol when the log does not reach back so far."""
        oldest = self._log[0].sequence if self._log else 1
        if epoch != self.epoch or sequence < oldest - 1:
            return sorted(await self._store.all(), key=lambda quote: quote.sequence)
        return [quote for quote in self._log if quote.sequence > sequence]


def create_app(settings: Settings) -> Starlette:
    """Return the worker's application."""
    log = TickLog(max(settings.max_symbols, len(settings.symbols)), secrets.token_hex(8))
    metrics, lifecycle = Metrics(), Lifecycle(settings.drain)
    made = metrics.ticks.labels("generator")

    async def ticks(request: Request) -> Response:
        require_token(request, settings)
        since = request.query_params.get("since", "0")
        if not since.isdecimal() or len(since) > 18:
            raise refusal(422, "since is a whole number", repr(since)[:80], "send the sequence of the last answer")
        quotes = await log.since(int(since), request.query_params.get("epoch", ""))
        body = [{"symbol": quote.symbol, "price": quote.price, "time": quote.time} for quote in quotes]
        return JSONResponse({"epoch": log.epoch, "sequence": log.sequence, "ticks": body})

    def describe() -> dict[str, Any]:
        return {"sequence": log.sequence}

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        feed = GeneratorFeed(settings.symbols, settings.tick_interval, Random())
        task = asyncio.create_task(feed.run(log))
        made.inc(0)
        try:
            with lifecycle.running():
                yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            metrics.close()

    return Starlette(
        routes=[*common_routes(settings, lifecycle, metrics, describe), Route("/ticks", ticks, methods=["GET"])],
        middleware=common_middleware(metrics, lifecycle),
        exception_handlers={HTTPException: answer_error},
        lifespan=lifespan,
    )
