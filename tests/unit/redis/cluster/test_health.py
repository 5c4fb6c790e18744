"""Verdicts over a Redis Cluster, by cases.

A case: `wanted` and `seen` are described in support/redis_cases.py; `findings` are severity and a part of the text, the
worst first; `stop` is by member why it may not be stopped, empty where it may.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases
from support.redis_cases import seen_of, wanted_of

from ansible_collections.steelyard.stack.plugins.module_utils.redis import answers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.health import judge, ok_to_stop


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "health"))
def test_case(case: dict[str, Any]) -> None:
    wanted = wanted_of(dict(case["wanted"]))
    nodes = seen_of(case["seen"], wanted)
    verdict = judge(wanted, nodes)
    said = [(f.severity, f"{f.seen} {f.means} {f.remedy}") for f in verdict.findings]
    assert [s for s, _ in said] == [s for s, _ in case["findings"]], verdict.as_table()
    for severity, part in case["findings"]:
        assert any(s == severity and part in text for s, text in said), (part, verdict.as_table())
    assert verdict.ok is case["ok"]
    for member, why in case.get("stop", {}).items():
        stop = ok_to_stop(wanted, nodes, member)
        assert stop.ok is not bool(why), (member, stop.as_table())
        text = " ".join(f"{f.seen}: {f.means}. {f.remedy}" for f in stop.findings if f.severity == "bad")
        assert why in text, (member, stop.as_table())


@pytest.mark.parametrize("name", answers.SAVES)
def test_a_failed_write_is_read(name: str) -> None:
    where = {"name": "redis1:7000", "host": "redis1", "address": "10.0.0.1", "port": 7000}
    assert parse.node(where, parse.Answers(info=f"{name}:err\r\n")).save_failed
    assert not parse.node(where, parse.Answers(info=f"{name}:ok\r\n")).save_failed
