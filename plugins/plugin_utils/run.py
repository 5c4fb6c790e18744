# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which run this is: the same answer in the main `ansible-playbook` process and in every worker that it forks.

Ansible runs action plugins in forked workers (a new one for each task and host, each in a session of its own), and
lookups and filters in the main process. A worker is a `multiprocessing` child, so it knows the main process as its
parent; the main process knows that it has none.
"""

from __future__ import annotations

import functools
import getpass
import hashlib
import multiprocessing
import os
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.process import (
    Process,
    number_is_taken,
    process_of,
    start_of,
)


@dataclass(frozen=True)
class Run:
    """One run of one playbook: its id, who started it, and its main process on the control machine."""

    id: str
    operator: str
    control: Process


def current_run() -> Run:
    """Return the run that the calling process belongs to."""
    return Run(run_id(), operator(), control_process())


def run_id() -> str:
    """Return `$STEELYARD_RUN_ID` when the command set it, else an id made from the main process's identity."""
    given = os.environ.get("STEELYARD_RUN_ID", "").strip()
    if given:
        return given
    control = control_process()
    digest = hashlib.sha256(f"{control.host} {control.boot_id} {control.pid} {control.start}".encode()).hexdigest()
    return f"{control.host}-{control.pid}-{digest[:8]}"


def operator() -> str:
    """Return the person's login name: behind sudo, the one who called it."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def control_process() -> Process:
    """Return the identity of the main `ansible-playbook` process."""
    return _identity(_main_pid())


def control_is_alive() -> bool:
    """Return whether the main process still runs.

    A worker outlives a killed main process; before each thing that it starts, it must ask.
    """
    pid = _main_pid()
    return start_of(pid) is not None if os.path.isdir("/proc/self") else number_is_taken(pid)


@functools.lru_cache
def _identity(pid: int) -> Process:
    """Return who it is, the same when it has ended since: a worker that outlives it still writes the journal."""
    return process_of(pid)


def _main_pid() -> int:
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid
