"""What travels as JSON comes back as it was, also when Ansible made text of its numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable


@dataclass(frozen=True)
class Inner(Portable):
    name: str
    size: int = 0


@dataclass(frozen=True)
class Outer(Portable):
    inner: Inner
    many: tuple[Inner, ...] = ()
    pairs: tuple[tuple[str, int], ...] = ()
    named: Mapping[str, Inner] = field(default_factory=dict, hash=False)
    words: Mapping[str, str] = field(default_factory=dict, hash=False)
    perhaps: Inner | None = None
    count: int | None = None
    share: float = 0.5


WHOLE = Outer(
    Inner("a", 1), (Inner("b"), Inner("c", 2)), (("x", 1), ("y", 2)), {"d": Inner("d")}, {"k": "v"}, Inner("e"), 0, 1.5
)


@pytest.mark.parametrize("found", [WHOLE, Outer(Inner("a"))], ids=["all", "defaults"])
def test_it_comes_back(found: Outer) -> None:
    assert Outer.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_text_of_numbers_is_turned_back() -> None:
    found = Outer.from_dict({"inner": {"name": 7, "size": "3"}, "count": "0", "share": "2", "words": {"k": 1}})
    assert found == Outer(Inner("7", 3), count=0, share=2.0, words={"k": "1"})


def test_a_field_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(TypeError, match="nobody"):
        Inner.from_dict({"name": "a", "nobody": 1})
