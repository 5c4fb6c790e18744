"""Runs `ansible-playbook` and the `steelyard` command as an operator would, and reads what they did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.prefix) / "bin"


@dataclass(frozen=True)
class Run:
    """A finished command: its exit code, what it printed and what the test callback recorded."""

    command: tuple[str, ...]
    code: int
    output: str
    seconds: float = 0.0
    record: tuple[dict[str, Any], ...] = field(default=(), repr=False)
    results: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def stats(self) -> dict[str, dict[str, int]]:
        """The recap: host → ok, changed, failures, unreachable, …; empty when the run was killed."""
        return next((line["hosts"] for line in self.record if line["kind"] == "stats"), {})

    @property
    def changed(self) -> dict[str, int]:
        """Hosts with changes, and how many."""
        return {h: s["changed"] for h, s in self.stats.items() if s["changed"]}

    @property
    def contacted(self) -> set[str]:
        """Hosts on which at least one module was executed."""
        return {line["host"] for line in self.record if line["kind"] == "module"}

    @property
    def modules(self) -> Counter[str]:
        """Module executions a host."""
        return Counter(line["host"] for line in self.record if line["kind"] == "module")

    @property
    def tasks(self) -> tuple[dict[str, Any], ...]:
        """Every task that was started, in order: number, play, task."""
        return tuple(line for line in self.record if line["kind"] == "task")

    @property
    def struck(self) -> tuple[dict[str, Any], ...]:
        """What the fault's command did: its code and output."""
        return tuple(line for line in self.record if line["kind"] == "fault")

    def result(self, action: str) -> dict[str, Any]:
        """Return the last result of this action that the run wrote; fails the test when there is none."""
        found = [r for r in self.results if r["action"].endswith(f".{action}")]
        assert found, f"no result of {action} among {[r['action'] for r in self.results]}\n{self.output}"
        return found[-1]

    def ok(self) -> Run:
        """Return itself when it succeeded; fails the test with the whole output otherwise."""
        assert self.code == 0, f"{' '.join(self.command)}\nexit {self.code}\n{self.output}"
        return self


def run(
    *command: str | Path, env: dict[str, str] | None = None, timeout: float = 600, record: Path | None = None
) -> Run:
    """Run one command from the project's root; its two outputs are read as one."""
    words = tuple(str(w) for w in command)
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_NOCOLOR": "1",
        "MARKET_RELEASES": str(ROOT / ".build"),
        **(env or {}),
    }
    if record is not None:
        record.unlink(missing_ok=True)
        results = record.with_suffix(".results")
        shutil.rmtree(results, ignore_errors=True)
        results.mkdir(parents=True)
        environment |= {
            "STEELYARD_RESULT_DIR": str(results),
            "STEELYARD_TEST_RECORD": str(record),
            "ANSIBLE_CALLBACK_PLUGINS": str(ROOT / "tests/support/callbacks"),
            "ANSIBLE_CALLBACKS_ENABLED": "steelyard_test,ansible.posix.profile_tasks",
        }
    start = time.monotonic()
    done = subprocess.run(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=timeout, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    lines = record.read_text().splitlines() if record is not None and record.exists() else []
    written = sorted(record.with_suffix(".results").glob("*.json")) if record is not None else []
    return Run(
        words,
        done.returncode,
        done.stdout,
        time.monotonic() - start,
        tuple(json.loads(line) for line in lines),
        tuple(json.loads(path.read_text()) for path in written),
    )
