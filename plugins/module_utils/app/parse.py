# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw output to values: unit names, environments of processes. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

_INSTANCE = re.compile(r"\bapp@([0-9]{1,5})\.service")


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
