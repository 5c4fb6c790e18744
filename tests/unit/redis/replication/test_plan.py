"""The planner of a replicated cluster, by cases.

A case: `wanted` and `seen` are described in support/redis_replication_cases.py, `options` are those of make_plan.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases
from support.redis_replication_cases import state_of, wanted_of

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import make_plan, resume
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "plan"))
def test_case(case: dict[str, Any]) -> None:
    wanted = wanted_of(case["wanted"])
    state = state_of(case["seen"] or {}, wanted)
    assert State.from_list(state.as_list()) == state
    plan = make_plan(wanted, state, **case.get("options", {}))
    assert [r.rule for r in plan.refusals] == case.get("refusals", []), plan.as_table()
    assert [s.id for s in plan.steps] == case.get("steps", []), plan.as_table()
    text = plan.as_table()
    for said in case.get("says", []):
        assert said in text, text
    by_id = {s.id: s for s in plan.steps}
    for ident, args in case.get("args", {}).items():
        for key, value in args.items():
            assert by_id[ident].args[key] == value, (ident, by_id[ident].args)
    assert Plan.from_summary(plan.summary()) == plan
    assert all(r.seen and r.remedy for r in plan.refusals)
    if not plan.refusals:
        assert resume(plan, wanted, state).steps == plan.steps
