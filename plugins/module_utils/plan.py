# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan: ordered steps, or the reasons why there are none. Pure: no Ansible, no service.

Planners return a `Plan`; tables, diffs and module results are rendered from it, so that a dry run and a
real run print the same text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.render import table
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, format_size

DISRUPTIONS = ("none", "brief", "outage")


@dataclass(frozen=True)
class Step(Portable):
    """One atomic thing to do.

    `id` is stable: the same step has the same id when half done. `bytes` is 0 when none move and None when
    not known; `seconds` is an estimate or None. `hosts` are the inventory names of the machines the step
    works on. `args` is what the executor needs (JSON types only; never secrets).
    """

    id: str
    verb: str
    subject: str
    detail: str = ""
    bytes: int | None = 0
    seconds: float | None = None
    disruption: str = "none"
    hosts: tuple[str, ...] = ()
    args: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if self.disruption not in DISRUPTIONS:
            raise ValueError(f"disruption is one of {DISRUPTIONS}, not {self.disruption!r}")


@dataclass(frozen=True)
class Refusal(Portable):
    """Why nothing may be done: the rule, what was seen, and what the operator can do."""

    rule: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class Plan:
    """What would be done to one cluster of one service, in order."""

    service: str
    cluster: str
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    notes: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every refusal, said to be this cluster's."""
        where = f"{self.service} {self.cluster}"
        return tuple(Problem(where, r.rule, r.seen, r.remedy) for r in self.refusals)

    def require_allowed(self) -> None:
        """Raise Refused, with every refusal, when there is any."""
        if self.refusals:
            raise Refused.of(self.problems)

    def only(self, ids: Iterable[str]) -> Plan:
        """Return this plan reduced to the steps with these ids, in plan order."""
        wanted = set(ids)
        return replace(self, steps=tuple(s for s in self.steps if s.id in wanted))

    def for_host(self, host: str) -> Plan:
        """Return this plan reduced to the steps that work on `host`."""
        return replace(self, steps=tuple(s for s in self.steps if host in s.hosts))

    def summary(self) -> dict[str, Any]:
        """Return the plan in JSON types: the `plan` of every module result."""
        return {
            "service": self.service,
            "cluster": self.cluster,
            "fingerprint": self.fingerprint,
            "steps": [s.as_dict() for s in self.steps],
            "refusals": [r.as_dict() for r in self.refusals],
            "notes": list(self.notes),
        }

    @classmethod
    def from_summary(cls, raw: Mapping[str, Any]) -> Plan:
        """Read back what `summary` wrote."""
        return cls(
            service=raw["service"],
            cluster=raw["cluster"],
            steps=tuple(Step.from_dict(s) for s in raw.get("steps", ())),
            refusals=tuple(Refusal(**r) for r in raw.get("refusals", ())),
            notes=tuple(raw.get("notes", ())),
            fingerprint=raw.get("fingerprint", ""),
        )

    def as_table(self) -> str:
        """Return the plan as people read it: a title, a table of steps, refusals, notes."""
        lines = [f"{self.service} {self.cluster}: {self._title()}"]
        if self.steps:
            rows = [
                (str(n), s.verb, s.subject, s.detail, format_size(s.bytes) if s.bytes != 0 else "-",
                 format_duration(s.seconds), s.disruption)
                for n, s in enumerate(self.steps, 1)
            ]  # fmt: skip
            lines.append(table(("#", "step", "what", "detail", "moves", "takes", "disruption"), rows))
        lines += [f"  REFUSED {r.rule} (seen: {r.seen}). Remedy: {r.remedy}" for r in self.refusals]
        lines += [f"  note: {n}" for n in self.notes]
        return "\n".join(lines)

    def _title(self) -> str:
        if self.refusals:
            return f"refused, {len(self.refusals)} reason(s)"
        if not self.steps:
            return "nothing to do"
        total = None if any(s.seconds is None for s in self.steps) else sum(s.seconds or 0 for s in self.steps)
        about = "" if total is None else f", about {format_duration(total)}"
        return f"{len(self.steps)} step(s){about}, plan {self.fingerprint}"

    def as_diff(self) -> dict[str, str]:
        """Return Ansible's diff of this plan: what is not there before, and the table after."""
        header = f"{self.service} {self.cluster}"
        return {"before_header": header, "after_header": header, "before": "", "after": self.as_table() + "\n"}
