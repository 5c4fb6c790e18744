"""Plans: what is read back is what was written; the table, the title and the diff."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.plan import DISRUPTIONS, Plan, Refusal, Step

words = st.text(max_size=8)
steps = st.builds(
    Step,
    id=words, verb=words, subject=words, detail=words,
    bytes=st.none() | st.integers(0, 2**50),
    seconds=st.none() | st.floats(0, 1e6),
    disruption=st.sampled_from(DISRUPTIONS),
    hosts=st.lists(words, max_size=3).map(tuple),
    args=st.dictionaries(words, st.integers() | words | st.lists(words, max_size=2), max_size=3),
)  # fmt: skip
plans = st.builds(
    Plan, service=words, cluster=words, steps=st.lists(steps, max_size=4).map(tuple),
    refusals=st.lists(st.builds(Refusal, words, words, words), max_size=2).map(tuple),
    notes=st.lists(words, max_size=2).map(tuple), fingerprint=words,
)  # fmt: skip

TWO = Plan(
    "nginx", "main",
    (Step("add-a", "add", "a → api", seconds=2, hosts=("lb1",)),
     Step("drain-b", "drain", "b", "4 connections", bytes=2048, seconds=3, disruption="brief", hosts=("lb1", "lb2"))),
    fingerprint="abc",
)  # fmt: skip


@given(plans)
def test_a_summary_reads_back(plan: Plan) -> None:
    assert Plan.from_summary(json.loads(json.dumps(plan.summary()))) == plan


@given(plans)
def test_check_and_real_run_print_the_same(plan: Plan) -> None:
    assert plan.as_diff() == Plan.from_summary(plan.summary()).as_diff()
    assert plan.as_table() in plan.as_diff()["after"]


def test_the_table_is_for_people() -> None:
    assert TWO.as_table().splitlines() == [
        "nginx main: 2 step(s), about 5 s, plan abc",
        "  #  step   what     detail         moves  takes  disruption",
        "  -  -----  -------  -------------  -----  -----  ----------",
        "  1  add    a → api                 -      2 s    none",
        "  2  drain  b        4 connections  2 KiB  3 s    brief",
    ]


def test_an_unknown_time_is_not_added_up() -> None:
    assert (
        Plan("s", "c", (Step("a", "v", "x"),), fingerprint="f").as_table().splitlines()[0] == "s c: 1 step(s), plan f"
    )


def test_nothing_to_do_is_said() -> None:
    assert Plan("nginx", "main", notes=("one is late",)).as_table() == "nginx main: nothing to do\n  note: one is late"


def test_refusals_are_all_raised_and_shown() -> None:
    plan = Plan(
        "kafka", "main", refusals=(Refusal("quorum", "1 of 3", "bring k2 back"), Refusal("disk", "90 %", "grow it"))
    )
    with pytest.raises(Refused) as refused:
        plan.require_allowed()
    assert [(p.where, p.rule) for p in refused.value.problems] == [("kafka main", "quorum"), ("kafka main", "disk")]
    assert "refused, 2 reason(s)" in plan.as_table()
    assert "REFUSED quorum (seen: 1 of 3). Remedy: bring k2 back" in plan.as_table()


def test_an_allowed_plan_is_not_refused() -> None:
    TWO.require_allowed()
    assert "refused" not in TWO.as_table()


def test_parts_of_a_plan_keep_its_order_and_fingerprint() -> None:
    assert [s.id for s in TWO.only(["drain-b", "add-a", "else"]).steps] == ["add-a", "drain-b"]
    assert [s.id for s in TWO.for_host("lb2").steps] == ["drain-b"]
    assert TWO.for_host("lb9").fingerprint == "abc"


def test_a_disruption_is_one_of_three() -> None:
    with pytest.raises(ValueError, match="some"):
        Step("a", "v", "x", disruption="some")
