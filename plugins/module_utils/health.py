# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A verdict about a service, and what it rests on; knows no service. Pure: no Ansible."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.render import table

BAD, WARNING, NOTE = "bad", "warning", "note"
SEVERITIES = (BAD, WARNING, NOTE)


@dataclass(frozen=True)
class Finding(Portable):
    """One thing worth knowing: how bad it is, what was seen, what that means, and what to do about it."""

    severity: str
    seen: str
    means: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"severity is one of {SEVERITIES}, not {self.severity!r}")


@dataclass(frozen=True)
class Verdict:
    """Whether a service is well, or a member may be stopped. It is as soon as no finding is bad."""

    ok: bool
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> Verdict:
        """Return the verdict that the findings make, the worst first."""
        ordered = tuple(sorted(findings, key=lambda f: SEVERITIES.index(f.severity)))
        return cls(not any(f.severity == BAD for f in ordered), ordered)

    @property
    def why_not(self) -> str:
        """Return what is bad in one line; empty when nothing is."""
        return "; ".join(f"{f.seen}: {f.means}" for f in self.findings if f.severity == BAD)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict in JSON types."""
        return {"ok": self.ok, "findings": [f.as_dict() for f in self.findings]}

    def as_table(self) -> str:
        """Return the findings as people read them; empty when there are none."""
        if not self.findings:
            return ""
        return table(("is", "seen", "means", "do"), [(f.severity, f.seen, f.means, f.remedy) for f in self.findings])
