# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where systemd looks, and what systemctl prints, as values. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

UNIT_DIR = "/etc/systemd/system"
WANTS_DIR = f"{UNIT_DIR}/multi-user.target.wants"
CONTROL_DIR = "/run/systemd/system.control"
"""Where `systemctl set-property --runtime` writes."""

RUNNING = ("active", "activating", "reloading")
"""The states in which systemd holds a process of a unit, or is about to start one."""

_SPAN = re.compile(r"([0-9.]+)\s*(us|ms|s|min|h|d|day|days|w|month|y)\b")
_SPAN_SECONDS = {
    "us": 1e-6, "ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400, "day": 86400, "days": 86400, "w": 604800,
    "month": 2629800, "y": 31557600,
}  # fmt: skip


def show_blocks(text: str) -> dict[str, dict[str, str]]:
    """Return `systemctl show` of several units as properties by unit id; blocks are divided by empty lines."""
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n"):
        pairs = (line.split("=", 1) for line in block.splitlines() if "=" in line)
        properties = dict(pairs)
        if "Id" in properties:
            found[properties["Id"]] = properties
    return found


def active_state(unit: Mapping[str, str]) -> str:
    """Return a unit's ActiveState, or `crashing` between two automatic restarts."""
    crashing = unit.get("SubState", "").startswith("auto-restart")
    return "crashing" if crashing else unit.get("ActiveState", "inactive")


def seconds(span: str, default: float) -> float:
    """Return the seconds of systemd's `1min 30s`; the default for `infinity` and anything unknown."""
    found = _SPAN.findall(span)
    return sum(float(number) * _SPAN_SECONDS[unit] for number, unit in found) if found else default


def unix_time(stamp: str) -> float:
    """Return the seconds of `@1763708705` or `@1763708705.25`; 0 for an empty stamp."""
    return float(stamp[1:]) if re.fullmatch(r"@[0-9]+(\.[0-9]+)?", stamp) else 0.0
