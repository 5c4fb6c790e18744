# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a quote is, and how one is read from JSON. No I/O, no clock."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9.\-]{0,15}")
MAX_BATCH = 1000
MAX_PRICE = 1e9


class BadQuote(ValueError):
    """The input is not a quote; `rule` says what one is, `remedy` how to write it."""

    def __init__(self, rule: str, seen: object, remedy: str) -> None:
        self.rule, self.seen, self.remedy = rule, repr(seen)[:80], remedy
        super().__init__(f"{rule} (seen: {self.seen}). Remedy: {remedy}")

    def as_dict(self) -> dict[str, str]:
        """Return the three parts, for an answer."""
        return {"rule": self.rule, "seen": self.seen, "remedy": self.remedy}


@dataclass(frozen=True)
class Quote:
    """The price of a symbol at a time (seconds since 1970, in milliseconds), and who said so.

    `sequence` is given by the store and rises with every change of any symbol.
    """

    symbol: str
    price: float
    time: float
    source: str = ""
    sequence: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain types, for JSON."""
        return {
            "symbol": self.symbol,
            "price": self.price,
            "time": self.time,
            "source": self.source,
            "sequence": self.sequence,
        }


def parse_quote(data: object, now: float, source: str) -> Quote:
    """Return the quote in `{"symbol": …, "price": …}`; `time` in it, when given, is not later than `now`.

    Raises BadQuote.
    """
    if not isinstance(data, Mapping):
        raise BadQuote("a quote is an object with symbol and price", data, 'send {"symbol": "AAPL", "price": 190.5}')
    symbol, price, time = data.get("symbol"), data.get("price"), data.get("time", now)
    if not isinstance(symbol, str) or not SYMBOL.fullmatch(symbol):
        raise BadQuote("a symbol is up to 16 of A-Z, 0-9, dot and hyphen", symbol, "write it as AAPL or BTC-USD")
    if not _is_number(price) or not 0 < price < MAX_PRICE:
        raise BadQuote(f"a price is a number above 0 and below {MAX_PRICE:g}", price, "send a JSON number")
    if not _is_number(time) or time < 0:
        raise BadQuote("a time is a number of seconds since 1970", time, "send a JSON number, or leave it out")
    return Quote(symbol, float(price), round(min(float(time), now), 3), source)


def parse_batch(data: object, now: float, source: str) -> list[Quote]:
    """Return the quotes of one quote, of a list, or of `{"quotes": [...]}`; raises BadQuote, and then takes none."""
    if isinstance(data, Mapping) and "quotes" in data:
        data = data["quotes"]
    items = data if isinstance(data, list) else [data]
    if not 0 < len(items) <= MAX_BATCH:
        raise BadQuote(f"a batch has 1 to {MAX_BATCH} quotes", f"{len(items)} quotes", "send several batches")
    return [parse_quote(item, now, source) for item in items]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
