"""Errors: every one carries where, rule, value and remedy, and an exit code for the command."""

from __future__ import annotations

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import (
    GateNotPassed,
    Locked,
    Problem,
    Refused,
    StateMoved,
    SteelyardError,
)


@pytest.mark.parametrize(
    ("kind", "code"), [(SteelyardError, 1), (Refused, 2), (StateMoved, 3), (Locked, 4), (GateNotPassed, 5)]
)
def test_exit_codes(kind: type[SteelyardError], code: int) -> None:
    assert kind("rule").details["exit_code"] == code


def test_the_sentence_has_all_parts() -> None:
    assert str(Refused("sizes have units", "12 q", "write 12mb", "redis_maxmemory")) == (
        "redis_maxmemory: sizes have units (seen: 12 q). Remedy: write 12mb"
    )
    assert str(Refused("sizes have units")) == "sizes have units"


def test_several_problems_make_one_error() -> None:
    problems = [Problem("a", "r1", "s", "m"), Problem("b", "r2", "s", "m")]
    error = Locked.of(p for p in problems)
    assert isinstance(error, Locked)
    assert error.problems == tuple(problems)
    assert len(str(error).splitlines()) == 2
    assert error.details == {"problems": [p.as_dict() for p in problems], "exit_code": 4}


def test_an_error_without_a_problem_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Refused.of([])


def test_a_problem_reads_as_a_sentence() -> None:
    assert (
        str(Problem("h1", "ports are free", "80 is taken", "stop it"))
        == "h1: ports are free (seen: 80 is taken). stop it"
    )
