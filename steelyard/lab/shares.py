# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much of the machine each stand-in gets. Pure.

A host that states `lab_memory` gets it. One that states `steelyard_memory` gets that scaled down by one
factor for all of them, so that a host twice as large as another stays so. Others get 512 MiB. None gets less
than 192 MiB: systemd, sshd and one package installation fit into that.
"""

from __future__ import annotations

from collections.abc import Iterable

from steelyard.lab.model import MIB, WantedHost

DEFAULT_MEMORY = 512 * MIB
MINIMUM_MEMORY = 192 * MIB
STEP = 64 * MIB
SHARE_OF_MACHINE = 0.6  # of what is free: the rest is for page cache, the run itself and the load generator


def memory_shares(hosts: Iterable[WantedHost], budget: int) -> dict[str, int]:
    """Return bytes of memory for each of `hosts` out of `budget` bytes.

    Never scales up. The sum exceeds the budget only where stated sizes, defaults or minima alone do.
    """
    shares: dict[str, int] = {}
    scaled: list[tuple[str, int]] = []
    for host in hosts:
        if host.lab_memory is not None:
            shares[host.name] = host.lab_memory
        elif host.stated_memory is not None:
            scaled.append((host.name, host.stated_memory))
        else:
            shares[host.name] = DEFAULT_MEMORY
    left = max(0, budget - sum(shares.values()))
    # Who would fall below the minimum is given the minimum first; the others share what is left then.
    scaled.sort(key=lambda item: item[1])
    while scaled:
        factor = min(1.0, left / sum(memory for _name, memory in scaled))
        name, memory = scaled[0]
        if memory * factor >= MINIMUM_MEMORY + STEP:
            break
        shares[name] = MINIMUM_MEMORY
        left = max(0, left - MINIMUM_MEMORY)
        scaled.pop(0)
    for name, memory in scaled:
        shares[name] = max(MINIMUM_MEMORY, int(memory * factor) // STEP * STEP)
    return shares


def cpu_share(host: WantedHost, machine_cpus: int) -> float:
    """Return the CPUs a stand-in may use: what is stated for the lab or for the host, at most the machine's."""
    stated = host.lab_cpus if host.lab_cpus is not None else host.stated_cpus
    return float(machine_cpus) if stated is None else min(float(stated), float(machine_cpus))
