# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a service take its files over, and ask the service whether it has. No Ansible.

`verbs` decides (pure); `Activator` observes and acts. That files are loaded is asked of the running service
in every run, so a run that died between a written file and its reload is repaired by the next one.
"""

from __future__ import annotations

import fnmatch
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

if TYPE_CHECKING:
    from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction

_UNIT_PROPERTIES = ("LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload")
_ENABLED = ("enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked")


@dataclass(frozen=True)
class Activation:
    """How one unit (or one command) takes over the files whose paths match `paths` (all when empty)."""

    unit: str = ""
    action: str = "none"
    daemon_reload: bool = False
    enable: bool = False
    start: bool = False
    command: tuple[str, ...] = ()
    loaded_url: str = ""
    deadline: float = 10.0
    paths: tuple[str, ...] = ()

    def concerns(self, touched: Iterable[str]) -> bool:
        """Say whether any of the touched paths is one of this activation's."""
        return any(not self.paths or any(fnmatch.fnmatchcase(t, p) for p in self.paths) for t in touched)


class ActivationFailed(SteelyardError):
    """The service did not take the files over."""


def verbs(
    activation: Activation, unit: Mapping[str, str], touched: Sequence[str], loaded: bool | None
) -> tuple[str, ...]:
    """Return what must be done, in order: daemon-reload, enable, start, reload, restart, run.

    `unit` is what systemd says of it, `touched` the paths changed now or by an interrupted run, `loaded` the
    service's own answer (None: it is not asked).
    """
    concerned = activation.concerns(touched)
    needed = concerned or loaded is False
    found: list[str] = []
    stale = unit.get("NeedDaemonReload") == "yes"
    if activation.daemon_reload and (concerned or stale):
        found.append("daemon-reload")
    if activation.unit:
        if activation.enable and unit.get("UnitFileState", "") not in _ENABLED:
            found.append("enable")
        if unit.get("ActiveState") in ("active", "reloading", "activating"):
            if needed and activation.action != "none":
                found.append(activation.action)
        elif activation.start:
            found.append("start")
    if activation.command and needed:
        found.append("run")
    return tuple(found)


class Activator:
    """Observes and works on this host's systemd for one activation."""

    def __init__(self, activation: Activation, digest: str) -> None:
        self.activation = activation
        self.digest = digest

    @property
    def subject(self) -> str:
        """Return the unit or command, for messages."""
        return self.activation.unit or " ".join(self.activation.command)

    def decide(self, touched: Sequence[str]) -> tuple[str, ...]:
        """Ask systemd and the service, then return what must be done."""
        unit = unit_properties(self.activation.unit) if self.activation.unit else {}
        loaded = None
        if self.activation.loaded_url and unit.get("ActiveState") in ("active", "reloading"):
            loaded = self._answer() == self.digest
        return verbs(self.activation, unit, touched, loaded)

    def act(self, what: Sequence[str]) -> None:
        """Do it and prove it; raises ActivationFailed with what systemd or the service said."""
        for verb in what:
            argv = ["systemctl", verb]
            if verb == "run":
                argv = list(self.activation.command)
            elif verb != "daemon-reload":
                argv.append(self.activation.unit)
            self._run(argv)
        if self.activation.unit and {"start", "restart", "reload"} & set(what):
            self._prove_active()
        if self.activation.loaded_url and {"start", "restart", "reload"} & set(what):
            self._prove_loaded()

    def _run(self, argv: Sequence[str]) -> None:
        try:
            run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=120, check=False)
        except FileNotFoundError as error:
            raise ActivationFailed("the command is installed", argv[0], "install it first") from error
        except subprocess.TimeoutExpired as error:
            raise ActivationFailed("the command ends within 120 s", " ".join(argv), "run it by hand") from error
        if run.returncode != 0:
            raise ActivationFailed(f"`{' '.join(argv)}` succeeds", self._why(run.stderr + run.stdout), self._remedy())

    def _prove_active(self) -> None:
        state = unit_properties(self.activation.unit).get("ActiveState", "")
        if state not in ("active", "reloading", "activating"):
            raise ActivationFailed(f"{self.subject} is active", self._why(state), self._remedy())

    def _prove_loaded(self) -> None:
        try:
            wait_until(self._answer, lambda seen: seen == self.digest, self.activation.deadline, self.subject)
        except SteelyardError as error:
            rule = f"{self.subject} answers the digest {self.digest} on {self.activation.loaded_url}"
            raise ActivationFailed(rule, self._why(str(self._answer())), self._remedy()) from error

    def _answer(self) -> str | None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.activation.loaded_url, timeout=2) as response:
                body: bytes = response.read(200)
        except (urllib.error.URLError, OSError, ValueError):
            return None
        return body.decode("utf-8", "replace").strip()

    def _why(self, said: str) -> str:
        journal = ""
        if self.activation.unit:
            argv = ["journalctl", "--no-pager", "-q", "-o", "cat", "-n", "8", "-u", self.activation.unit]
            try:
                run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=20, check=False)
                journal = run.stdout.strip()
            except (OSError, subprocess.TimeoutExpired):
                journal = ""
        return said.strip() + (f"; its journal ends: {journal}" if journal else "")

    def _remedy(self) -> str:
        where = f"journalctl -u {self.activation.unit}" if self.activation.unit else "the message above"
        return f"see {where} on this host, correct the variables and run again"


def unit_properties(unit: str) -> dict[str, str]:
    """Return what systemd says of one unit; empty where there is no systemd."""
    argv = ["systemctl", "show", f"--property={','.join(_UNIT_PROPERTIES)}", "--", unit]
    try:
        run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return dict(line.split("=", 1) for line in run.stdout.splitlines() if "=" in line)


def take_over(transaction: Transaction, units: Sequence[Activator], todo: Sequence[tuple[str, ...]]) -> None:
    """Activate; on failure put the last good files back, activate those, and raise what happened."""
    try:
        for unit, verbs in zip(units, todo, strict=True):
            unit.act(verbs)
    except ActivationFailed as error:
        first = error.problems[0]
        outcome = go_back(transaction, units, todo)
        raise ActivationFailed(first.rule, first.seen, f"{outcome}; {first.remedy}", transaction.name) from error


def go_back(transaction: Transaction, units: Sequence[Activator], todo: Sequence[tuple[str, ...]]) -> str:
    """Put the last good files back and have them taken over; return what to tell the operator."""
    if not transaction.rollback():
        return "no file was changed, so there is nothing to put back"
    for unit, verbs in zip(units, todo, strict=True):
        again = [verb for verb in verbs if verb in ("daemon-reload", "reload", "restart", "run")]
        try:
            Activator(Activation(unit=unit.activation.unit, command=unit.activation.command), "").act(again)
        except ActivationFailed as error:
            return f"the last good files are back but {unit.subject} does not take them over either ({error})"
    return "the last good files are back and in force"
