# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the appliers of all services have in common that run instances of their own on a host, as systemd units."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.command import CommandFailed, run
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import STATE_DIR, Transaction
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import Change
from ansible_collections.steelyard.stack.plugins.module_utils.instances.plan import Wish
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.systemd import show
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import CONTROL_DIR, UNIT_DIR, WANTS_DIR
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

START_DEADLINE = 90.0
"""Seconds for systemd's own part of a start, above the TimeoutStartSec of our templates."""

One = TypeVar("One")
AnyWish = TypeVar("AnyWish", bound=Wish[Any])


class NotReady(GateNotPassed):
    """An instance did not get ready in time; what it was before has been put back where there was something."""


@dataclass
class Executor(Generic[AnyWish, One]):
    """Works on one host for one wish. A service says its verbs, and how its instances are proved.

    `waited` is how long the first step has been under way in earlier calls, in seconds; `done` are the ids of the
    finished steps.
    """

    CORRECT: ClassVar[str] = "see systemctl status"
    """What to do about units that systemd does not accept."""

    wish: AnyWish
    waited: float = 0
    done: list[str] = field(default_factory=list)

    def execute(self, step: Step, left: float) -> str | None:
        """Do one step; return None when it is done, else what it waits for after `left` seconds."""
        patient: dict[str, Callable[[str, float], str | None]] = {"prove": self._prove, "stop": self._stop}
        waiting = None
        if step.verb in patient:
            waiting = patient[step.verb](step.subject, left)
        else:
            self._verbs()[step.verb](step.subject)
        if waiting is None:
            self.waited = 0
            self.done.append(step.id)
        return waiting

    def prepare(self, given: bool) -> None:
        """Do what precedes the first step of a call; `given`: its steps were planned before. Raises Refused."""

    def told(self) -> dict[str, Any]:
        """Return what a result says of the work beside its steps."""
        return {}

    def _verbs(self) -> dict[str, Callable[[str], None]]:
        """Return what does each verb that is not waited for."""
        return {"reload": self._reload, "enable": self._enable, "start": self._start}

    def _one(self, subject: str) -> One:
        """Return the placed instance of a step; raises Refused."""
        raise NotImplementedError

    def _unit(self, subject: str) -> str:
        """Return the unit of a step, of an instance that is placed or not."""
        raise NotImplementedError

    def _files(self) -> Transaction:
        """Return the transaction of all files that are wanted."""
        raise NotImplementedError

    def _limit(self, units: Mapping[str, Mapping[str, str]]) -> None:
        """Bring limits into force that units do not take from a daemon-reload; `units` is what systemd says of them."""

    def _prove(self, subject: str, left: float) -> str | None:
        """Wait until an instance is ready; raises NotReady."""
        raise NotImplementedError

    def _give_back(self, one: One, seen: str) -> None:
        """Leave what served before, and raise NotReady."""
        raise NotImplementedError

    def _stop_deadline(self, unit: str) -> float:
        """Return the seconds that a stop may take, systemd's killing included."""
        raise NotImplementedError

    def _stopped(self, unit: str) -> None:
        """Note how a unit has stopped."""

    def _reload(self, _subject: str) -> None:
        """Let systemd read the files and see that it took them; else put the last good files back."""
        with self._files() as change:
            run(["systemctl", "daemon-reload"])
            units = show(self._unit(str(one.key)) for one in self.wish.placed)
            bad = {name: u["LoadState"] for name, u in units.items() if u.get("LoadState") != "loaded"}
            if bad:
                change.rollback()
                run(["systemctl", "daemon-reload"])
                seen = ", ".join(f"{name} is {state}" for name, state in sorted(bad.items()))
                remedy = f"{self.CORRECT}; the last good files are back in place"
                raise Refused("systemd accepts the units", seen, remedy, self.wish.host)
            self._limit(units)
            change.commit()

    def _enable(self, subject: str) -> None:
        run(["systemctl", "enable", "--quiet", self._unit(subject)])

    def _start(self, subject: str) -> None:
        self._enable(subject)
        run(["systemctl", "reset-failed", self._unit(subject)], check=False)
        self._begin(subject)

    def _begin(self, subject: str) -> None:
        """Let systemd start a unit; one that it cannot start is given back."""
        one = self._one(subject)
        try:
            run(["systemctl", "start", self._unit(subject)], START_DEADLINE)
        except CommandFailed as error:
            self._give_back(one, error.problems[0].seen)

    def _stop(self, subject: str, left: float) -> str | None:
        """Stop an instance; systemd kills it after its own deadline."""
        unit = self._unit(subject)
        run(["systemctl", "stop", "--no-block", unit])
        deadline = self._stop_deadline(unit) - self.waited

        def state() -> str:
            return show([unit]).get(unit, {}).get("ActiveState", "inactive")

        try:
            wait_until(state, lambda s: s in ("inactive", "failed"), min(left, deadline), f"{unit} has stopped")
        except GateNotPassed as error:
            if left < deadline:
                return f"{unit} is {error.problems[0].seen}"
            raise
        self._stopped(unit)
        return None


def not_ready(where: str, rule: str, seen: str, remedy: str, journal: str) -> NotReady:
    """Return the error of an instance that did not get ready, with the end of its journal; secrets are masked before."""
    if journal:
        remedy += f"; its journal ends:\n{journal}"
    return NotReady(rule, seen, remedy, where)


def masked(text: str, secrets: Iterable[str]) -> str:
    """Return the text without these secrets; of one with several lines, each line is masked too."""
    values = {part for value in secrets for part in (value, *value.splitlines()) if part.strip()}
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "********")
    return text


def forget_files(name: str, paths: Sequence[str]) -> None:
    """Remove files of the set `name`, and let systemd see it."""
    with Transaction(name, [], paths) as change:
        change.plan()
        change.swap()
        run(["systemctl", "daemon-reload"])
        change.commit()


def forget_unit(name: str, unit: str, paths: Sequence[str]) -> None:
    """Forget a unit that is stopped: its link, its files of the set `name`, its drop-ins, its runtime settings."""
    link = f"{WANTS_DIR}/{unit}"
    if os.path.lexists(link):
        os.unlink(link)
    forget_files(name, paths)
    for directory in (f"{UNIT_DIR}/{unit}.d", f"{CONTROL_DIR}/{unit}.d"):
        shutil.rmtree(directory, ignore_errors=True)
    run(["systemctl", "reset-failed", unit], check=False)


def forget_directories(name: str, own: Iterable[str | os.PathLike[str]], shared: Iterable[str]) -> None:
    """Remove a service's own directories, those of the set `name` too, and of the shared ones those that are empty."""
    for path in (*own, f"{STATE_DIR}/{name}"):
        shutil.rmtree(path, ignore_errors=True)
    for path in (*shared, STATE_DIR):
        with contextlib.suppress(OSError):  # other services may still have theirs there
            os.rmdir(path)


def interrupted(name: str) -> bool:
    """Whether an earlier run swapped files of the set `name` in and did not prove that systemd took them."""
    with Transaction(name, ()) as change:
        return bool(change.interrupted)


def diffs(plan: Plan, changes: Callable[[], Iterable[Change]]) -> list[dict[str, str]]:
    """Return Ansible's diffs: the plan, then each file that it writes; secrets masked."""
    if not plan.steps:
        return []
    written = changes() if any(s.verb == "configure" for s in plan.steps) else ()
    return [plan.as_diff(), *(c.as_diff() for c in written)]
