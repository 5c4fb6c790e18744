"""Undo notes: written once, used only while the value is ours, gone afterwards."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils import durable
from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.undo import (
    ALREADY_BACK,
    LEFT_ALONE,
    NO_NOTE,
    RESTORED,
    UndoNotes,
)

KEY = "nginx/api: 10.0.0.1:8000 ü"


@pytest.fixture
def notes(tmp_path: Path) -> UndoNotes:
    return UndoNotes(str(tmp_path / "undo"))


def forbidden(value: Any) -> None:
    raise AssertionError(f"restored to {value}")


def test_a_note_is_private_and_alone(notes: UndoNotes, tmp_path: Path) -> None:
    notes.write(KEY, {"weight": 1}, {"weight": 0}, "drained")
    files = list((tmp_path / "undo").iterdir())
    assert [stat.S_IMODE(f.stat().st_mode) for f in files] == [0o600]
    assert stat.S_IMODE((tmp_path / "undo").stat().st_mode) == 0o700


def test_a_second_run_does_not_overwrite_the_old_value(notes: UndoNotes) -> None:
    notes.write(KEY, "up", "down", "drained")
    assert notes.write(KEY, "down", "down", "drained").old == "up"
    note = notes.read(KEY)
    assert note is not None
    assert note.old == "up"


def test_another_new_value_needs_the_old_one_back_first(notes: UndoNotes) -> None:
    notes.write(KEY, 10, 20, "throttled")
    with pytest.raises(StateMoved, match="throttled"):
        notes.write(KEY, 20, 30, "throttled more")


def test_put_back_while_ours(notes: UndoNotes) -> None:
    notes.write(KEY, ("a", 1), ("b", 2), "changed")
    restored: list[Any] = []
    assert notes.put_back(KEY, ("b", 2), restored.append) == RESTORED
    assert restored == [["a", 1]]
    assert notes.list() == ()
    assert notes.put_back(KEY, ("b", 2), forbidden) == NO_NOTE


def test_somebody_elses_value_is_left_alone(notes: UndoNotes) -> None:
    notes.write(KEY, 1, 2, "changed")
    assert notes.put_back(KEY, 3, forbidden) == LEFT_ALONE
    assert notes.read(KEY) is None


def test_a_value_that_is_back_needs_nothing(notes: UndoNotes) -> None:
    notes.write(KEY, 1, 2, "changed")
    assert notes.put_back(KEY, 1, forbidden) == ALREADY_BACK
    assert notes.read(KEY) is None


def test_when_restoring_fails_the_note_stays(notes: UndoNotes) -> None:
    notes.write(KEY, 1, 2, "changed")

    def broken(value: Any) -> None:
        raise OSError("no route")

    with pytest.raises(OSError, match="no route"):
        notes.put_back(KEY, 2, broken)
    assert notes.read(KEY) is not None


def test_a_crash_before_the_name_leaves_no_note(notes: UndoNotes, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(durable.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        notes.write(KEY, 1, 2, "changed")
    assert notes.list() == ()


def test_list_by_prefix_in_order(notes: UndoNotes) -> None:
    for key in ("nginx-b", "kafka-a", "nginx-a"):
        notes.write(key, 1, 2, key)
    assert [n.key for n in notes.list("nginx-")] == ["nginx-a", "nginx-b"]
    assert len(notes.list()) == 3


def test_removing_nothing_is_fine(notes: UndoNotes) -> None:
    notes.remove(KEY)
    assert notes.list() == ()


def test_a_broken_note_says_what_to_do(notes: UndoNotes, tmp_path: Path) -> None:
    notes.write("a", 1, 2, "changed")
    (tmp_path / "undo" / "a.json").write_text("{")
    with pytest.raises(SteelyardError, match="by hand"):
        notes.read("a")


@given(old=st.integers(0, 2), new=st.integers(3, 5), runs=st.lists(st.booleans(), max_size=5), other=st.booleans())
def test_whatever_dies_the_old_value_returns(
    tmp_path_factory: pytest.TempPathFactory, old: int, new: int, runs: list[bool], other: bool
) -> None:
    """Any number of runs that die before (False) or after (True) they set the value, then one that ends."""
    notes = UndoNotes(str(tmp_path_factory.mktemp("undo")))
    setting = [old]
    for got_to_set in runs:
        notes.write("a", setting[0], new, "changed")
        if got_to_set:
            setting[0] = new
    if other:
        setting[0] = 99
    notes.put_back("a", setting[0], lambda value: setting.__setitem__(0, value))
    assert setting[0] == (99 if other else old)
    assert notes.list() == ()
