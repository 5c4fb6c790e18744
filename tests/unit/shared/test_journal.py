"""The journal: where it is, whole lines whoever writes, and reading it again."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.plugin_utils.journal import (
    DONE,
    FAILED,
    Entry,
    Journal,
    journal_dir,
    read_journal,
    utc,
)

ENTRY = Entry("2026-11-21T07:00:00Z", "r1", "alice", "scale", "nginx", "main", "add-a", DONE, 1.5, "abc", "lb1")


@pytest.fixture(autouse=True)
def _no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEELYARD_JOURNAL_DIR", raising=False)


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    (tmp_path / "market").mkdir()
    (tmp_path / "market" / "hosts.yml").touch()
    return tmp_path / "market"


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    (tmp_path / ".lab" / "market").mkdir(parents=True)
    (tmp_path / ".lab" / "market" / ".steelyard-lab.json").write_text("{}")
    return tmp_path / ".lab" / "market"


def test_beside_the_first_inventory(inventory: Path) -> None:
    wanted = inventory / ".steelyard" / "journal"
    assert journal_dir([str(inventory), "/etc"]) == wanted
    assert journal_dir(["h1,h2,", str(inventory / "hosts.yml")]) == wanted


def test_a_rehearsal_has_its_own(inventory: Path, overlay: Path) -> None:
    for sources in ([inventory, overlay], [overlay, inventory], [overlay]):
        assert journal_dir([str(s) for s in sources], "market") == overlay / ".journal"
        assert journal_dir([str(s) for s in sources]) == overlay / ".journal"


def test_a_rehearsal_without_its_overlay_is_not_told_among_the_real(inventory: Path) -> None:
    with pytest.raises(SteelyardError, match="lab market"):
        journal_dir([str(inventory)], "market")


def test_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SteelyardError, match="STEELYARD_JOURNAL_DIR"):
        journal_dir(["h1,"])
    monkeypatch.setenv("STEELYARD_JOURNAL_DIR", "/srv/journal")
    assert journal_dir(["h1,"]) == Path("/srv/journal")


def test_prepare_says_where_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SteelyardError, match="STEELYARD_JOURNAL_DIR"):
        Journal(tmp_path / "file" / "journal").prepare()
    Journal(tmp_path / "a" / "b").prepare()
    assert (tmp_path / "a" / "b").is_dir()


def test_one_line_a_step_with_the_agreed_fields(tmp_path: Path) -> None:
    Journal(tmp_path / "j").append(ENTRY)
    (line,) = (tmp_path / "j" / "2026-11.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {
        "time", "run", "operator", "operation", "service", "cluster", "step", "outcome", "seconds", "fingerprint", "host",
    }  # fmt: skip
    assert list(read_journal(tmp_path / "j")) == [ENTRY]


def _write_many(directory: Path, number: int) -> None:
    for step in range(50):
        Journal(directory).append(replace(ENTRY, run=f"r{number}", step=f"{step}" * 200))


def test_lines_stay_whole_when_many_write(tmp_path: Path) -> None:
    writers = [multiprocessing.get_context("fork").Process(target=_write_many, args=(tmp_path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [w.exitcode for w in writers] == [0] * 4
    assert len(list(read_journal(tmp_path))) == 200


def test_filters(tmp_path: Path) -> None:
    book = Journal(tmp_path)
    entries = [
        replace(ENTRY, time="2026-10-01T00:00:00Z", service="kafka"),
        replace(ENTRY, outcome=FAILED),
        replace(ENTRY, time="2026-11-22T00:00:00Z", run="r2", operation="upgrade", cluster="other"),
    ]
    for entry in entries:
        book.append(entry)
    assert list(read_journal(tmp_path)) == entries
    assert list(read_journal(tmp_path, service="kafka")) == entries[:1]
    assert list(read_journal(tmp_path, outcome=FAILED)) == entries[1:2]
    assert list(read_journal(tmp_path, run="r2", operation="upgrade", cluster="other")) == entries[2:]
    assert list(read_journal(tmp_path, since="2026-11")) == entries[1:]
    assert list(read_journal(tmp_path, since="2026-11-21T12:00:00Z")) == entries[2:]
    assert list(read_journal(tmp_path, service="redis")) == []
    assert list(read_journal(tmp_path / "none")) == []


def test_a_line_cut_off_by_a_crash_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "2026-11.jsonl"
    newer = json.dumps({**json.loads(ENTRY.as_line()), "weather": "fine"})
    file.write_text(f'{ENTRY.as_line()[:40]}\n[]\n{{"time": "x"}}\n{newer}\n{ENTRY.as_line()}')
    assert list(read_journal(tmp_path)) == [ENTRY, ENTRY]


def test_utc() -> None:
    assert utc(0) == "1970-01-01T00:00:00Z"
