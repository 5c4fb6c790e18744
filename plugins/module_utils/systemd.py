# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What systemd says of units, and their journal."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.steelyard.stack.plugins.module_utils.command import CommandFailed, run
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import show_blocks

_PROPERTIES = (
    "Id,LoadState,ActiveState,SubState,UnitFileState,NeedDaemonReload,MainPID,Result,ActiveEnterTimestamp,"
    "TimeoutStopUSec,MemoryMax,CPUQuotaPerSecUSec"
)


def show(units: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of several units, by unit."""
    names = list(units)
    if not names:
        return {}
    return show_blocks(run(["systemctl", "show", "--timestamp=unix", f"--property={_PROPERTIES}", "--", *names]))


def journal(unit: str, lines: int = 12) -> str:
    """Return the last lines of a unit's journal; empty where there is none."""
    try:
        return run(["journalctl", "--no-pager", "-q", "-o", "cat", "-n", str(lines), "-u", unit], 20, False).strip()
    except CommandFailed:
        return ""
