# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `lab up` has to do: from the inventory, what exists, and what the machine has. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size
from steelyard.lab.model import MIB, Inventory, Machine, SeenLab, StandIn, WantedHost
from steelyard.lab.network import assign_addresses, choose_subnet
from steelyard.lab.shares import SHARE_OF_MACHINE, cpu_share, memory_shares

IMAGE_DISK = 900 * MIB  # archive, unpacked tree and imported layer while an image is built
STAND_IN_DISK = 400 * MIB  # what a host of the market tour writes, rounded up
MEMORY_RESERVE = 256 * MIB  # for the machine itself


@dataclass(frozen=True)
class LabPlan:
    """What `lab up` does: images to build, stand-ins to create, resize and start; the others are left alone."""

    lab: str
    subnet: IPv4Network
    create_network: bool
    images: tuple[str, ...]
    create: tuple[StandIn, ...]
    resize: tuple[StandIn, ...]
    start: tuple[str, ...]
    stand_ins: tuple[StandIn, ...]  # the whole lab as it will be
    gone: tuple[str, ...]  # stand-ins whose host the inventory no longer names
    memory: int  # bytes that running all this takes beyond what runs already
    disk: int

    @property
    def empty(self) -> bool:
        """Say whether there is nothing to do."""
        return not (self.create_network or self.images or self.create or self.resize or self.start)


def make_plan(name: str, inventory: Inventory, seen: SeenLab, machine: Machine, budget: int | None = None) -> LabPlan:
    """Decide what the lab needs; raises Refused when the name is taken or the machine has too little.

    `budget` bounds the memory of stand-ins whose real size is scaled, in bytes; by default a share of what is free
    once those that merely stopped run again.
    """
    _require_own_name(name, inventory, seen)
    subnet = seen.subnet or choose_subnet(len(inventory.hosts), machine.networks, inventory.addresses)
    addresses = assign_addresses(
        [host.name for host in inventory.hosts], {s.host: s.address for s in seen.stand_ins}, subnet
    )
    running = sum(s.memory for s in seen.stand_ins if s.state == "running")
    if budget is None:
        budget = int(max(0, machine.memory - _resting(inventory, seen)) * SHARE_OF_MACHINE)
    shares = _shares(inventory, seen, budget)
    wanted = tuple(
        StandIn(h.name, h.groups, addresses[h.name], shares[h.name], cpu_share(h, machine.cpus), _os(h, seen))
        for h in inventory.hosts
    )
    create = tuple(s for s in wanted if seen.stand_in(s.host) is None)
    resize = tuple(s for s in wanted if _resized(s, seen))
    images = tuple(sorted({s.os for s in create} - machine.images))
    start = tuple(s.host for s in wanted if (have := seen.stand_in(s.host)) and have.state != "running")
    names = {host.name for host in inventory.hosts}
    plan = LabPlan(
        lab=name,
        subnet=subnet,
        create_network=seen.subnet is None,
        images=images,
        create=create,
        resize=resize,
        start=start,
        stand_ins=wanted,
        gone=tuple(sorted(s.host for s in seen.stand_ins if s.host not in names)),
        memory=max(0, sum(s.memory for s in wanted) - running),
        disk=IMAGE_DISK * len(images) + STAND_IN_DISK * len(create),
    )
    _require_room(plan, machine)
    return plan


def _require_own_name(name: str, inventory: Inventory, seen: SeenLab) -> None:
    if seen.exists and seen.inventory and seen.inventory != inventory.path:
        raise Refused(
            "a lab stands in for one inventory",
            f"{name} belongs to {seen.inventory}",
            f"give --name, or first: steelyard lab down {seen.inventory}",
            inventory.path,
        )


def _shares(inventory: Inventory, seen: SeenLab, budget: int) -> dict[str, int]:
    """Stand-ins keep the memory they have, unless the inventory now states another for the lab."""
    kept = {}
    fresh: list[WantedHost] = []
    for host in inventory.hosts:
        have = seen.stand_in(host.name)
        if have is not None and host.lab_memory is None:
            kept[host.name] = have.memory
        else:
            fresh.append(host)
    return kept | memory_shares(fresh, budget)


def _resting(inventory: Inventory, seen: SeenLab) -> int:
    """Return the bytes that stand-ins which are started again as they are take of what is free now."""
    kept = [seen.stand_in(host.name) for host in inventory.hosts if host.lab_memory is None]
    return sum(have.memory for have in kept if have is not None and have.state != "running")


def _os(host: WantedHost, seen: SeenLab) -> str:
    have = seen.stand_in(host.name)
    if have is not None and have.os != host.os:
        raise Refused(
            "a stand-in keeps the release it was made with",
            f"has {have.os}, lab_os says {host.os}",
            "take the lab down and up again",
            host.name,
        )
    return host.os


def _resized(wanted: StandIn, seen: SeenLab) -> bool:
    have = seen.stand_in(wanted.host)
    return have is not None and (have.memory, have.cpus) != (wanted.memory, wanted.cpus)


def _require_room(plan: LabPlan, machine: Machine) -> None:
    problems = []
    if plan.memory and plan.memory + MEMORY_RESERVE > machine.memory:
        problems.append(
            Problem(
                plan.lab,
                f"the stand-ins need {format_size(plan.memory)} of memory",
                f"{format_size(max(0, machine.memory - MEMORY_RESERVE))} can be had",
                "state a smaller lab_memory on hosts, or take other labs down",
            )
        )
    if plan.disk > machine.disk:
        problems.append(
            Problem(
                plan.lab,
                f"the stand-ins need about {format_size(plan.disk)} of disk",
                f"{format_size(machine.disk)} is free where Docker keeps its data",
                "make room there, or run: steelyard lab down INVENTORY --cache",
            )
        )
    if problems:
        raise Refused.of(problems)
