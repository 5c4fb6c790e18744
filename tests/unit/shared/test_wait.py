"""Waiting, on a clock that the test turns."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.wait import LONGEST_PAUSE, wait_until


class Clock:
    def __init__(self, observation_takes: float = 0.0) -> None:
        self.now = 100.0
        self.pauses: list[float] = []
        self.observation_takes = observation_takes

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.pauses.append(seconds)
        self.now += seconds

    def observe(self, states: Iterator[int]) -> Callable[[], int]:
        def observed() -> int:
            self.now += self.observation_takes
            return next(states)

        return observed


def test_the_first_good_observation_is_returned_without_a_pause() -> None:
    clock = Clock()
    assert wait_until(lambda: "up", lambda s: s == "up", 5, "it is up", clock=clock, sleep=clock.sleep) == "up"
    assert clock.pauses == []


def test_it_goes_on_until_done() -> None:
    clock = Clock()
    states = iter([3, 2, 1, 0])
    assert wait_until(lambda: next(states), lambda s: s == 0, 5, "none left", clock=clock, sleep=clock.sleep) == 0


def test_the_error_says_what_was_seen_last() -> None:
    clock = Clock()
    with pytest.raises(GateNotPassed) as failed:
        wait_until(lambda: 7, lambda s: s == 0, 5, "no connection is left", clock=clock, sleep=clock.sleep,
                   describe=lambda n: f"{n} connections", remedy="close them")  # fmt: skip
    assert str(failed.value) == "within 5 s: no connection is left (seen: 7 connections). Remedy: close them"


def test_the_last_observation_is_at_the_deadline() -> None:
    clock = Clock()
    wait_until(lambda: clock.now, lambda now: now >= 105, 5, "late", clock=clock, sleep=clock.sleep)
    assert clock.now == pytest.approx(105)


def test_no_time_still_means_one_look() -> None:
    clock = Clock()
    assert wait_until(lambda: 1, bool, 0, "it is there", clock=clock, sleep=clock.sleep) == 1
    with pytest.raises(GateNotPassed):
        wait_until(lambda: 0, bool, 0, "it is there", clock=clock, sleep=clock.sleep)


@given(st.floats(0.01, 1000), st.floats(0, 3))
def test_pauses_grow_to_a_bound_and_end_at_the_deadline(deadline: float, takes: float) -> None:
    clock = Clock(takes)
    with pytest.raises(GateNotPassed):
        wait_until(clock.observe(iter(int, 1)), bool, deadline, "never", clock=clock, sleep=clock.sleep)
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert max(clock.pauses, default=0) <= LONGEST_PAUSE
    assert clock.now <= 100 + deadline + 2 * takes + 1e-6


def test_what_an_observation_raises_is_passed_on() -> None:
    def broken() -> int:
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        wait_until(broken, bool, 5, "it is there")
