"""The loop, the lease and the journal in real runs of ansible-playbook, over three hosts that are this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.lease import LeaseFile
from ansible_collections.steelyard.stack.plugins.module_utils.lease_rules import Record, Request
from ansible_collections.steelyard.stack.plugins.module_utils.process import this_process
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until
from ansible_collections.steelyard.stack.plugins.plugin_utils.journal import Entry, read_journal

ROOT = Path(__file__).resolve().parents[3]
PLAYBOOK = ROOT / "tests" / "fixtures" / "loop" / "loop.yml"
HOSTS = ("h1", "h2", "h3")


@dataclass
class Fleet:
    """Three hosts, each a directory of its own."""

    scratch: Path

    def start(self, verbs: list[str], *options: str, operator: str = "alice", **more: Any) -> subprocess.Popen[str]:
        extra = {"scratch": str(self.scratch), "verbs": verbs, **more}
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("STEELYARD_", "ANSIBLE_"))},
            "ANSIBLE_CONFIG": str(self.scratch / "ansible.cfg"), "SUDO_USER": operator,
            "STEELYARD_RESULT_DIR": str(self.scratch / "results"),
        }  # fmt: skip
        command = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.scratch / "inv"), str(PLAYBOOK)]
        return subprocess.Popen(
            [*command, "-e", json.dumps(extra), *options], env=environment, text=True, cwd=ROOT,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, verbs: list[str], *options: str, expect: int = 0, **more: Any) -> str:
        process = self.start(verbs, *options, **more)
        output, _ = process.communicate(timeout=50)
        assert process.returncode == expect, output
        return output

    def lease(self, host: str) -> LeaseFile:
        return LeaseFile("sample", "main", str(self.scratch / host / "leases"))

    def record(self, host: str) -> Record | None:
        return self.lease(host).read()

    def done(self, host: str, kind: str = "done") -> list[str]:
        file = self.scratch / host / kind
        return file.read_text().splitlines() if file.exists() else []

    def journal(self) -> list[Entry]:
        return list(read_journal(self.scratch / "inv" / ".steelyard" / "journal"))

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(f.read_text()) for f in sorted((self.scratch / "results").iterdir())]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    for name in ("inv", "results", *HOSTS):
        (tmp_path / name).mkdir()
    host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory = {"all": {"hosts": dict.fromkeys(HOSTS, host)}}
    (tmp_path / "inv" / "hosts.yml").write_text(json.dumps(inventory))
    (tmp_path / "ansible.cfg").write_text("[defaults]\nforks = 8\n")
    return Fleet(tmp_path)


def soon(done: Callable[[], bool], what: str) -> None:
    wait_until(done, bool, 20, what)


def test_a_whole_run(fleet: Fleet) -> None:
    output = fleet.run(["add", "wait", "add"], "--diff")
    assert [fleet.done(h) for h in HOSTS] == [["add-0", "wait-1", "add-2"]] * 3
    assert [len(fleet.done(h, "done.calls")) for h in HOSTS] == [2, 2, 2]
    assert output.count("sample main: 3 step(s), about 3 s") == 1 + 3  # shown once, and a diff for each host
    assert "h2 sample main: 2/3 wait thing1: 3 connections left" in output
    for host in HOSTS:
        record = fleet.record(host)
        assert record is not None
        assert (record.token, record.held) == (1, False)
    entries = fleet.journal()
    assert sorted((e.host, e.step, e.outcome) for e in entries) == sorted(
        (h, s, "done") for h in HOSTS for s in ("add-0", "wait-1", "add-2")
    )
    assert len({e.run for e in entries}) == 1
    assert {(e.operator, e.operation, e.service, e.cluster) for e in entries} == {("alice", "scale", "sample", "main")}
    results = fleet.results()
    assert sorted(r["host"] for r in results) == list(HOSTS)
    assert {r["run"] for r in results} == {entries[0].run}

    again = fleet.run(["add", "wait", "add"])
    assert again.count("sample main: nothing to do") == 1
    assert "3/3" not in again
    assert len(fleet.journal()) == len(entries)


def test_check_mode_shows_the_plan_and_writes_nothing(fleet: Fleet) -> None:
    dry = fleet.run(["add", "add"], "--check", "--diff")
    assert [list((fleet.scratch / h).iterdir()) for h in HOSTS] == [[], [], []]
    assert not (fleet.scratch / "inv" / ".steelyard").exists()
    real = fleet.run(["add", "add"], "--diff")
    plan = fleet.results()[0]["diff"]["after"]
    assert plan in dry
    assert plan in real


def test_somebody_elses_majority_is_respected(fleet: Fleet) -> None:
    bob = Request("sample", "main", "run-of-bob", "bob", "upgrade", this_process(), 300)
    for host in ("h1", "h2"):
        fleet.lease(host).acquire(bob)
    output = fleet.run(["add"], expect=2)
    assert '"exit_code": 4' in output
    assert f"held by bob, process {os.getpid()} on" in output
    assert "upgrade since" in output
    assert "unlock" in output
    assert [fleet.done(h) for h in HOSTS] == [[], [], []]
    h3 = fleet.record("h3")
    assert h3 is None or not h3.held
    for host in ("h1", "h2"):
        record = fleet.record(host)
        assert record is not None
        assert record.run == "run-of-bob"

    fleet.lease("h1").release("", force=True)
    fleet.lease("h2").release("", force=True)
    fleet.run(["add"])


def test_a_failed_gate_stops_and_lets_go(fleet: Fleet) -> None:
    output = fleet.run(["add", "fail", "add"], expect=2)
    assert "the sample passes (seen: it does not). Remedy: take another sample" in output
    assert all(not r.held for r in map(fleet.record, HOSTS) if r is not None)
    assert {r["exit_code"] for r in fleet.results()} == {5}
    told = {(*r["applied"], "|", *r["remaining"]) for r in fleet.results()}
    assert told == {("add-0", "|", "fail-1", "add-2")}
    assert {(e.step, e.outcome) for e in fleet.journal()} == {("add-0", "done"), ("fail-1", "failed")}


@pytest.fixture
def killed(fleet: Fleet) -> Iterator[Fleet]:
    """A run of alice's that was killed while its module was in the middle of a step."""
    first = fleet.start(["add", "block", "add"], "--limit", "h1")

    def under_way() -> bool:
        record = fleet.record("h1")
        return fleet.done("h1") == ["add-0"] and record is not None and record.remote is not None

    soon(under_way, "the module works on its second step")
    first.kill()
    first.communicate()
    yield fleet
    (fleet.scratch / "h1" / "done.go").touch()


