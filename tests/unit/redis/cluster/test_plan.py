"""The planner of a Redis Cluster, by cases.

A case: `wanted` and `seen` are described in support/redis_cases.py, `options` are those of make_plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases
from support.redis_cases import seen_of, wanted_of

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan


def plan_of(case: dict[str, Any]) -> Plan:
    wanted = wanted_of(dict(case["wanted"]))
    return make_plan(wanted, seen_of(case["seen"] or {}, wanted), **case.get("options", {}))


CASES = Path(__file__).parent / "cases" / "plan"


@pytest.mark.parametrize("case", load_cases(CASES))
def test_case(case: dict[str, Any]) -> None:
    plan = plan_of(case)
    assert [r.rule for r in plan.refusals] == case.get("refusals", []), plan.as_table()
    assert [s.id for s in plan.steps] == case.get("steps", []), plan.as_table()
    text = plan.as_table()
    for said in case.get("says", []):
        assert said in text, text
    by_id = {s.id: s for s in plan.steps}
    for ident, args in case.get("args", {}).items():
        for key, value in args.items():
            assert by_id[ident].args[key] == value, (ident, key)
    assert Plan.from_summary(plan.summary()) == plan
    assert all(r.seen and r.remedy for r in plan.refusals)
