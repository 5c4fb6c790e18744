# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Memory, CPUs, networks and addresses: what holds for every inventory."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from steelyard.lab.model import MIB, WantedHost
from steelyard.lab.network import POOLS, RESERVED, assign_addresses, cache_address_of, choose_subnet, gateway_of
from steelyard.lab.shares import DEFAULT_MEMORY, MINIMUM_MEMORY, cpu_share, memory_shares

hosts = st.lists(
    st.tuples(
        st.none() | st.integers(64, 4096).map(lambda n: n * MIB),
        st.none() | st.integers(64, 262_144).map(lambda n: n * MIB),
    ),
    min_size=1,
    max_size=20,
).map(lambda pairs: [WantedHost(f"h{i}", lab_memory=a, stated_memory=b) for i, (a, b) in enumerate(pairs)])


@given(wanted=hosts, budget=st.integers(0, 64 * 1024).map(lambda n: n * MIB))
def test_memory_shares(wanted: list[WantedHost], budget: int) -> None:
    shares = memory_shares(wanted, budget)
    scaled = [h for h in wanted if h.lab_memory is None and h.stated_memory is not None]
    for host in wanted:
        if host.lab_memory is not None:
            assert shares[host.name] == host.lab_memory
        elif host.stated_memory is None:
            assert shares[host.name] == DEFAULT_MEMORY
        else:
            assert MINIMUM_MEMORY <= shares[host.name] <= max(MINIMUM_MEMORY, host.stated_memory)
    # Who is larger stays at least as large.
    for one in scaled:
        for other in scaled:
            if (one.stated_memory or 0) <= (other.stated_memory or 0):
                assert shares[one.name] <= shares[other.name]
    fixed = sum(shares.values()) - sum(shares[h.name] for h in scaled)
    at_minimum = [h for h in scaled if shares[h.name] == MINIMUM_MEMORY]
    if len(at_minimum) < len(scaled):
        assert sum(shares.values()) <= budget
    else:
        assert sum(shares.values()) == fixed + len(scaled) * MINIMUM_MEMORY


def test_memory_is_never_scaled_up() -> None:
    assert memory_shares([WantedHost("a", stated_memory=1024 * MIB)], 64 * 1024 * MIB) == {"a": 1024 * MIB}


@pytest.mark.parametrize(
    ("host", "cpus"),
    [
        (WantedHost("a"), 4.0),
        (WantedHost("a", stated_cpus=2), 2.0),
        (WantedHost("a", stated_cpus=64), 4.0),
        (WantedHost("a", lab_cpus=0.5, stated_cpus=2), 0.5),
    ],
)
def test_cpu_share(host: WantedHost, cpus: float) -> None:
    assert cpu_share(host, 4) == cpus


networks = st.lists(
    st.tuples(st.sampled_from(POOLS), st.integers(0, 2**16 - 1), st.integers(16, 30)).map(
        lambda t: IPv4Network((int(t[0].network_address) + (t[1] << 4), t[2]), strict=False)
    ),
    max_size=12,
)
addresses = st.lists(
    st.integers(0, 2**16 - 1).map(lambda n: IPv4Network("10.213.0.0/16").network_address + n), max_size=12
)


@given(count=st.integers(1, 400), taken=networks, avoid=addresses)
def test_a_chosen_network_is_free_and_large_enough(
    count: int, taken: list[IPv4Network], avoid: list[IPv4Address]
) -> None:
    try:
        subnet = choose_subnet(count, taken, avoid)
    except Refused:
        covered = sum(network.num_addresses for network in taken)
        assert covered or avoid
        return
    assert any(subnet.subnet_of(pool) for pool in POOLS)
    assert not any(subnet.overlaps(network) for network in taken)
    assert not any(address in subnet for address in avoid)
    assigned = assign_addresses([f"h{i}" for i in range(2 * count)], {}, subnet)
    assert len(set(assigned.values())) == 2 * count
    assert not {gateway_of(subnet), cache_address_of(subnet)} & set(assigned.values())


@given(
    kept=st.dictionaries(st.sampled_from("abcdefgh"), st.integers(RESERVED, 200), max_size=8),
    wanted=st.lists(st.sampled_from("abcdefghijkl"), unique=True),
)
def test_addresses_are_kept_and_never_given_twice(kept: dict[str, int], wanted: list[str]) -> None:
    subnet = IPv4Network("10.213.7.0/24")
    seen = {name: subnet.network_address + offset for name, offset in kept.items()}
    if len(set(seen.values())) < len(seen):
        return
    assigned = assign_addresses(wanted, seen, subnet)
    assert seen.items() <= assigned.items()
    assert set(wanted) <= set(assigned)
    assert len(set(assigned.values())) == len(assigned)
    assert all(address in subnet for address in assigned.values())


def test_a_full_network_is_refused() -> None:
    with pytest.raises(Refused, match="full"):
        assign_addresses([f"h{i}" for i in range(250)], {}, IPv4Network("10.213.7.0/24"))
