"""Tables that line up; fingerprints that differ exactly when what they cover differs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.render import table

cells = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


def test_table() -> None:
    assert table(("host", "state"), [("api1", "up"), ("balancer1", "")]) == (
        "  host       state\n  ---------  -----\n  api1       up\n  balancer1"
    )


@given(st.lists(st.tuples(cells, cells, cells), max_size=5))
def test_columns_line_up(rows: list[tuple[str, str, str]]) -> None:
    lines = table(("a", "b", "c"), rows, indent="").splitlines()
    starts = [i for i, char in enumerate(lines[1]) if char == "-" and (i == 0 or lines[1][i - 1] == " ")]
    assert len(starts) == 3
    assert len(lines) == len(rows) + 2
    for row, line in zip(rows, [lines[0], *lines[2:]][1:], strict=True):
        assert [line[at:].startswith(cell) for at, cell in zip(starts, row, strict=True)] == [True] * 3


def test_a_row_of_another_length_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="as many cells"):
        table(("a", "b"), [("1",)])


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(values, values)
def test_same_values_same_fingerprint(wanted: object, seen: object) -> None:
    first = fingerprint(wanted, seen)
    assert len(first) == 16
    assert int(first, 16) >= 0
    assert first == fingerprint(wanted, seen)


@given(st.dictionaries(st.text(max_size=3), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(mapping: dict[str, int]) -> None:
    assert fingerprint(mapping, {}) == fingerprint(dict(reversed(mapping.items())), {})


def test_every_part_matters() -> None:
    prints = {
        fingerprint("a", "b"), fingerprint("b", "a"), fingerprint(["a", "b"], ""), fingerprint(["b", "a"], ""),
        fingerprint("a", "b", version="9.9.9"), fingerprint(1, "b"), fingerprint("1", "b"),
    }  # fmt: skip
    assert len(prints) == 7
