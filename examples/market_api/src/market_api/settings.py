# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings, read from the environment once, at the start. A bad value is refused, with the rule and the remedy."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from market_api import __version__
from market_api.quotes import SYMBOL
from market_api.reading import BadValue, Problem, Reader, SettingsError, count, duration, one_of
from market_api.redis_settings import RedisSettings
from market_api.ttls import DEFAULT_TTLS, Ttls, read_ttls

DEFAULT_SYMBOLS = "AAPL:190,AMZN:180,BTC-USD:60000,ETH-USD:3000,EUR-USD:1.1,GOOG:170,MSFT:420,NVDA:120"
LOG_LEVELS = ("debug", "info", "warning", "error")
TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Settings:
    """What one process, API or worker, is told. Durations are seconds."""

    token: str = field(repr=False)
    symbols: tuple[tuple[str, float], ...]
    feeds: tuple[str, ...]
    feed_interval: float
    tick_interval: float
    heartbeat: float
    drain: float
    max_symbols: int
    max_websockets: int
    ttls: Ttls
    local_ttl: float
    local_entries: int
    max_sessions: int
    redis: RedisSettings | None
    log_level: str
    host: str
    release: str
    config: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings; raises SettingsError with every problem at once, so that one restart mends them all."""
        reader = Reader(env)
        settings = cls(
            token=reader.read("MARKET_API_TOKEN", "", _token),
            symbols=reader.read("MARKET_SYMBOLS", DEFAULT_SYMBOLS, _symbols),
            feeds=reader.read("MARKET_FEEDS", "", _urls),
            feed_interval=reader.read("MARKET_FEED_INTERVAL", "500ms", duration(0.02, 60)),
            tick_interval=reader.read("MARKET_TICK_INTERVAL", "250ms", duration(0.02, 60)),
            heartbeat=reader.read("MARKET_HEARTBEAT", "20s", duration(0.05, 3600)),
            drain=reader.read("MARKET_DRAIN", "1s", duration(0.2, 60)),
            max_symbols=reader.read("MARKET_MAX_SYMBOLS", "10000", count(1, 1_000_000)),
            max_websockets=reader.read("MARKET_MAX_WEBSOCKETS", "5000", count(1, 1_000_000)),
            ttls=reader.read("MARKET_TTLS", DEFAULT_TTLS, read_ttls),
            local_ttl=reader.read("MARKET_LOCAL_TTL", "1s", duration(0, 3600)),
            local_entries=reader.read("MARKET_LOCAL_ENTRIES", "10000", count(1, 1_000_000)),
            max_sessions=reader.read("MARKET_MAX_SESSIONS", "10000", count(1, 1_000_000)),
            redis=RedisSettings.from_reader(reader),
            log_level=reader.read("MARKET_LOG_LEVEL", "info", one_of(*LOG_LEVELS)),
            host=env.get("STEELYARD_HOST") or socket.gethostname(),
            release=env.get("STEELYARD_RELEASE") or __version__,
            config=env.get("STEELYARD_CONFIG", ""),
        )
        reader.finish()
        if len(settings.symbols) > settings.max_symbols:
            seen = f"{settings.max_symbols}, and {len(settings.symbols)} in MARKET_SYMBOLS"
            rule = "the store has room for the symbols that are named"
            raise SettingsError([Problem("MARKET_MAX_SYMBOLS", rule, seen, "raise it")])
        return settings


def _token(text: str) -> str:
    if len(text) < TOKEN_LENGTH or not re.fullmatch(r"[!-~]+", text):
        rule = f"the token has at least {TOKEN_LENGTH} printable characters and no space"
        raise BadValue(rule, "generate one, e.g. with: openssl rand -hex 24", secret=True)
    return text


def _symbols(text: str) -> tuple[tuple[str, float], ...]:
    found: dict[str, float] = {}
    for item in text.split(","):
        symbol, _, price = item.strip().partition(":")
        try:
            start = float(price)
        except ValueError:
            start = 0.0
        if not SYMBOL.fullmatch(symbol) or symbol in found or not 0 < start < 1e9:
            rule = f"each symbol is named once, with its starting price ({item.strip()!r} is not)"
            raise BadValue(rule, "write them as AAPL:190,MSFT:420")
        found[symbol] = start
    return tuple(found.items())


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise BadValue(f"a feed is the address of a worker ({url!r} is not)", "write it as http://worker1:9000")
    if len(set(urls)) != len(urls):
        raise BadValue("a feed is named once", "remove the repeated address")
    return urls
