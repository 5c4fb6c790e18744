"""Progress lines: done, total, rate and time left, where they are known."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.plugin_utils.progress import Progress

GIB = 2**30


def progress(*steps: Step) -> Progress:
    return Progress(Plan("kafka", "main", steps), "k1", 100.0)


def step(name: str, **settings: Any) -> Step:
    return Step(name, "move", name, **settings)


def test_a_finished_step() -> None:
    lines = progress(step("a", seconds=2), step("b", seconds=8)).lines(["a"], ["a"], {"timings": {"a": 1.5}}, 102)
    assert lines == ["k1 kafka main: 1/2 move a done in 1.5 s (2 s, about 8 s left)"]


def test_several_at_once_have_one_tail() -> None:
    assert progress(step("a"), step("b"), step("c")).lines(["a", "b"], ["a", "b"], {}, 104) == [
        "k1 kafka main: 1/3 move a done",
        "k1 kafka main: 2/3 move b done (4 s, about 2 s left)",
    ]


def test_the_last_one_leaves_nothing() -> None:
    assert progress(step("a")).lines(["a"], ["a"], {}, 103) == ["k1 kafka main: 1/1 move a done (3 s)"]


@pytest.mark.parametrize(
    ("answer", "word"),
    [({}, "under way"), ({"progress": "3 left"}, "3 left"), ({"failed": True, "progress": "x"}, "FAILED")],
)
def test_a_step_under_way(answer: dict[str, Any], word: str) -> None:
    assert progress(step("a")).lines([], [], answer, 130) == [f"k1 kafka main: 1/1 move a: {word} (30 s)"]


def test_bytes_give_a_rate_and_the_time_left() -> None:
    plan = progress(step("a", bytes=GIB), step("b", bytes=3 * GIB))
    assert plan.lines(["a"], ["a"], {"progress": "10 %"}, 110) == [
        "k1 kafka main: 1/2 move a done",
        "k1 kafka main: 2/2 move b: 10 % (10 s, 1 GiB of 4 GiB at 102.4 MiB/s, about 30 s left)",
    ]


def test_unknown_bytes_give_no_false_time_left() -> None:
    (line,) = progress(step("a", bytes=GIB), step("b", bytes=None, seconds=7)).lines(["a"], ["a"], {}, 110)
    assert "about 7 s left" in line


def test_all_done_and_nothing_new_says_nothing() -> None:
    assert progress(step("a")).lines(["a"], [], {}, 110) == []
