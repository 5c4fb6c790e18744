# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an action tells beside its task's result: to people once, to the command as a file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.plugin_utils import run

DIRECTORY = "STEELYARD_RESULT_DIR"


def is_first_host(task_vars: Mapping[str, Any]) -> bool:
    """Return whether this task runs for the first host of the play (of all its batches)."""
    hosts = task_vars.get("ansible_play_hosts_all") or [task_vars.get("inventory_hostname")]
    return bool(hosts[0] == task_vars.get("inventory_hostname"))


def show_once(display: Display, task_vars: Mapping[str, Any], text: str) -> None:
    """Print a text from the first host of the play only."""
    if is_first_host(task_vars):
        display.display(text)


def write_result(task_vars: Mapping[str, Any], action: str, result: Mapping[str, Any]) -> None:
    """Write a result as JSON to $STEELYARD_RESULT_DIR, when that is set; the command reads it there.

    The file has the result's keys and `action`, `host`, `run` and `time`. Names sort in the order of writing. Files
    are private: they name hosts and steps. A result written here must hold no secrets.
    """
    directory = os.environ.get(DIRECTORY, "")
    if not directory:
        return
    host = str(task_vars.get("inventory_hostname", ""))
    about = {"action": action, "host": host, "run": run.run_id(), "time": round(time.time(), 3)}
    path = Path(directory) / f"{time.time_ns()}-{os.getpid()}.json"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as handle:
        json.dump({**about, **result}, handle, default=str)
