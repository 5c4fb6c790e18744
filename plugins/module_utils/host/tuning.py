# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which kernel settings of a host differ from what is wanted, and which it does not let us set. Pure.

A container shares its kernel: what it forbids is a note, said once a host, and never an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class WantedTuning:
    """Settings to have in force now; files that keep them over a boot are written elsewhere."""

    sysctls: Mapping[str, str] = field(default_factory=dict, hash=False)
    thp: str = "keep"
    swap: str = "keep"
    timezone: str = ""
    time_sync: bool = False

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> WantedTuning:
        """Build from a module's parameters; numbers may be given as such."""
        sysctls = {str(name): words(value) for name, value in (params.get("sysctls") or {}).items()}
        rest = {key: params[key] for key in ("thp", "swap", "timezone", "time_sync") if params.get(key) is not None}
        return cls(sysctls=sysctls, **rest)


@dataclass(frozen=True)
class TuningPlan:
    """What to set: `apply` has the keys sysctls, thp, swap and timezone, as far as they differ."""

    apply: Mapping[str, Any] = field(default_factory=dict, hash=False)
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def as_diff(self) -> dict[str, str]:
        """Return Ansible's diff of the live settings."""
        before, after = ("\n".join(lines) + "\n" if lines else "" for lines in (self.before, self.after))
        header = "live settings"
        return {"before_header": header, "after_header": header, "before": before, "after": after}


def words(value: object) -> str:
    """Return a kernel setting as the kernel prints it with single spaces; booleans as 0 and 1."""
    if isinstance(value, bool):
        return str(int(value))
    return " ".join(str(value).split())


def make_plan(facts: Mapping[str, Any], wanted: WantedTuning) -> TuningPlan:
    """Return what differs and can be set; `facts` are those of `host_facts`, asked for the wanted sysctls."""
    changes: list[tuple[str, str, str]] = []
    apply: dict[str, Any] = {}
    forbidden, unknown = [], []
    readonly = set(facts.get("sysctl_readonly", ()))
    for name, value in sorted(wanted.sysctls.items()):
        seen = facts.get("sysctl", {}).get(name)
        if seen is None:
            unknown.append(name)
        elif seen != value and name in readonly:
            forbidden.append(name)
        elif seen != value:
            apply.setdefault("sysctls", {})[name] = value
            changes.append((name, seen, value))
    pages = facts.get("thp", {})
    if wanted.thp not in ("keep", pages.get("enabled", "")) and pages.get("enabled"):
        if pages.get("writable"):
            apply["thp"] = wanted.thp
            changes.append(("transparent huge pages", pages["enabled"], wanted.thp))
        else:
            forbidden.append("transparent huge pages")
    if wanted.timezone and wanted.timezone != facts.get("timezone", ""):
        apply["timezone"] = wanted.timezone
        changes.append(("timezone", facts.get("timezone", ""), wanted.timezone))
    if wanted.swap == "off":
        _swap(facts, apply, changes, forbidden)
    before = tuple(f"{name} = {seen}" for name, seen, _value in changes)
    after = tuple(f"{name} = {value}" for name, _seen, value in changes)
    return TuningPlan(apply, before, after, _notes(facts, wanted, forbidden, unknown))


def _swap(
    facts: Mapping[str, Any], apply: dict[str, Any], changes: list[tuple[str, str, str]], forbidden: list[str]
) -> None:
    """Swap is off when nothing is in use and nothing starts it at boot."""
    used = int(facts.get("swap_bytes", 0))
    masked = facts.get("units", {}).get("swap.target", {}).get("UnitFileState", "").startswith("masked")
    if facts.get("virtualization"):
        if used:
            forbidden.append("swap")  # /proc/swaps of a container shows its host's
        return
    if used or not masked:
        apply["swap"] = "off"
        changes.append(("swap", f"{used} bytes" if used else "off until the next boot", "off"))


def _notes(facts: Mapping[str, Any], wanted: WantedTuning, forbidden: list[str], unknown: list[str]) -> tuple[str, ...]:
    kind = facts.get("virtualization") or "this host"
    notes = []
    if forbidden:
        notes.append(f"{kind} does not allow setting {', '.join(forbidden)}: set them on the machine below")
    if unknown:
        notes.append(f"the kernel does not know {', '.join(unknown)}: left out")
    if wanted.time_sync and facts.get("virtualization"):
        notes.append(f"the clock belongs to the machine below ({kind}): no time synchronisation here")
    return tuple(notes)
