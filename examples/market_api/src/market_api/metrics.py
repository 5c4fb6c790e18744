# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Prometheus metrics. With several processes behind one port, PROMETHEUS_MULTIPROC_DIR makes them answer as one.

That directory must be empty when they start: a systemd unit's RuntimeDirectory is.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OTHER_PATH = "other"  # requests that match no route share one label: clients must not be able to add series
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The instruments of one application, in a registry of its own."""

    def __init__(self) -> None:
        self._shared = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
        if self._shared:
            Path(self._shared).mkdir(parents=True, exist_ok=True)
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("http_requests", "Requests answered.", ("method", "path", "status"), registry=registry)
        self.seconds = Histogram(
            "http_request_duration_seconds",
            "Time from the request's head to the answer's end.",
            ("method", "path"),
            buckets=BUCKETS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "http_requests_in_progress", "Requests being answered.", registry=registry, multiprocess_mode="livesum"
        )
        self.websockets = Gauge(
            "websocket_connections", "Open websockets.", registry=registry, multiprocess_mode="livesum"
        )
        self.ticks = Counter("market_feed_ticks", "Ticks received from a feed.", ("feed",), registry=registry)
        self.feed_up = Gauge(
            "market_feed_up",
            "1 while the feed answers.",
            ("feed",),
            registry=registry,
            multiprocess_mode="livemin",
        )

    def redis(self) -> RedisMetrics:
        """Return the instruments of a Redis; once a process."""
        return RedisMetrics(self._registry)

    def cache(self) -> CacheMetrics:
        """Return the instruments of the caches; once a process."""
        return CacheMetrics(self._registry)

    def render(self) -> bytes:
        """Return everything in Prometheus's text format."""
        if not self._shared:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together, path=self._shared)  # type: ignore[no-untyped-call]
        return generate_latest(together)

    def close(self) -> None:
        """Take this process's gauges out of the shared directory."""
        if self._shared:
            multiprocess.mark_process_dead(os.getpid(), self._shared)  # type: ignore[no-untyped-call]


class RedisMetrics:
    """How calls of Redis go. `reason` is one of those in redis_errors.py, `deadline` where none answered at all."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.up = Gauge("market_redis_up", "1 while Redis answers.", registry=registry, multiprocess_mode="livemin")
        self.retries = Counter(
            "market_redis_retries", "Attempts that failed and were followed by another.", ("reason",), registry=registry
        )
        self.failures = Counter("market_redis_failures", "Calls that were given up.", ("reason",), registry=registry)
        self.skipped = Counter("market_redis_skipped", "Calls that were not tried while it is away.", registry=registry)
        self.in_use = Gauge(
            "market_redis_calls_in_progress",
            "Calls under way, each with a connection of the pool.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.limit = Gauge(
            "market_redis_calls_limit", "Calls that may be under way.", registry=registry, multiprocess_mode="livesum"
        )


class CacheMetrics:
    """What the caches knew; `level` is local (this process) or shared (Redis)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._hits = Counter("market_cache_hits", "Reads that the cache answered.", ("level",), registry=registry)
        self._misses = Counter("market_cache_misses", "Reads that it did not.", ("level",), registry=registry)
        self.forgotten = Counter(
            "market_cache_forgotten",
            "Patterns that were forgotten because another instance said so.",
            registry=registry,
        )

    def count(self, level: str, hit: bool) -> None:
        """Count one read."""
        (self._hits if hit else self._misses).labels(level).inc()


class MetricsMiddleware:
    """Counts and times each request under its route, not its address."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        start = time.perf_counter()

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with self._metrics.in_progress.track_inprogress():
            try:
                await self._app(scope, receive, note_status)
            finally:
                method = scope["method"] if scope["method"] in METHODS else "other"
                path = getattr(scope.get("route"), "path", OTHER_PATH)
                self._metrics.requests.labels(method, path, str(status)).inc()
                self._metrics.seconds.labels(method, path).observe(time.perf_counter() - start)
