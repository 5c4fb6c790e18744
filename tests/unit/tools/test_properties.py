"""Which examples property tests try: the same in every run, random ones where asked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from support import properties


class Config:
    """The options of a pytest run."""

    def __init__(self, **options: Any) -> None:
        self.options = {"--hypothesis-profile": None, "--hypothesis-seed": None, **options}

    def getoption(self, name: str) -> Any:
        return self.options[name]


@pytest.mark.parametrize(
    ("asked", "options", "profile"),
    [
        (0, {}, "fixed"),
        (1000, {}, "random"),
        (0, {"--hypothesis-seed": 0}, "random"),
        (1000, {"--hypothesis-profile": "fixed"}, "fixed"),
    ],
)
def test_profile(monkeypatch: pytest.MonkeyPatch, asked: int, options: dict[str, Any], profile: str) -> None:
    monkeypatch.setattr(properties, "ASKED", asked)
    assert properties.profile_of(Config(**options)) == profile  # type: ignore[arg-type]


def test_fixed_examples_depend_on_nothing_else() -> None:
    fixed = settings.get_profile("fixed")
    assert (fixed.derandomize, fixed.database, fixed.deadline) == (True, None, None)


def test_random_ones_are_random_also_in_ci() -> None:
    assert not settings.get_profile("random").derandomize


@pytest.mark.parametrize(("asked", "number"), [(0, 12), (1000, 100), (20, 10)])
def test_number(monkeypatch: pytest.MonkeyPatch, asked: int, number: int) -> None:
    monkeypatch.setattr(properties, "ASKED", asked)
    assert properties.examples(12, share=10) == number
