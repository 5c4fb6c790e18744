"""The rules of the lease: case by case, and what must hold whoever asks in whatever order."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils import lease_rules
from ansible_collections.steelyard.stack.plugins.module_utils.lease_rules import (
    DENIED,
    GRANTED,
    WAIT,
    Record,
    Request,
    decide,
    release,
)
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process

CASES = load_cases(Path(__file__).parent / "cases" / "lease")
REMOTE = Process("lb1", "b9/1", 77, 1)


def request_of(raw: dict[str, Any]) -> Request:
    dead = raw.get("proved_dead")
    return Request(
        "nginx", "main", raw["run"], raw["operator"], raw["operation"], Process.from_dict(raw["holder"]), 300.0,
        raw.get("force", False), Process.from_dict(dead) if dead else None,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    seen = Record.from_dict(case["seen"]) if case["seen"] else None
    request = request_of(case["request"])
    verdict = decide(seen, request, case["now"], case.get("remote_alive", False))
    assert (verdict.outcome, verdict.token) == (case["outcome"], case["token"]), verdict.why
    assert verdict.why
    if "retry_after" in case:
        assert verdict.retry_after == pytest.approx(case["retry_after"])
    if verdict.outcome == GRANTED:
        assert verdict.record is not None
        assert (verdict.record.run, verdict.record.remote) == (request.run, None)
        assert verdict.record.expires == case["now"] + 300
    if verdict.outcome == DENIED:
        assert verdict.record is None
        assert seen is not None
        assert all(word in verdict.why for word in (seen.operator, "ctl1", seen.operation, "1970-01-01T00:00:00Z"))


ASKERS = [
    Request("s", "c", run, operator, operation, Process(host, f"{host}/1", number, 1), 300.0)
    for number, (run, operator, operation, host) in enumerate(
        [("r1", "alice", "scale", "ctl1"), ("r2", "alice", "scale", "ctl1"), ("r3", "alice", "scale", "ctl2"),
         ("r4", "bob", "scale", "ctl1"), ("r5", "alice", "upgrade", "ctl1")]
    )
]  # fmt: skip
EVENTS = st.lists(
    st.tuples(st.sampled_from(["ask", "prove", "force", "release", "start", "end", "die", "wait"]), st.integers(0, 4)),
    max_size=30,
)


@given(EVENTS)
def test_nobody_works_beside_a_module_and_tokens_rise(events: list[tuple[str, int]]) -> None:
    """Five runs and one member: whatever happens in whatever order, one run works at a time."""
    record: Record | None = None
    now, token, alive, dead = 0.0, 0, False, set()
    for event, who in events:
        request = ASKERS[who]
        if event == "release":
            record = release(record, request.run, who % 2 == 0, alive) or record
        elif event == "start" and record is not None and record.run == request.run and not alive:
            record, alive = replace(record, remote=REMOTE), True
        elif event == "end":
            alive = False
        elif event == "die":
            dead.add(who)
        elif event == "wait":
            now += 100 * who
        elif event in ("ask", "prove", "force"):
            holder = record.holder if record is not None else None
            proof = holder if event == "prove" and any(holder == ASKERS[d].holder for d in dead) else None
            verdict = decide(record, replace(request, force=event == "force", proved_dead=proof), now, alive)
            if verdict.outcome == GRANTED:
                assert not alive, "granted beside a module that works"
            if verdict.record is not None:
                was_mine = record is not None and record.run == request.run
                assert verdict.record.token > token or was_mine, "a token must rise"
                assert (verdict.record.remote == REMOTE) == alive, "a working module must not be forgotten"
                record, token = verdict.record, verdict.record.token
        if record is not None:
            assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_only_the_holder_or_force_releases() -> None:
    held = Record("s", "c", 7, "r1", "alice", "scale", 0, 300, ASKERS[0].holder, None)
    assert release(held, "r2", force=False, remote_alive=False) is None
    assert release(None, "r1", force=True, remote_alive=False) is None
    for run, force in (("r1", False), ("r2", True)):
        assert release(held, run, force, remote_alive=False) == Record("s", "c", 7)


def test_unlocking_does_not_forget_a_working_module() -> None:
    held = Record("s", "c", 7, "r1", "alice", "scale", 0, 300, ASKERS[0].holder, REMOTE)
    freed = release(held, "r2", force=True, remote_alive=True)
    assert freed == Record("s", "c", 7, remote=REMOTE)
    assert decide(freed, ASKERS[3], 1, remote_alive=True).outcome == WAIT
    assert decide(freed, ASKERS[3], 1, remote_alive=False).outcome == GRANTED


@pytest.mark.parametrize(
    ("run", "token", "now", "grace", "word"),
    [("r1", 7, 10, False, ""), ("r1", None, 10, False, ""), ("r2", None, 10, True, "alice"), ("r1", 6, 10, True, "not 6"),
     ("r1", 7, 301, True, ""), ("r1", 7, 301, False, "passed its time")],
)  # fmt: skip
def test_why_not_ours(run: str, token: int | None, now: float, grace: bool, word: str) -> None:
    held = Record("s", "c", 7, "r1", "alice", "scale", 0, 300, ASKERS[0].holder)
    why = lease_rules.why_not_ours(held, run, token, now, grace)
    assert bool(why) == bool(word)
    assert word in why


def test_a_free_lease_is_nobodys() -> None:
    assert lease_rules.why_not_ours(None, "r1", None, 0, True) == "nobody holds it"
    assert lease_rules.why_not_ours(Record("s", "c", 7), "r1", 7, 0, True) == "nobody holds it"


def test_renewing_never_shortens() -> None:
    held = Record("s", "c", 7, "r1", expires=500)
    assert lease_rules.renewed(held, 10, 300).expires == 500
    assert lease_rules.renewed(held, 400, 300).expires == 700


@pytest.mark.parametrize(
    ("held", "enough"),
    [("", False), ("a", False), ("ab", True), ("abc", True), ("x", False), ("abx", True), ("axy", False)],
)
def test_majority_of_three(held: str, enough: bool) -> None:
    answers = {m: {"held": m in held, "why": "held by bob"} for m in "abxy" if m != "c"} | {
        m: {"held": True} for m in held
    }
    problems = lease_rules.majority(answers, ["a", "b", "c"], "nginx main")
    assert (problems == []) == enough
    for problem in problems:
        assert "unlock" in problem.remedy
        assert problem.seen == ("no answer" if problem.where.endswith("c") else "held by bob")


def test_half_is_no_majority() -> None:
    assert lease_rules.majority({"a": {"held": True}}, ["a", "b"], "nginx main") != []
    assert lease_rules.majority({"a": {"held": True}}, ["a"], "nginx main") == []
