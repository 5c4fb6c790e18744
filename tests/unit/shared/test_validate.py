"""Structured variables against options, case by case; and that nothing secret is ever repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.validate import check, check_each, nearest, unknown_names

CASES = load_cases(Path(__file__).parent / "cases" / "validate")
SECRET = "hunter2-correct-horse"
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
)


@pytest.mark.parametrize("case", CASES)
def test_case(case: dict[str, Any]) -> None:
    found = [p.as_dict() for p in check(case["value"], case["options"], "pool")]
    assert len(found) == len(case["problems"]), found
    for seen, wanted in zip(found, case["problems"], strict=True):
        assert {k: seen[k] for k in wanted} == wanted


@pytest.mark.parametrize("kind", ["str", "int", "bool", "float", "list", "dict", "path"])
@given(value=PLAIN)
def test_a_secret_is_never_repeated(kind: str, value: Any) -> None:
    options = {
        "a": {"type": kind, "no_log": True, "elements": "int", "choices": ["x"] if kind == "str" else None},
        "b": {"type": "dict", "options": {"c": {"type": kind, "no_log": True}}},
        "c": {"type": "list", "elements": "dict", "options": {"a": {"type": kind, "no_log": True}}},
    }
    for problem in check({"a": value, "b": value, "c": value}, options, "here") + check(value, options, "here"):
        assert SECRET not in str(problem)


@given(value=PLAIN)
def test_raw_takes_anything(value: Any) -> None:
    assert check({"a": value}, {"a": {"type": "raw"}}, "here") == []


def test_what_lies_under_a_secret_mapping_is_secret_too() -> None:
    options = {"keys": {"type": "dict", "no_log": True, "options": {"port": {"type": "int"}}}}
    assert [p.seen for p in check({"keys": {"port": SECRET}}, options, "here")] == ["(hidden)"]


def test_each_name_is_checked() -> None:
    found = check_each({"api": {"size": 1}, "web": {"sise": 1}}, {"size": {"type": "int"}}, "pools")
    assert [(p.where, p.remedy) for p in found] == [("pools.web.sise", "did you mean size?")]


def test_each_needs_a_mapping() -> None:
    assert [p.seen for p in check_each([1], {"size": {"type": "int"}}, "pools")] == ["[1]"]


def test_a_long_value_is_cut() -> None:
    assert len(check({"a": ["x" * 500]}, {"a": {}}, "here")[0].seen) < 100


def test_an_option_of_no_known_type_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="strr"):
        check({"a": 1}, {"a": {"type": "strr"}}, "here")


def test_unknown_names_are_judged_by_prefix() -> None:
    known = ["redis_maxmemory", "app_classes"]
    found = unknown_names(["redis_maxmemroy", "app_classes", "our_own", "ansible_host"], known, "group_vars/all")
    assert [(p.where, p.seen, p.remedy) for p in found] == [
        ("group_vars/all", "redis_maxmemroy", "did you mean redis_maxmemory?")
    ]


def test_unknown_names_with_prefixes_given() -> None:
    found = unknown_names(["redis_x", "kafka_x"], ["redis_maxmemory"], "all", prefixes=["kafka_"])
    assert [p.seen for p in found] == ["kafka_x"]


def test_nearest_may_be_nothing() -> None:
    assert nearest("zzz", ["keepalive", "method"]) == ""
