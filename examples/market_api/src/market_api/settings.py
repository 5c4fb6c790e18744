# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings, read from the environment once, at the start. A bad value is refused, with the rule and the remedy."""

from __future__ import annotations

import difflib
import re
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from market_api import __version__
from market_api.quotes import SYMBOL

T = TypeVar("T")

DEFAULT_SYMBOLS = "AAPL:190,AMZN:180,BTC-USD:60000,ETH-USD:3000,EUR-USD:1.1,GOOG:170,MSFT:420,NVDA:120"
LOG_LEVELS = ("debug", "info", "warning", "error")
TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Problem:
    """One setting that cannot be used. `seen` never holds a secret."""

    name: str
    rule: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.rule} (seen: {self.seen}). Remedy: {self.remedy}"


class SettingsError(ValueError):
    """The environment cannot be used; the message lists every problem, one a line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class _BadValue(ValueError):
    def __init__(self, rule: str, remedy: str, *, secret: bool = False) -> None:
        self.rule, self.remedy, self.secret = rule, remedy, secret
        super().__init__(rule)


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
    log_level: str
    host: str
    release: str
    config: str

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings; raises SettingsError with every problem at once, so that one restart mends them all."""
        reader = _Reader(env)
        settings = cls(
            token=reader.read("MARKET_API_TOKEN", "", _token),
            symbols=reader.read("MARKET_SYMBOLS", DEFAULT_SYMBOLS, _symbols),
            feeds=reader.read("MARKET_FEEDS", "", _urls),
            feed_interval=reader.read("MARKET_FEED_INTERVAL", "500ms", _duration(0.02, 60)),
            tick_interval=reader.read("MARKET_TICK_INTERVAL", "250ms", _duration(0.02, 60)),
            heartbeat=reader.read("MARKET_HEARTBEAT", "20s", _duration(0.05, 3600)),
            drain=reader.read("MARKET_DRAIN", "1s", _duration(0.2, 60)),
            max_symbols=reader.read("MARKET_MAX_SYMBOLS", "10000", _count(1, 1_000_000)),
            max_websockets=reader.read("MARKET_MAX_WEBSOCKETS", "5000", _count(1, 1_000_000)),
            log_level=reader.read("MARKET_LOG_LEVEL", "info", _log_level),
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


class _Reader:
    """Reads one variable after another and collects what is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        self._known.append(name)
        text = self._env.get(name, default)
        try:
            return parse(text)
        except _BadValue as bad:
            seen = f"{len(text)} characters" if bad.secret else repr(text)
            self._problems.append(Problem(name, bad.rule, seen if text else "nothing", bad.remedy))
            return None  # type: ignore[return-value]  # finish() raises before anybody sees it

    def finish(self) -> None:
        """Raise SettingsError for what was collected, and for MARKET_ variables that nobody reads."""
        for name in sorted(set(self._env) - set(self._known)):
            if name.startswith("MARKET_"):
                near = difflib.get_close_matches(name, self._known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(self._known)}"
                self._problems.append(Problem(name, "the setting exists", name, remedy))
        if self._problems:
            raise SettingsError(self._problems)


def _token(text: str) -> str:
    if len(text) < TOKEN_LENGTH or not re.fullmatch(r"[!-~]+", text):
        rule = f"the token has at least {TOKEN_LENGTH} printable characters and no space"
        raise _BadValue(rule, "generate one, e.g. with: openssl rand -hex 24", secret=True)
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
            raise _BadValue(rule, "write them as AAPL:190,MSFT:420")
        found[symbol] = start
    return tuple(found.items())


def _urls(text: str) -> tuple[str, ...]:
    urls = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query:
            raise _BadValue(f"a feed is the address of a worker ({url!r} is not)", "write it as http://worker1:9000")
    if len(set(urls)) != len(urls):
        raise _BadValue("a feed is named once", "remove the repeated address")
    return urls


def _duration(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|)", text.strip())
        seconds = float(match.group(1)) * {"ms": 0.001, "s": 1, "": 1, "m": 60}[match.group(2)] if match else -1
        if not low <= seconds <= high:
            raise _BadValue(f"a duration from {low:g}s to {high:g}s", "write it as 250ms, 5s or 1m")
        return seconds

    return parse


def _count(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise _BadValue(f"a whole number from {low} to {high}", "write digits only")
        return int(text)

    return parse


def _log_level(text: str) -> str:
    if text not in LOG_LEVELS:
        raise _BadValue(f"one of {', '.join(LOG_LEVELS)}", "use one of these words")
    return text
