# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the caches decide, without a server."""

from __future__ import annotations

import json
from random import Random

import pytest
from redis import exceptions as errors
from redis.asyncio.sentinel import MasterNotFoundError

from market_api.backing import LONGEST_PAUSE, pause_after
from market_api.cache import read_quote
from market_api.local_cache import LocalCache
from market_api.quotes import Quote
from market_api.redis_errors import meaning
from market_api.ttls import Ttls, read_ttls


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(name="clock")
def _clock() -> Clock:
    return Clock()


def test_the_first_pattern_that_fits_decides() -> None:
    ttls = read_ttls("api:rate_limit:*=60s, api:*=300s, user:session:*=1h, *=5m")
    keys = {"api:rate_limit:7": 60, "api:cache:7": 300, "user:session:7": 3600, "other": 300}
    assert {key: ttls.of(key) for key in keys} == keys
    assert ttls == Ttls((("api:rate_limit:*", 60), ("api:*", 300), ("user:session:*", 3600), ("*", 300)))


def test_an_entry_goes_after_its_time(clock: Clock) -> None:
    cache = LocalCache[int](1.0, 10, clock)
    cache.put("a", 1)
    clock.now = 0.9
    assert cache.get("a") == 1
    clock.now = 1.0
    assert cache.get("a") is None


def test_the_least_recently_used_goes_first(clock: Clock) -> None:
    cache = LocalCache[int](1.0, 2, clock)
    for number, key in enumerate("ab"):
        cache.put(key, number)
    cache.get("a")
    cache.put("c", 2)
    assert [cache.get(key) for key in "abc"] == [0, None, 2]


def test_without_a_lifetime_nothing_is_kept(clock: Clock) -> None:
    cache = LocalCache[int](0.0, 2, clock)
    cache.put("a", 1)
    assert cache.get("a") is None


@pytest.mark.parametrize(("pattern", "left"), [("q:a", "b"), ("q:*", ""), ("*", ""), ("s:*", "ab"), ("q:c", "ab")])
def test_patterns_are_forgotten(clock: Clock, pattern: str, left: str) -> None:
    cache = LocalCache[int](1.0, 10, clock)
    for key in "ab":
        cache.put(f"q:{key}", 1)
    cache.forget(pattern)
    assert [key for key in "ab" if cache.get(f"q:{key}")] == list(left)


@pytest.mark.parametrize(("pattern", "kept"), [("a", False), ("*", False), ("b", True)])
def test_what_is_forgotten_while_it_is_read_is_not_kept(clock: Clock, pattern: str, kept: bool) -> None:
    cache = LocalCache[int](1.0, 10, clock)
    with cache.filling("a") as one, cache.filling("a") as other:
        cache.forget(pattern)
        one(1)
        other(1)
    assert (cache.get("a") is not None) == kept
    with cache.filling("a") as again:
        again(2)
    assert cache.get("a") == 2


@pytest.mark.parametrize(
    ("error", "reason", "again"),
    [
        (errors.ConnectionError("closed"), "connection", True),
        (ConnectionResetError(), "connection", True),
        (errors.TimeoutError("slow"), "timeout", True),
        (errors.ReadOnlyError("READONLY"), "readonly", True),
        (errors.MovedError("1 127.0.0.1:7000"), "moved", True),
        (errors.AskError("1 127.0.0.1:7000"), "ask", True),
        (errors.TryAgainError("TRYAGAIN"), "tryagain", True),
        (errors.ClusterDownError("CLUSTERDOWN"), "clusterdown", True),
        (errors.MasterDownError("MASTERDOWN"), "masterdown", True),
        (errors.BusyLoadingError("LOADING"), "loading", True),
        (errors.ClusterError("TTL exhausted."), "redirections", True),
        (errors.RedisClusterException("none of the nodes"), "unreachable", True),
        (errors.ResponseError("NOREPLICAS Not enough good replicas to write."), "noreplicas", True),
        (MasterNotFoundError("none"), "no_primary", True),
        (errors.AuthenticationError("WRONGPASS"), "denied", False),
        (errors.NoPermissionError("NOPERM"), "denied", False),
        (errors.OutOfMemoryError("OOM"), "memory", False),
        (errors.ResponseError("WRONGTYPE"), "refused", False),
        (errors.DataError("not a text"), "refused", False),
    ],
)
def test_an_error_says_whether_to_try_again(error: Exception, reason: str, again: bool) -> None:
    found = meaning(error)
    assert (found.reason, found.again) == (reason, again)


def test_why_no_node_was_found_counts() -> None:
    error = errors.RedisClusterException("none of the nodes")
    error.__cause__ = errors.AuthenticationError("WRONGPASS")
    assert not meaning(error).again


def test_pauses_grow_to_a_bound_and_differ() -> None:
    random = Random(1)
    pauses = [pause_after(attempt, random) for attempt in range(40)]
    assert pauses[0] < 0.02
    assert LONGEST_PAUSE / 2 <= pauses[-1] <= LONGEST_PAUSE
    assert len(set(pauses)) == len(pauses)


def test_a_quote_comes_back_as_it_went() -> None:
    quote = Quote("AAPL", 190.5, 12.345, "client", 7)
    assert read_quote("AAPL", json.dumps(quote.as_dict())) == quote


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"symbol": "AAPL", "price": 1}', '{"symbol": "MSFT"}', "null"])
def test_what_is_no_quote_is_none(text: str) -> None:
    assert read_quote("AAPL", text) is None


def test_a_quote_of_another_symbol_is_none() -> None:
    assert read_quote("MSFT", json.dumps(Quote("AAPL", 1.0, 1.0, "client", 1).as_dict())) is None
