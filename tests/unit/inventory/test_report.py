"""The table of problems: everything in it, nothing wider than the terminal, no secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.inventory import report
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import UNKNOWN

words = st.lists(st.text("abcdefgh.", min_size=1, max_size=17), min_size=1, max_size=12).map(" ".join)
problems = st.lists(st.builds(Problem, words, words, words, words), min_size=1, max_size=5)


@given(problems, st.integers(90, 180))
def test_everything_is_in_the_table_and_fits(found: list[Problem], width: int) -> None:
    text = report.problem_table(found, width)
    assert max(map(len, text.splitlines())) <= width
    said = sorted("".join(text.split()))
    head = "".join([*report.HEAD, *("-" * len(rule) for rule in text.splitlines()[1].split())])
    expected = head + "".join("".join(p.where + p.rule + p.seen + p.remedy).replace(" ", "") for p in found)
    assert said == sorted(expected)


def test_short_problems_are_one_line_each() -> None:
    text = report.problem_table([Problem("api1", "a rule", "seen", "do it"), Problem("b", "r", "s", "x")])
    assert text.splitlines() == [
        "  where  rule    seen  remedy",
        "  -----  ------  ----  ------",
        "  api1   a rule  seen  do it",
        "  b      r       s     x",
    ]


def test_a_wrapped_table_keeps_rows_apart_and_paths_whole() -> None:
    path = "app_classes.workers.secrets.MARKET_API_TOKEN"
    text = report.problem_table([Problem(path, "a " * 40, "b " * 30, "c " * 30), Problem("x", "r", "s", "t")], 100)
    assert path in text
    assert "" in [line.strip() for line in text.splitlines()]


@pytest.mark.parametrize(
    ("secret", "seen", "shown"),
    [
        ("hunter22", "method 'hunter22'", "method '(hidden)'"),
        ("ab", "'ab'", "(hidden)"),
        ("ab", "absolute", "absolute"),
        ("", "nothing", "nothing"),
    ],
)
def test_secrets_are_masked(secret: str, seen: str, shown: str) -> None:
    (problem,) = report.tidy([Problem("x", "r", seen, "m")], [secret])
    assert problem.seen == shown


def test_what_repeats_an_unknown_value_is_left_out() -> None:
    assert report.tidy([Problem("x", "r", repr(UNKNOWN), "m")] * 2) == []


def test_hosts_that_share_a_problem_are_one_row() -> None:
    hosts = [f"api{n}" for n in range(1, 8)]
    problem = Problem("nginx_x", "r", "s", "m")
    assert report.gather([(h, problem) for h in hosts], hosts)[0].where == "nginx_x"
    assert report.gather([(h, problem) for h in hosts[:6]], hosts)[0].where == "api1, api2, api3 and 3 more: nginx_x"
    assert report.gather([("", problem)] * 2, hosts)[0].where == "nginx_x"
    assert report.gather([("api1", problem)] * 2, hosts)[0].where == "api1: nginx_x"
