# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of a host, and what of it the stack may count on. Pure: no Ansible, no I/O."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size


@dataclass(frozen=True)
class HostFacts:
    """The facts of `host_facts`, with what the inventory states about the machine.

    `stated_memory` (bytes) and `stated_cpus` come from `steelyard_memory` and `steelyard_cpus`: they bind where
    they are smaller than what the host shows, as on a machine that is shared with others.
    """

    memory_bytes: int
    cpu_count: int
    cgroup_memory_bytes: int | None = None
    cgroup_cpus: float | None = None
    stated_memory: int | None = None
    stated_cpus: float | None = None
    uid: int = 0
    ssh_peer: str = ""
    clock_skew: float = 0.0
    swap_bytes: int = 0
    nofile_hard: int = 0
    os: Mapping[str, str] = field(default_factory=dict, hash=False)
    raw: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def from_dict(
        cls, facts: Mapping[str, Any], steelyard_memory: object = None, steelyard_cpus: object = None
    ) -> HostFacts:
        """Build from `ansible_facts.steelyard_host`; raises Refused on an unparsable statement of the inventory."""
        limit, quota = facts.get("cgroup_memory_bytes"), facts.get("cgroup_cpus")
        return cls(
            memory_bytes=int(facts.get("memory_bytes", 0)),
            cpu_count=int(facts.get("cpus", 1)),
            cgroup_memory_bytes=None if limit is None else int(limit),
            cgroup_cpus=None if quota is None else float(quota),
            stated_memory=None if steelyard_memory in (None, "") else parse_size(steelyard_memory, "steelyard_memory"),
            stated_cpus=None if steelyard_cpus in (None, "") else _cpus(steelyard_cpus),
            uid=int(facts.get("uid", 0)),
            ssh_peer=str(facts.get("ssh_peer", "")),
            clock_skew=float(facts.get("clock_skew") or 0.0),
            swap_bytes=int(facts.get("swap_bytes", 0)),
            nofile_hard=int(facts.get("nofile_hard", 0)),
            os=dict(facts.get("os", {})),
            raw=dict(facts),
        )

    @property
    def memory(self) -> int:
        """Return the bytes to size by: the smallest of what the kernel, the cgroup and the inventory say."""
        known = (self.memory_bytes, self.cgroup_memory_bytes, self.stated_memory)
        return min((size for size in known if size), default=0)

    @property
    def cpus(self) -> int:
        """Return the whole CPUs to size by, at least one; a part of a CPU counts as one."""
        known = (float(self.cpu_count), self.cgroup_cpus, self.stated_cpus)
        return max(1, math.ceil(min((count for count in known if count), default=1.0)))


def _cpus(value: object) -> float:
    try:
        count = float(str(value))
    except ValueError:
        count = 0.0
    if isinstance(value, bool) or not 0 < count < 100_000:
        raise Refused("steelyard_cpus is a number above 0", repr(value), "write it as 2 or 0.5", "steelyard_cpus")
    return count


def clock_skew(before: float, seen: float, after: float) -> float:
    """Return how far a clock is ahead (seconds, below 0 when behind), 0 within what the round trip can tell.

    `seen` was read somewhere between `before` and `after` on our own clock.
    """
    if seen > after:
        return round(seen - after, 3)
    if seen < before:
        return round(seen - before, 3)
    return 0.0


def merge_facts(earlier: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Return the newer facts, with what only the earlier call asked for (packages, units, names, settings)."""
    merged = {**earlier, **found}
    for key in ("packages", "units", "resolve", "sysctl", "stamps"):
        merged[key] = {**earlier.get(key, {}), **found.get(key, {})}
    readonly = set(earlier.get("sysctl_readonly", ())) - set(found.get("sysctl", {}))
    merged["sysctl_readonly"] = sorted(readonly | set(found.get("sysctl_readonly", ())))
    return merged