def test_a_killed_run_is_gone_on_with_when_its_module_has_ended(killed: Fleet) -> None:
    before = killed.record("h1")
    assert before is not None
    second = killed.start(["add", "block", "add"], "--limit", "h1")

    def fenced() -> bool:
        record = killed.record("h1")
        return record is not None and record.token == before.token + 1

    soon(fenced, "the next run has taken the token")
    record = killed.record("h1")
    assert record is not None
    assert record.remote == before.remote, "the old module still works and must not be forgotten"
    assert second.poll() is None
    (killed.scratch / "h1" / "done.go").touch()
    output, _ = second.communicate(timeout=50)
    assert second.returncode == 0, output
    assert killed.done("h1") == ["add-0", "block-1", "add-2"]
    assert len(killed.done("h1", "done.calls")) == 2, "the killed run's worker started its module again"
    after = killed.record("h1")
    assert after is not None
    assert (after.held, after.token) == (False, before.token + 1)


def test_a_killed_run_keeps_others_out_until_it_is_unlocked(killed: Fleet) -> None:
    output = killed.run(["add"], "--limit", "h1", expect=2, operator="bob")
    assert "held by alice" in output
    record = killed.record("h1")
    assert record is not None
    assert record.operator == "alice"
    (killed.scratch / "h1" / "done.go").touch()
    assert killed.lease("h1").release("", force=True)
    killed.run(["add", "block", "add"], "--limit", "h1", operator="bob")
    assert killed.done("h1") == ["add-0", "block-1", "add-2"]
