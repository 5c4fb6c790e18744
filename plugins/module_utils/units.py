# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sizes, durations and percentages with units, parsed and printed in this one place. Pure: no Ansible.

Sizes are powers of 1024 whatever their spelling (`512mb`, `512M`, `512MiB` are the same number of bytes),
as in PostgreSQL, Redis and systemd.
"""

from __future__ import annotations

import re
from fractions import Fraction

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

_NUMBER = re.compile(r"^\s*([0-9]+(?:\.[0-9]+)?)\s*([a-zA-Z%]*)\s*$")
_SIZES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_DURATIONS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_size(value: object, where: str = "") -> int:
    """Return the bytes of `512mb`, `4gb`, `64k` or a plain number of bytes; raises Refused."""
    match = _NUMBER.match(str(value)) if not isinstance(value, bool) else None
    unit = match.group(2).lower() if match else ""
    for suffix in ("ib", "b"):
        if len(unit) > len(suffix) and unit.endswith(suffix):
            unit = unit[: -len(suffix)]
            break
    if match is None or unit not in _SIZES:
        raise Refused("a size is a number with a unit", repr(value), "write it as 512mb, 4gb or 64kb", where)
    size = Fraction(match.group(1)) * _SIZES[unit]  # exact: a float loses bytes above 8 PiB
    if size.denominator != 1:
        raise Refused("a size is a whole number of bytes", repr(value), "use a smaller unit, e.g. 1536mb", where)
    return int(size)


def parse_duration(value: object, where: str = "") -> float:
    """Return the seconds of `250ms`, `30s`, `5m`, `2h`, `7d` or a plain number of seconds; raises Refused."""
    match = _NUMBER.match(str(value)) if not isinstance(value, bool) else None
    if match is None or match.group(2).lower() not in _DURATIONS:
        raise Refused("a duration is a number with a unit", repr(value), "write it as 250ms, 30s, 5m, 2h or 7d", where)
    return float(match.group(1)) * _DURATIONS[match.group(2).lower()]


def parse_percent(value: object, where: str = "") -> float:
    """Return the number of percent in `70%` or `70` (`150%` is allowed: a quota of one and a half CPUs)."""
    match = _NUMBER.match(str(value)) if not isinstance(value, bool) else None
    if match is None or match.group(2) not in ("", "%"):
        rule = "a percentage is a number, with or without %"
        raise Refused(rule, repr(value), "write it as 70%", where)
    return float(match.group(1))


def format_size(size: int | None) -> str:
    """Return bytes for people: `0 B`, `64 KiB`, `1.5 GiB`; `?` when not known."""
    if size is None:
        return "?"
    number = float(size)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.1f}".removesuffix(".0") + f" {unit}"
        number /= 1024
    return f"{number:.1f}".removesuffix(".0") + " TiB"


def format_duration(seconds: float | None) -> str:
    """Return seconds for people: `0.3 s`, `42 s`, `3 m 20 s`, `2 h 5 m`; `?` when not known."""
    if seconds is None:
        return "?"
    if seconds < 10:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"
