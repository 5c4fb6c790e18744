# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API: quotes over HTTP, and as a stream over a websocket."""

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import create_task_group, move_on_after
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute

from market_api import backends, feeds
from market_api.lifecycle import READY, Lifecycle
from market_api.metrics import Metrics
from market_api.quotes import SYMBOL, BadQuote, parse_batch
from market_api.session_api import SessionApi
from market_api.store import MemoryStore, QuoteStore, StoreFull
from market_api.stream import Stream
from market_api.tasks import until_first
from market_api.web import answer_error, common_middleware, common_routes, read_json, refusal, require_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request

    from market_api.quotes import Quote
    from market_api.settings import Settings

log = logging.getLogger(__name__)

LONGEST_WAIT = 30.0  # seconds that a client may wait for a quote's change


class Api:
    """One API process: its store, its feeds and its routes."""

    def __init__(self, settings: Settings, store: QuoteStore) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.backends = backends.choose(settings, store, self.metrics)
        self.store = self.backends.store
        self.lifecycle = Lifecycle(settings.drain)
        self.feeds: list[feeds.Feed] = []
        self.stream = Stream(settings, self.store, self.lifecycle, self.metrics)

    def application(self) -> Starlette:
        """Return the ASGI application."""
        return Starlette(
            routes=[
                *common_routes(self.settings, self.lifecycle, self.metrics, self.describe),
                Route("/quotes", self.list_quotes, methods=["GET"]),
                Route("/quotes", self.post_quotes, methods=["POST"]),
                Route("/quotes/{symbol}", self.get_quote, methods=["GET"]),
                *SessionApi(self.settings, self.backends.sessions).routes(),
                WebSocketRoute("/ws", self.stream.serve),
            ],
            middleware=common_middleware(self.metrics, self.lifecycle),
            exception_handlers={HTTPException: answer_error},
            lifespan=self.lifespan,
        )

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Run the feeds, and what the backends need, while the process serves."""
        async with AsyncExitStack() as stack:
            stack.callback(self.metrics.close)
            await stack.enter_async_context(self.backends.open())
            client = await stack.enter_async_context(feeds.new_client(self.settings))
            self.feeds = feeds.make_feeds(self.settings, client, self.metrics)
            # A group is cancelled until each of its tasks has ended; a task's own cancellation can get lost on its way.
            group = await stack.enter_async_context(create_task_group())
            stack.callback(group.cancel_scope.cancel)
            for feed in self.feeds:
                group.start_soon(_watched, f"feed {feed.name}", partial(feed.run, self.store))
            for name, work in self.backends.tasks.items():
                group.start_soon(_watched, name, work)
            stack.enter_context(self.lifecycle.running())
            yield

    def describe(self) -> dict[str, Any]:
        """Return the state of feeds and Redis, for /readyz. None of them is needed to be ready."""
        feeds_seen = {feed.name: "up" if feed.up else "down" for feed in self.feeds}
        return {"feeds": feeds_seen, **self.backends.describe()}

    async def list_quotes(self, request: Request) -> Response:
        """GET /quotes?symbols=A,B: the newest quote of each."""
        symbols = wanted_symbols(request.query_params.get("symbols", ""))
        quotes = [quote for quote in await self.store.all() if not symbols or quote.symbol in symbols]
        return JSONResponse({"quotes": [quote.as_dict() for quote in quotes]})

    async def get_quote(self, request: Request) -> Response:
        """GET /quotes/SYMBOL; with after=TIME and wait=SECONDS, one later than that, or 204 when none came.

        Times and not sequences: those of several instances can be compared.
        """
        symbol = request.path_params["symbol"]
        after = _number(request, "after", -1.0, float("inf"))
        wait = _number(request, "wait", 0.0, LONGEST_WAIT)
        quote = await self.newer(symbol, after, wait)
        if quote is not None:
            return JSONResponse(quote.as_dict())
        if await self.store.get(symbol) is None:
            raise refusal(404, "the symbol has a quote", repr(symbol)[:80], "see GET /quotes for those that have")
        return Response(status_code=204)

    async def newer(self, symbol: str, after: float, wait: float) -> Quote | None:
        """Return the symbol's quote once its time is above `after`; None when `wait` or the process ends first."""
        with self.store.subscribe(frozenset({symbol})) as changes:
            quote = await self.store.get(symbol)
            with move_on_after(wait):
                while (quote is None or quote.time <= after) and self.lifecycle.phase == READY:
                    await until_first(changes.next, self.lifecycle.stopping)
                    quote = await self.store.get(symbol)
            return quote if quote is not None and quote.time > after else None

    async def post_quotes(self, request: Request) -> Response:
        """POST /quotes: one quote, a list of them, or {"quotes": [...]}; needs the token."""
        require_token(request, self.settings)
        data = await read_json(request)
        try:
            quotes = parse_batch(data, time.time(), "client")
            kept = await self.store.put(quotes)
        except BadQuote as err:
            raise refusal(422, err.rule, err.seen, err.remedy) from None
        except StoreFull as err:
            raise refusal(507, str(err), f"{len(quotes)} quotes", "raise MARKET_MAX_SYMBOLS") from None
        return JSONResponse({"accepted": kept}, 201)


def wanted_symbols(text: str) -> frozenset[str]:
    """Return the symbols of `A,B`; empty when none is named, which means all; raises HTTPException."""
    symbols = frozenset(part.strip() for part in text.split(",") if part.strip())
    for symbol in sorted(symbols):
        if not SYMBOL.fullmatch(symbol):
            raise refusal(422, "a symbol is up to 16 of A-Z, 0-9, dot and hyphen", repr(symbol)[:80], "write AAPL,MSFT")
    return symbols


def _number(request: Request, name: str, default: float, high: float) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= high:
        rule = f"{name} is a number from 0" + (f" to {high:g}" if high < float("inf") else "")
        raise refusal(422, rule, repr(text)[:80], f"write it as {name}=5")
    return value


async def _watched(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Run a task that ends only when cancelled; anything else is a fault that must be seen."""
    try:
        await work()
    except Exception:
        log.exception("%s has stopped", name)


def create_app(settings: Settings) -> Starlette:
    """Return the API with a store in memory. Another store is another argument of Api: nothing else knows which.

    The caches of `backends.py` are around it.
    """
    return Api(settings, MemoryStore(settings.max_symbols)).application()
