"""The lease on one member: its files, and a module that works under it."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils import lease as lease_io
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Locked, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.lease import LeaseFile, WorkingLease, working_lease
from ansible_collections.steelyard.stack.plugins.module_utils.lease_rules import DENIED, GRANTED, WAIT, Request
from ansible_collections.steelyard.stack.plugins.module_utils.process import process_of, this_process


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ask(run: str, operator: str = "alice", force: bool = False) -> Request:
    return Request("nginx", "main", run, operator, "scale", this_process(), 300.0, force)


@pytest.fixture
def directory(tmp_path: Path) -> str:
    return str(tmp_path / "lease")


@pytest.fixture
def file(directory: str) -> LeaseFile:
    return LeaseFile("nginx", "main", directory)


def visible(directory: str) -> list[str]:
    return sorted(p.name for p in Path(directory).iterdir() if not p.name.startswith("."))


def test_take_and_release(file: LeaseFile, directory: str) -> None:
    assert file.acquire(ask("r1")).outcome == GRANTED
    assert visible(directory) == ["nginx-main.json"]
    assert stat.S_IMODE((Path(directory) / "nginx-main.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(directory).stat().st_mode) == 0o700
    assert file.acquire(ask("r2", "bob")).outcome == DENIED
    assert not file.release("r2")
    assert file.release("r1")
    assert visible(directory) == []
    assert not file.release("r1")


def test_tokens_rise_over_releases(file: LeaseFile) -> None:
    tokens = []
    for run in ("r1", "r2", "r3"):
        tokens.append(file.acquire(ask(run)).token)
        file.release(run)
    assert tokens == [1, 2, 3]


def test_dry_writes_nothing(file: LeaseFile, directory: str) -> None:
    assert file.acquire(ask("r1"), dry=True).outcome == GRANTED
    assert not Path(directory).exists()
    file.acquire(ask("r1"))
    assert file.release("r1", dry=True)
    assert visible(directory) == ["nginx-main.json"]


def test_one_of_many_gets_it(directory: str) -> None:
    outcomes: list[str] = []
    threads = [
        threading.Thread(
            target=lambda n=n: outcomes.append(
                LeaseFile("nginx", "main", directory).acquire(ask(f"r{n}", f"o{n}")).outcome
            )
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [DENIED] * 7 + [GRANTED]


def test_a_broken_record_says_what_to_do(file: LeaseFile, directory: str) -> None:
    file.acquire(ask("r1"))
    (Path(directory) / "nginx-main.json").write_text("[")
    with pytest.raises(SteelyardError, match="remove the file"):
        file.read()


def test_a_module_works_under_the_lease(file: LeaseFile, directory: str) -> None:
    token = file.acquire(ask("r1")).token
    with working_lease("nginx", {"cluster": "main", "run": "r1", "token": token}, directory=directory) as lease:
        record = file.read()
        assert record is not None
        assert record.remote == this_process()
        lease.renew()
        lease.check()
    record = file.read()
    assert record is not None
    assert (record.remote, record.run) == (None, "r1")


def test_renewing_prolongs(file: LeaseFile, directory: str) -> None:
    clock = Clock()
    file.acquire(ask("r1"), clock)
    with WorkingLease("nginx", "main", "r1", directory=directory, clock=clock) as lease:
        clock.now += 250
        lease.renew()
        clock.now += 250
        lease.renew()
        record = file.read()
    assert record is not None
    assert record.expires > clock.now


def test_a_step_that_outlasted_the_lease_is_the_last(file: LeaseFile, directory: str) -> None:
    clock = Clock()
    file.acquire(ask("r1"), clock)
    with WorkingLease("nginx", "main", "r1", directory=directory, clock=clock) as lease:
        clock.now += 301
        with pytest.raises(Locked, match="passed its time"):
            lease.renew()


def test_a_slow_run_that_nobody_took_over_goes_on(file: LeaseFile, directory: str) -> None:
    clock = Clock()
    file.acquire(ask("r1"), clock)
    clock.now += 3000
    with WorkingLease("nginx", "main", "r1", directory=directory, clock=clock) as lease:
        lease.renew()
        record = file.read()
    assert record is not None
    assert (record.run, record.expires > clock.now) == ("r1", True)


def test_who_was_fenced_stops_at_the_next_step(file: LeaseFile, directory: str) -> None:
    file.acquire(ask("r1"))
    with WorkingLease("nginx", "main", "r1", directory=directory) as lease:
        verdict = file.acquire(ask("r2", "bob", force=True))
        assert verdict.outcome == WAIT  # this process still works
        with pytest.raises(Locked, match="bob"):
            lease.renew()
        with pytest.raises(Locked, match="bob"):
            lease.check()
    assert file.acquire(ask("r2", "bob")).outcome == GRANTED


@pytest.mark.parametrize(("run", "token"), [("r2", None), ("r1", 9)])
def test_without_the_lease_no_module_begins(file: LeaseFile, directory: str, run: str, token: int | None) -> None:
    with pytest.raises(Locked), WorkingLease("nginx", "main", run, token, directory=directory):
        pytest.fail("it began without a lease")
    file.acquire(ask("r1"))
    with pytest.raises(Locked, match="nginx main"), WorkingLease("nginx", "main", run, token, directory=directory):
        pytest.fail("it began under another's lease")


def test_two_modules_of_one_run_do_not_work_at_once(file: LeaseFile, directory: str) -> None:
    file.acquire(ask("r1"))
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with file.locked():
        record = file.read()
        assert record is not None
        file.write(replace(record, remote=process_of(other.pid)))
    with pytest.raises(Locked, match="one module at a time"), WorkingLease("nginx", "main", "r1", directory=directory):
        pytest.fail("it began beside another")
    other.kill()
    other.communicate()
    with WorkingLease("nginx", "main", "r1", directory=directory):
        pass


def test_module_level_functions(file: LeaseFile, directory: str) -> None:
    with pytest.raises(Locked):
        lease_io.check("nginx", "main", "r1", directory=directory)
    token = file.acquire(ask("r1")).token
    lease_io.check("nginx", "main", "r1", token, directory=directory)
    lease_io.renew("nginx", "main", "r1", token, directory=directory)
    with pytest.raises(Locked):
        lease_io.renew("nginx", "main", "r1", token + 1, directory=directory)


def test_checking_where_nothing_was_ever_held_creates_nothing(directory: str) -> None:
    with pytest.raises(Locked):
        lease_io.check("nginx", "main", "r1", directory=directory)
    assert not Path(directory).exists()
