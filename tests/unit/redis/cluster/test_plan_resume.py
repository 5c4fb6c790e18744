"""When a saved plan no longer fits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases
from support.cluster_sim import Sim
from support.redis_cases import seen_of, wanted_of

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.resume import resume
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance

CASES = Path(__file__).parent / "cases" / "plan"


def spec(hosts: int) -> ClusterSpec:
    return ClusterSpec("s", "cluster", tuple(Instance("s", f"r{h}", f"10.0.0.{h}", 7000) for h in range(1, hosts + 1)))


def growing() -> tuple[Sim, ClusterSpec, Plan]:
    """Six instances, and the plan for eight."""
    sim, before, wanted = Sim(), spec(6), spec(8)
    sim.start(before)
    for step in make_plan(before, sim.answers()).steps:
        sim.apply(step)
    sim.start(wanted)
    return sim, wanted, make_plan(wanted, sim.answers())


def test_another_inventory() -> None:
    sim, wanted, plan = growing()
    with pytest.raises(StateMoved, match="inventory"):
        resume(plan, replace(wanted, replicas=0), sim.answers())


def test_changed_steps() -> None:
    sim, wanted, plan = growing()
    raw = plan.summary()
    move = next(s for s in raw["steps"] if s["verb"] == "move_slots")
    move["args"]["start"]["slots"] = [[0, 1]]
    with pytest.raises(StateMoved):
        resume(Plan.from_summary(raw), wanted, sim.answers())


def test_somebody_else_moved_slots_of_the_plan() -> None:
    sim, wanted, plan = growing()
    move = next(s for s in plan.steps if s.verb == "move_slots")
    other = next(n for n in sim.nodes.values() if n.slots and n.name not in move.args["start"]["source"])
    sim._own(other, 1 << move.args["slots"][0][0])
    with pytest.raises(StateMoved, match="has them"):
        resume(plan, wanted, sim.answers())


def test_somebody_else_opened_a_slot() -> None:
    sim, wanted, plan = growing()
    masters = [n for n in sim.nodes.values() if n.slots]
    masters[0].migrating[0] = masters[1].name
    with pytest.raises(StateMoved, match="nobody else moves slots"):
        resume(plan, wanted, sim.answers())


def test_elections_and_sizes_do_not_matter() -> None:
    sim, wanted, plan = growing()
    sim.fail_over(next(n.name for n in sim.nodes.values() if n.master))
    sim.keys = dict.fromkeys(range(16384), 3)
    assert [s.id for s in resume(plan, wanted, sim.answers()).steps] == [s.id for s in plan.steps]


def test_the_fingerprint_does_not_know_who_leads() -> None:
    sim, wanted, plan = growing()
    assert make_plan(wanted, sim.answers()).fingerprint == plan.fingerprint
    sim.fail_over(next(n.name for n in sim.nodes.values() if n.master))
    assert make_plan(wanted, sim.answers()).fingerprint == plan.fingerprint
    sim._own(sim.leader("r2:7000"), 1 << 3)
    assert make_plan(wanted, sim.answers()).fingerprint != plan.fingerprint


@pytest.mark.parametrize("case", load_cases(CASES))
def test_nothing_is_left_out_of_a_plan_that_was_just_made(case: dict[str, Any]) -> None:
    """Also where a member that makes the target's shard is still a replica of the source's: its slots are no target's."""
    wanted = wanted_of(dict(case["wanted"]))
    seen = seen_of(case["seen"] or {}, wanted)
    plan = make_plan(wanted, seen, **case.get("options", {}))
    if plan.refusals:
        return
    upgrading = case.get("options", {}).get("upgrading", False)
    assert resume(plan, wanted, seen, upgrading=upgrading).steps == plan.steps
