"""The remote half of the loop: steps until the budget is used up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.cluster import do_steps
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Locked
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step


class World:
    """Steps that take time on a clock of their own; each may have to wait for some calls first."""

    def __init__(self, takes: list[float], waits: list[int] | None = None) -> None:
        self.steps = [Step(f"s{n}", "do", f"thing{n}") for n in range(len(takes))]
        self.takes = dict(zip([s.id for s in self.steps], takes, strict=True))
        self.waits = dict(zip(self.takes, waits or [0] * len(takes), strict=True))
        self.now = 0.0
        self.done: list[str] = []
        self.renewed = 0

    def clock(self) -> float:
        return self.now

    def renew(self) -> None:
        self.renewed += 1

    def execute(self, step: Step, left: float) -> str | None:
        if self.waits[step.id]:
            self.waits[step.id] -= 1
            self.now += left
            return "2 left"
        self.now += self.takes[step.id]
        self.done.append(step.id)
        return None

    def call(self, budget: float = 10) -> dict[str, object]:
        todo = [s for s in self.steps if s.id not in self.done]
        return do_steps(todo, self.execute, budget=budget, renew=self.renew, clock=self.clock).as_dict()


def test_all_within_the_budget() -> None:
    world = World([1, 2])
    assert world.call() == {"changed": True, "applied": ["s0", "s1"], "remaining": [],
                            "timings": {"s0": 1, "s1": 2}, "progress": ""}  # fmt: skip
    assert world.renewed == 2


def test_no_step_is_begun_after_the_budget() -> None:
    assert World([6, 6, 6]).call()["remaining"] == ["s2"]


def test_one_step_at_least() -> None:
    assert World([60, 60]).call(budget=0)["applied"] == ["s0"]


def test_waiting_ends_the_call_and_says_for_what() -> None:
    world = World([1, 1], [0, 1])
    assert world.call() == {
        "changed": True,
        "applied": ["s0"],
        "remaining": ["s1"],
        "timings": {"s0": 1},
        "progress": "2 left",
    }
    assert world.call()["applied"] == ["s1"]


def test_nothing_to_do_is_no_change() -> None:
    assert World([]).call()["changed"] is False


def test_a_lost_lease_stops_before_the_step() -> None:
    world = World([1])

    def lost() -> None:
        raise Locked("ours", "theirs")

    with pytest.raises(Locked):
        do_steps(world.steps, world.execute, budget=10, renew=lost, clock=world.clock)
    assert world.done == []


def test_an_error_says_what_was_done_before_it() -> None:
    world = World([1, 1, 1])

    def execute(step: Step, left: float) -> str | None:
        if step.id == "s1":
            raise Locked("ours", "theirs")
        return world.execute(step, left)

    with pytest.raises(Locked) as stopped:
        do_steps(world.steps, execute, budget=10, clock=world.clock)
    details = stopped.value.details
    assert (details["changed"], details["applied"], details["remaining"]) == (True, ["s0"], ["s1", "s2"])
    assert details["exit_code"] == 4


@given(st.lists(st.floats(0, 20), max_size=6), st.lists(st.integers(0, 3), min_size=6, max_size=6), st.floats(0, 15))
def test_calls_repeated_until_nothing_remains_do_each_step_once_in_order(
    takes: list[float], waits: list[int], budget: float
) -> None:
    world = World(takes, waits[: len(takes)])
    told: list[object] = []
    for _ in range(6 + sum(waits) + 1):
        before = world.now
        answer = world.call(budget)
        told += answer["applied"]  # type: ignore[misc]
        assert world.now - before <= budget + max(takes, default=0) + 1e-9
        if not answer["remaining"]:
            break
    assert told == world.done == [s.id for s in world.steps]
