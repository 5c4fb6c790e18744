"""How many masters of one machine give at once, and in what words slots are taken; without a server."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slot_words import refusal, taking
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.turns import PATIENCE, Climb, Turns
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply


def climbed(rates: list[float], waiting: int = 2) -> list[int]:
    """How many may give after each judgement."""
    climb = Climb()
    found = []
    for rate in rates:
        climb.judge(rate, waiting)
        found.append(climb.now)
    return found


def test_one_more_gives_where_that_is_faster() -> None:
    assert climbed([10, 10, 19, 10]) == [1, 2, 1, 2]


def test_not_where_it_is_not() -> None:
    assert climbed([10, 10, 11, 10]) == [1, 2, 1, 1]


def test_what_grows_by_itself_is_no_gain() -> None:
    assert climbed([5, 10, 20, 30]) == [1, 2, 1, 1]


def test_it_is_tried_again_but_not_soon() -> None:
    assert climbed([10, 10, 11, 10] + [10] * PATIENCE + [10]) == [1, 2, 1, 1] + [1] * PATIENCE + [2]


def test_nobody_is_let_in_where_nobody_waits() -> None:
    assert climbed([10] * 5, waiting=0) == [1] * 5


@pytest.mark.timeout(20)
def test_a_turn_is_passed_on() -> None:
    turns, order, end = Turns(lambda: False), [], threading.Event()

    def second() -> None:
        with turns:
            order.append("second")
        end.set()

    with turns:
        threading.Thread(target=second, daemon=True).start()
        assert not turns.one_too_many()
        order.append("first")
    assert end.wait(10)
    assert order == ["first", "second"]


@pytest.mark.timeout(20)
def test_who_waits_goes_on_when_all_is_to_stop() -> None:
    stop = threading.Event()
    turns = Turns(stop.is_set)
    with turns:
        stop.set()
        with turns:
            assert turns.one_too_many()


def test_many_slots_are_taken_in_one_transaction_with_a_mark_for_the_first_and_the_last() -> None:
    words = taking([1, 2, 3, 4], "me", at_once=True)
    assert (words[0], words[-1]) == (("MULTI",), ("EXEC",))
    told = [(w[2], w[3]) for w in words[1:-1]]
    assert told == [(1, "NODE"), (2, "STABLE"), (2, "NODE"), (3, "STABLE"), (3, "NODE"), (4, "NODE")]


@pytest.mark.parametrize(("slots", "at_once"), [([1, 2], True), ([1, 2, 3], False)])
def test_others_are_taken_one_by_one(slots: list[int], at_once: bool) -> None:
    assert taking(slots, "me", at_once) == [("CLUSTER", "SETSLOT", s, "NODE", "me") for s in slots]


def test_an_error_inside_a_transaction_is_seen() -> None:
    assert refusal([b"OK", [b"OK", b"OK"]]) == ""
    assert refusal([b"OK", [b"OK", ErrorReply("ERR no")]]) == "ERR no"
    assert refusal([ErrorReply("NOPERM no")]) == "NOPERM no"
