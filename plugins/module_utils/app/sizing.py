# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many instances a host carries, and whether the inventory asks for more than it has. Pure.

Memory is in bytes and is what the host really has: the smallest of its memory, its control group's limit and
`steelyard_memory`. CPUs likewise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, Slice
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.sizing import system_share
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size


@dataclass(frozen=True)
class Tier:
    """Application instances of a tier, and the worker processes of each."""

    instances: int
    workers: int


# Tiers 1-4 of the profile `ape`: 1 × 1, 2 × 2, 4 × 4, 8 × 4 (its document's "API" lines).
APE_TIERS = {1: Tier(1, 1), 2: Tier(2, 2), 3: Tier(4, 4), 4: Tier(8, 4)}


def ape_tier(number: object) -> Tier:
    """Return what tier 1-4 of the profile `ape` runs; raises Refused on another number."""
    try:
        return APE_TIERS[int(str(number))]
    except (KeyError, ValueError):
        raise Refused("ape_tier is 1, 2, 3 or 4", repr(number), "choose a tier", "ape_tier") from None


def suggested_instances(cpus: int, memory: int, memory_max: int, workers: int = 1) -> int:
    """Return how many instances fit: one worker process a CPU, and their limits within what the system leaves."""
    by_cpu = max(1, cpus // max(1, workers))
    if memory_max <= 0:
        return by_cpu
    return max(0, min(by_cpu, (memory - system_share(memory)) // memory_max))


def promised_memory(instances: Sequence[Instance], whole: Slice) -> int:
    """Return the most that the instances may take: the sum of their limits, or the slice's where that is less."""
    total = sum(i.memory_max for i in instances if i.state != "leaving")
    return min(total, whole.memory_max) if whole.memory_max else total


def oversubscription(
    instances: Sequence[Instance], whole: Slice, memory: int, cpus: float, where: str, others: int = 0
) -> list[Problem]:
    """Return what one host cannot keep: limits beyond its memory, a slice that cannot hold one instance, CPUs.

    `others` is what the inventory gives to other services on the same host, in bytes.
    """
    placed = [i for i in instances if i.state != "leaving"]
    if not placed:
        return []
    found = []
    free = memory - system_share(memory) - others
    promised = promised_memory(placed, whole)
    if promised > free:
        seen = f"{format_size(promised)} for {len(placed)} instance(s), {format_size(max(0, free))} are free"
        remedy = "lower memory_max or app_slice.memory_max, place fewer instances (app_ports), or give it more memory"
        found.append(Problem(where, "the instances' memory limits fit into the host", seen, remedy))
    total = sum(i.memory_max for i in placed)
    if whole.memory_max and total > whole.memory_max:
        seen = f"{format_size(total)} in a slice of {format_size(whole.memory_max)}"
        remedy = "raise app_slice.memory_max or lower memory_max"
        found.append(Problem(where, "the instances' memory limits fit into app_slice", seen, remedy))
    for name, quota in [("app_slice.cpu_quota", whole.cpu_quota), *((i.unit, i.cpu_quota) for i in placed)]:
        if quota > cpus * 100:
            seen, remedy = f"{name} is {quota:g}% on {cpus:g} CPU(s)", "lower the quota"
            found.append(Problem(where, "a CPU quota is not more than the host's CPUs", seen, remedy))
    return found
