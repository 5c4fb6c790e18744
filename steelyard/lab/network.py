# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which network a lab gets, and which address each stand-in. Pure.

A lab's network overlaps neither another network of Docker, nor a route of the machine, nor an address that
the inventory itself names: an address that leaks from the real inventory is never mistaken for a stand-in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

POOLS = (IPv4Network("10.213.0.0/16"), IPv4Network("172.28.0.0/14"), IPv4Network("192.168.192.0/18"))
RESERVED = 10  # gateway, package cache, and room for floating addresses, at the start of every network


def gateway_of(subnet: IPv4Network) -> IPv4Address:
    """Return the lab's gateway, which is the machine itself: where SSH connections come from."""
    return subnet.network_address + 1


def cache_address_of(subnet: IPv4Network) -> IPv4Address:
    """Return the address of the package cache in this lab."""
    return subnet.network_address + 2


def choose_subnet(
    hosts: int,
    taken: Iterable[IPv4Network],
    avoid: Iterable[IPv4Address] = (),
    pools: Sequence[IPv4Network] = POOLS,
) -> IPv4Network:
    """Return the first free network with room for `hosts` and as many again; raises Refused when none is."""
    prefix = 24
    while 2 ** (32 - prefix) < 2 * hosts + RESERVED + 2 and prefix > 16:
        prefix -= 1
    networks, addresses = list(taken), list(avoid)
    for pool in pools:
        if pool.prefixlen > prefix:
            continue
        for candidate in pool.subnets(new_prefix=prefix):
            if any(candidate.overlaps(network) for network in networks):
                continue
            if not any(address in candidate for address in addresses):
                return candidate
    raise Refused(
        "the lab needs a private network of its own",
        f"no /{prefix} is free in {', '.join(map(str, pools))}",
        "remove labs or Docker networks that are no longer used",
    )


def assign_addresses(
    hosts: Iterable[str], kept: Mapping[str, IPv4Address], subnet: IPv4Network
) -> dict[str, IPv4Address]:
    """Return an address for each of `hosts`: the one it has, else the lowest free one; raises Refused when full."""
    result = {name: address for name, address in kept.items() if address in subnet}
    used = set(kept.values())
    free = (address for address in subnet.hosts() if int(address) - int(subnet.network_address) >= RESERVED)
    for name in hosts:
        if name in result:
            continue
        address = next((candidate for candidate in free if candidate not in used), None)
        if address is None:
            raise Refused(
                "the lab's network has an address for every host",
                f"{subnet} is full",
                "take the lab down and up again: it then gets a larger network",
            )
        used.add(address)
        result[name] = address
    return {name: result[name] for name in hosts if name in result} | result
