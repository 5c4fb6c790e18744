# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import asyncio
from random import Random

import pytest

from market_api.quotes import MAX_BATCH, BadQuote, Quote, parse_batch
from market_api.store import MemoryStore, StoreFull
from market_api.ticks import TickLog
from market_api.walk import REACH, Walk


def test_one_quote_a_list_and_an_object_of_quotes_are_read() -> None:
    one = {"symbol": "AAPL", "price": 190}
    for data in (one, [one], {"quotes": [one]}):
        assert parse_batch(data, 100.0, "me") == [Quote("AAPL", 190.0, 100.0, "me")]


def test_a_time_from_the_future_is_now() -> None:
    (quote,) = parse_batch({"symbol": "AAPL", "price": 1, "time": 500}, 100.0, "me")
    assert quote.time == 100.0


@pytest.mark.parametrize(
    "data",
    [
        None,
        "AAPL",
        [],
        {"quotes": []},
        {"quotes": "AAPL"},
        {"symbol": "AAPL"},
        {"symbol": "aapl", "price": 1},
        {"symbol": "A" * 17, "price": 1},
        {"symbol": "", "price": 1},
        {"symbol": "AAPL", "price": 0},
        {"symbol": "AAPL", "price": "1"},
        {"symbol": "AAPL", "price": True},
        {"symbol": "AAPL", "price": float("nan")},
        {"symbol": "AAPL", "price": float("inf")},
        {"symbol": "AAPL", "price": 1, "time": "now"},
        [{"symbol": "AAPL", "price": 1}] * (MAX_BATCH + 1),
    ],
)
def test_what_is_not_a_quote_is_refused(data: object) -> None:
    with pytest.raises(BadQuote) as refused:
        parse_batch(data, 100.0, "me")
    assert refused.value.rule
    assert refused.value.remedy


def test_the_newest_quote_is_kept() -> None:
    async def scene() -> None:
        store = MemoryStore(10)
        assert await store.put([Quote("A", 1, 10), Quote("A", 2, 9), Quote("A", 3, 11)]) == 2
        assert await store.get("A") == Quote("A", 3, 11, "", 2)

    asyncio.run(scene())


def test_a_full_store_refuses_the_whole_batch() -> None:
    async def scene() -> None:
        store = MemoryStore(1)
        await store.put([Quote("A", 1, 1)])
        with pytest.raises(StoreFull):
            await store.put([Quote("A", 2, 2), Quote("B", 1, 2)])
        assert [quote.price for quote in await store.all()] == [1]

    asyncio.run(scene())


def test_a_slow_subscriber_gets_the_newest_of_each_symbol_it_asked_for() -> None:
    async def scene() -> None:
        store = MemoryStore(10)
        with store.subscribe(frozenset({"A", "B"})) as changes:
            await store.put([Quote("B", 1, 1), Quote("A", 1, 1), Quote("C", 1, 1), Quote("A", 2, 2)])
            assert [(quote.symbol, quote.price) for quote in await changes.next()] == [("B", 1), ("A", 2)]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(changes.next(), 0.01)

    asyncio.run(scene())


def test_the_tick_log_answers_what_is_new_and_everything_to_who_is_too_late() -> None:
    async def scene() -> None:
        log = TickLog(10, "e1")
        await log.put([Quote("A", price, price) for price in range(1, 6)])
        assert [quote.price for quote in await log.since(3, "e1")] == [4, 5]
        assert await log.since(5, "e1") == []
        assert [quote.price for quote in await log.since(5, "another")] == [5]
        await log.put([Quote("A", price, price) for price in range(6, 10_050)])
        assert [quote.price for quote in await log.since(5, "e1")] == [10_049]

    asyncio.run(scene())


def test_a_walk_stays_within_its_bounds() -> None:
    class Wild(Random):
        def gauss(self, mu: float = 0.0, sigma: float = 1.0) -> float:
            return super().gauss(mu, 0.3)

    walk = Walk(100, Wild(7))
    prices = [walk.step() for _ in range(5000)]
    assert min(prices) >= 100 / REACH
    assert max(prices) <= 100 * REACH
    assert len(set(prices)) > 4000


def test_the_same_chance_gives_the_same_walk() -> None:
    first, second = Walk(5, Random(1)), Walk(5, Random(1))
    assert [first.step() for _ in range(9)] == [second.step() for _ in range(9)]
