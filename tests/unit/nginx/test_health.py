"""Verdicts, by cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.health import Finding, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.health import Answers, judge, ok_to_stop
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Member, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.parse import StubStatus
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool


def read(case: dict[str, Any]) -> tuple[Pool, Balancer, Answers]:
    lines = dict(line.split() for line in case["lines"])
    numbers = [str(n) for n in case.get("members", lines)]
    pool = Pool("api", "api", tuple(Member(f"h{n}", f"10.0.0.{n}", 8000) for n in numbers), **case["pool"])
    down = {f"10.0.0.{n}:8000" for n, state in lines.items() if state == "down"}
    servers = [s for s in pool.servers() if s.endpoint.split(".")[3].split(":")[0] in lines]
    seen = SeenPool(tuple(servers), case.get("loaded", True))
    for server in servers:
        if server.endpoint in down:
            seen = seen.with_server(server.endpoint, type(server)(**{**server.as_dict(), "extra": (), "down": True}))
    balancer = Balancer(
        "lb1", {"api": seen}, running=case.get("running", True), old_generations=case.get("old_generations", 0)
    )
    said = {("api", f"10.0.0.{n}:8000"): word for n, word in case["said"].items()}
    return pool, balancer, Answers(said, {"api": case.get("through", "")}, {"market": ""})


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "health"))
def test_case(case: dict[str, Any]) -> None:
    pool, balancer, answers = read(case)
    verdict = judge((pool,), balancer, answers)
    assert verdict.ok is case["ok"], verdict.as_table()
    assert [f.severity for f in verdict.findings] == case["findings"]
    for member, allowed in case.get("stop", {}).items():
        assert ok_to_stop((pool,), {"lb1": (balancer, answers)}, member).ok is allowed, member


@pytest.mark.parametrize(("other", "allowed"), [({}, True), ({"running": False}, False), ({"reachable": False}, False)])
def test_a_balancer_may_stop_while_another_lives(other: dict[str, Any], allowed: bool) -> None:
    balancers = {"lb1": (Balancer("lb1"), Answers()), "lb2": (Balancer("lb2", **other), Answers())}
    assert ok_to_stop((), balancers, "lb1").ok is allowed


def test_a_site_that_fails_is_bad_and_dropped_connections_are_told() -> None:
    status = StubStatus(active=1, accepts=10, handled=8, requests=9, reading=0, writing=1, waiting=0)
    verdict = judge((), Balancer("lb1"), Answers(sites={"market": "HTTP 502 from /"}), status)
    assert [f.severity for f in verdict.findings] == ["bad", "warning"]
    assert "2 connections dropped" in verdict.findings[1].seen
    assert "site market" in verdict.why_not


def test_answers_survive_json() -> None:
    answers = Answers({("api", "a:1"): "x", ("ws", "a:1"): ""}, {"api": ""}, {"market": "y"})
    assert Answers.from_dict(answers.as_dict()) == answers


def test_a_verdict_puts_the_worst_first() -> None:
    verdict = Verdict.of([Finding("note", "n", "m"), Finding("bad", "b", "m", "r")])
    assert (verdict.ok, [f.severity for f in verdict.findings], verdict.why_not) == (False, ["bad", "note"], "b: m")
    assert "severity" not in verdict.as_table()
    assert verdict.as_dict()["findings"][0]["remedy"] == "r"
    assert Verdict.of([]).as_table() == ""
    with pytest.raises(ValueError, match="severity"):
        Finding("dreadful", "", "")
