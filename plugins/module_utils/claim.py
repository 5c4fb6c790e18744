# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run at a time works on a service's instances of a host, also when the one before was killed and goes on.

The claim is an flock(2): it ends with the process, and with the builds that process handed the file to, so what a
killed module left running is waited for too. The file says who has it and since when.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Locked
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

WAITING = "waits for another run on this host"
PATIENCE = 690.0
"""Seconds that a run waits over all its calls: longer than the longest build with its check."""


@dataclass(frozen=True)
class Ground:
    """What is claimed: the file that says so, the service, and what its instances are called on a host."""

    path: str
    service: str
    what: str


@dataclass(frozen=True)
class Claim:
    """A claim that is held. `file` is for children that must hold it too; `since` is on the monotonic clock.

    `since` is when this run got it first with no other run in between: what waited before then did nothing.
    """

    file: int
    since: float

    def working(self, waited: float, now: float) -> float:
        """Return how much of the `waited` seconds this run had the host to itself."""
        return max(0.0, min(waited, now - self.since))


@contextmanager
def claimed(
    run: str,
    patience: float,
    ground: Ground,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Claim | None]:
    """Claim the ground for `run`; yields None when another run still has it after `patience` seconds."""
    try:
        file = wait_until(
            lambda: _try(ground.path), lambda f: f is not None, patience, "the host is free", clock=clock, sleep=sleep
        )
    except GateNotPassed:
        file = None
    if file is None:
        yield None
        return
    try:
        yield Claim(file, _since(file, run, clock()))
    finally:
        os.close(file)


def forget(ground: Ground) -> None:
    """Remove the file; only who holds the claim may. Who waits for it finds that it is another one, and goes on."""
    if os.path.lexists(ground.path):
        os.unlink(ground.path)


def require_patience(waited: float, ground: Ground) -> None:
    """Raise Locked when a run has waited longer than anything takes."""
    if waited < PATIENCE:
        return
    try:
        with open(ground.path, encoding="utf-8") as stream:
            holder = str(json.load(stream)["run"])
    except (OSError, ValueError, KeyError, TypeError):
        holder = "unknown"
    remedy = f"see who holds {ground.path} on the host (fuser), wait for it to end, and run again"
    rule = f"one run at a time works on a host's {ground.what}"
    raise Locked(rule, f"run {holder} still does", remedy, ground.service)


def _try(path: str) -> int | None:
    """Return the locked file, or None while somebody else has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named = os.stat(path)
    except OSError:  # held by another run, or just removed by the one that had it
        os.close(file)
        return None
    if (named.st_dev, named.st_ino) != (os.fstat(file).st_dev, os.fstat(file).st_ino):
        os.close(file)
        return None
    return file


def _since(file: int, run: str, now: float) -> float:
    """Return since when `run` works here without another in between, and note it."""
    try:
        seen = json.loads(os.pread(file, 4096, 0))
        if run and seen["run"] == run:
            return float(seen["since"])
    except (ValueError, KeyError, TypeError):
        pass  # new, or half written by a run that was killed
    os.ftruncate(file, 0)
    os.pwrite(file, json.dumps({"run": run, "since": now}).encode(), 0)
    return now
