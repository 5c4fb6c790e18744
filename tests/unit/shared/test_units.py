"""Sizes, durations and percentages: what is printed reads back, and what is not a number is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_percent,
    parse_size,
)

KIB = 1024


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), (512, 512), ("512mb", 512 * KIB**2), ("512M", 512 * KIB**2), ("512MiB", 512 * KIB**2),
     ("1.5 g", 1536 * KIB**2), ("64kb", 64 * KIB), ("2TB", 2 * KIB**4), (" 7b ", 7)],
)  # fmt: skip
def test_size(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), (30, 30), ("5m", 300), ("5min", 300), ("2h", 7200), ("7d", 604800), ("1w", 604800)],
)
def test_duration(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "percent"), [("70%", 70), (70, 70), ("150 %", 150), ("0.5%", 0.5)])
def test_percent(text: object, percent: float) -> None:
    assert parse_percent(text) == percent


@pytest.mark.parametrize("parse", [parse_size, parse_duration, parse_percent])
@pytest.mark.parametrize(
    "text", ["", "many", "-1", "1 2", "1,5", "5 parsecs", "0x10", True, False, None, "nan", "inf", "1e3"]
)
def test_nonsense_is_refused(parse: object, text: object) -> None:
    with pytest.raises(Refused) as refused:
        parse(text, "redis_maxmemory")  # type: ignore[operator]
    problem = refused.value.problems[0]
    assert (problem.where, problem.seen) == ("redis_maxmemory", repr(text))
    assert problem.remedy


@pytest.mark.parametrize("text", ["0.3b", "1.0001kb"])
def test_half_a_byte_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="whole number of bytes"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=2**60))
def test_a_plain_number_is_bytes(size: int) -> None:
    assert parse_size(str(size)) == size


@given(
    st.integers(min_value=0, max_value=2**20), st.sampled_from(["k", "m", "g", "t"]), st.sampled_from(["", "b", "ib"])
)
def test_spelling_does_not_matter(number: int, letter: str, suffix: str) -> None:
    spelled = [f"{number}{letter}{suffix}", f"{number} {letter.upper()}{suffix}", f"{number}{letter}{suffix.upper()}"]
    assert len({parse_size(s) for s in spelled}) == 1


@given(st.integers(min_value=0, max_value=1023 * KIB**4))
def test_what_is_printed_reads_back_within_its_precision(size: int) -> None:
    printed = format_size(size)
    unit = {"B": 1, "KiB": KIB, "MiB": KIB**2, "GiB": KIB**3, "TiB": KIB**4}[printed.split()[1]]
    number = float(printed.split()[0])
    assert abs(number * unit - size) <= 0.05 * unit + 1
    if (number * unit).is_integer():
        assert parse_size(printed) == number * unit


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "?"),
        (0, "0 B"),
        (1023, "1023 B"),
        (64 * KIB, "64 KiB"),
        (1536 * KIB**2, "1.5 GiB"),
        (5000 * KIB**4, "5000 TiB"),
    ],
)
def test_format_size(size: int | None, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "?"), (0.34, "0.3 s"), (9, "9 s"), (42.4, "42 s"), (59.6, "1 m 0 s"), (200, "3 m 20 s"), (7500, "2 h 5 m"),
     (90000, "1 d 1 h")],
)  # fmt: skip
def test_format_duration(seconds: float | None, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.floats(min_value=0, max_value=10**7))
def test_a_printed_duration_is_near(seconds: float) -> None:
    words = format_duration(seconds).split()
    total = sum(parse_duration(f"{n}{unit}") for n, unit in zip(words[::2], words[1::2], strict=True))
    smallest = parse_duration(f"1{words[-1]}")
    assert abs(total - seconds) <= smallest
