# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From start to stop of one process: starting → ready → draining.

On SIGTERM a process first says that it is not ready and closes its websockets (1001, going away), but still takes
requests for the drain time, so that balancers see it before the port closes. Then the server's own shutdown begins:
no new connections, requests under way are finished.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

STARTING, READY, DRAINING = "starting", "ready", "draining"
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Lifecycle:
    """The phase that this process is in."""

    def __init__(self, drain: float) -> None:
        self.phase = STARTING
        self._drain = drain
        self._stopping: asyncio.Event | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Ready within the context, in an event loop; watches the signals if this is the main thread."""
        self._stopping = asyncio.Event()
        watched = self._watch_signals() if threading.current_thread() is threading.main_thread() else {}
        self.phase = READY
        try:
            yield
        finally:
            self.drain()
            for number, previous in watched.items():
                asyncio.get_running_loop().remove_signal_handler(number)
                signal.signal(number, previous)

    def _watch_signals(self) -> dict[signal.Signals, Any]:
        loop = asyncio.get_running_loop()
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        watched = {number: handler for number, handler in previous.items() if callable(handler)}
        for number, handler in watched.items():
            loop.add_signal_handler(number, partial(self._on_signal, number, handler))
        return watched

    def _on_signal(self, number: signal.Signals, handler: Callable[[int, None], Any]) -> None:
        """Drain, then hand the signal to the server. A second SIGTERM changes nothing, a second SIGINT hurries."""
        if self.phase != DRAINING:
            log.info("%s: draining for %g s", number.name, self._drain)
            self.drain()
            asyncio.get_running_loop().call_later(self._drain, handler, number, None)
        elif number is signal.SIGINT:
            handler(number, None)

    def drain(self) -> None:
        """Say from now on that this process is not ready."""
        self.phase = DRAINING
        if self._stopping is not None:
            self._stopping.set()

    async def stopping(self) -> None:
        """Wait until draining begins; at once if it has begun, or the process has not started."""
        if self._stopping is not None:
            await self._stopping.wait()


class CloseWhileDraining:
    """Tells clients that keep connections open to come back on a new one, which balancers send elsewhere."""

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app, self._lifecycle = app, lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def close_after(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.phase == DRAINING:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
            await send(message)

        await self._app(scope, receive, close_after if scope["type"] == "http" else send)
