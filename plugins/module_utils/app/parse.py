# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw output to values: `systemctl show`, unit names, environments of processes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_INSTANCE = re.compile(r"\bapp@([0-9]{1,5})\.service")
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


def ports_in(names: Iterable[str]) -> frozenset[int]:
    """Return the ports of the instances named in unit names, paths or lines of `systemctl list-units`."""
    return frozenset(int(m.group(1)) for name in names for m in _INSTANCE.finditer(name))


def environ(raw: bytes) -> dict[str, str]:
    """Return /proc/PID/environ as a mapping; entries without a value are left out."""
    entries = (entry.split("=", 1) for entry in raw.decode("utf-8", "replace").split("\0"))
    return {e[0]: e[1] for e in entries if len(e) == 2}


def environment_value(text: str, name: str) -> str:
    """Return a plain value out of an environment file that we wrote; empty when it is not there."""
    match = re.search(rf'^{re.escape(name)}="([^"\\]*)"$', text, re.MULTILINE)
    return match.group(1) if match else ""


def seconds(span: str, default: float) -> float:
    """Return the seconds of systemd's `1min 30s`; the default for `infinity` and anything unknown."""
    found = _SPAN.findall(span)
    return sum(float(number) * _SPAN_SECONDS[unit] for number, unit in found) if found else default


def unix_time(stamp: str) -> float:
    """Return the seconds of `@1763708705` or `@1763708705.25`; 0 for an empty stamp."""
    return float(stamp[1:]) if re.fullmatch(r"@[0-9]+(\.[0-9]+)?", stamp) else 0.0
