"""Verdicts over a replicated cluster, by cases.

A case: `wanted` and `seen` are described in support/redis_replication_cases.py; `findings` are severity and a part of
the text, the worst first; `stop` is by member why it may not be stopped, empty where it may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases
from support.redis_replication_cases import state_of, wanted_of

from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.health import judge, ok_to_stop


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "health"))
def test_case(case: dict[str, Any]) -> None:
    wanted = wanted_of(case["wanted"])
    state = state_of(case["seen"], wanted)
    verdict = judge(wanted, state)
    said = [(f.severity, f"{f.seen} {f.means} {f.remedy}") for f in verdict.findings]
    assert [s for s, _ in said] == [s for s, _ in case["findings"]], verdict.as_table()
    for severity, part in case["findings"]:
        assert any(s == severity and part in text for s, text in said), (part, verdict.as_table())
    assert verdict.ok is case["ok"]
    for member, why in case.get("stop", {}).items():
        stop = ok_to_stop(wanted, state, member)
        assert stop.ok is not bool(why), (member, stop.as_table())
        text = " ".join(f"{f.seen}: {f.means}. {f.remedy}" for f in stop.findings if f.severity == "bad")
        assert why in text, (member, stop.as_table())
