# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The websocket: quotes as they change, a heartbeat while they do not, and an echo of the client's pings."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from anyio import move_on_after
from starlette.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from market_api.lifecycle import READY
from market_api.quotes import SYMBOL
from market_api.tasks import until_first

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.websockets import WebSocket

    from market_api.lifecycle import Lifecycle
    from market_api.metrics import Metrics
    from market_api.settings import Settings
    from market_api.store import QuoteStore, Subscription

GOING_AWAY = 1001
MAX_MESSAGE = 4096  # characters of a client's message


class Stream:
    """Serves /ws?symbols=A,B."""

    def __init__(self, settings: Settings, store: QuoteStore, lifecycle: Lifecycle, metrics: Metrics) -> None:
        self._settings, self._store, self._lifecycle, self._metrics = settings, store, lifecycle, metrics
        self._open = 0

    async def serve(self, websocket: WebSocket) -> None:
        """Stream until the client leaves or this process stops, then say so: 1001, going away."""
        symbols = frozenset(s for s in websocket.query_params.get("symbols", "").split(",") if s)
        if bad := sorted(s for s in symbols if not SYMBOL.fullmatch(s)):
            await _deny(websocket, 422, "a symbol is up to 16 of A-Z, 0-9, dot and hyphen", bad[0][:80])
        elif self._lifecycle.phase != READY:
            await _deny(websocket, 503, "the instance is ready", self._lifecycle.phase)
        elif self._open >= self._settings.max_websockets:
            await _deny(websocket, 503, "the instance has room for a websocket", f"{self._open} open")
        else:
            await self._accept(websocket, symbols)

    async def _accept(self, websocket: WebSocket, symbols: frozenset[str]) -> None:
        self._open += 1
        self._metrics.websockets.inc()
        try:
            await websocket.accept()
            with self._store.subscribe(symbols) as changes:
                send = partial(self._send_quotes, websocket, changes, symbols)
                await until_first(
                    self._lifecycle.stopping, partial(_until_left, send), partial(_until_left, _answer_pings, websocket)
                )
            if self._lifecycle.phase != READY:
                await _until_left(websocket.close, GOING_AWAY, "the instance is stopping")
        finally:
            self._open -= 1
            self._metrics.websockets.dec()

    async def _send_quotes(self, websocket: WebSocket, changes: Subscription, symbols: frozenset[str]) -> None:
        changed = [quote for quote in await self._store.all() if not symbols or quote.symbol in symbols]
        await _send(websocket, {"type": "quotes", "quotes": [quote.as_dict() for quote in changed]})
        while True:
            changed = []
            with move_on_after(self._settings.heartbeat):
                changed = await changes.next()
            if changed:
                await _send(websocket, {"type": "quotes", "quotes": [quote.as_dict() for quote in changed]})
            else:
                await _send(websocket, {"type": "heartbeat"})


async def _until_left(function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
    """Run it; that the client has left is its end, not an error."""
    with suppress(WebSocketDisconnect, OSError):
        await function(*arguments)


async def _answer_pings(websocket: WebSocket) -> None:
    """Answer {"type": "ping", …} with {"type": "pong", …}, whatever else is in it coming back as it was."""
    while True:
        event = await websocket.receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text") or ""
        try:
            message = json.loads(text) if len(text) <= MAX_MESSAGE else None
        except ValueError:
            message = None
        if isinstance(message, dict) and message.get("type") == "ping":
            await _send(websocket, {**message, "type": "pong"})
        else:
            rule = f"a message is a ping of at most {MAX_MESSAGE} characters"
            await _send(websocket, {"type": "error", "rule": rule, "remedy": 'send {"type": "ping"}'})


async def _send(websocket: WebSocket, message: dict[str, Any]) -> None:
    await websocket.send_text(json.dumps(message, separators=(",", ":")))


async def _deny(websocket: WebSocket, status: int, rule: str, seen: str) -> None:
    await websocket.send_denial_response(JSONResponse({"error": {"rule": rule, "seen": seen}}, status))
