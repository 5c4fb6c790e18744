"""Sizes, by cases; that what is given fits, and what does not is said with its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases
from support.redis_fleet import fleet_of, stated

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis import config, inventory, sizing
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import Cluster
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size

GIB = 2**30


def _clusters(raw: dict[str, Any]) -> dict[str, Cluster]:
    return inventory.clusters_in(fleet_of({name: stated(more) for name, more in raw.items()}, 1))


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "sizing_cases"))
def test_case(case: dict[str, Any]) -> None:
    clusters = _clusters(case["clusters"])
    first = next(iter(clusters.values()))
    limits = sizing.HostLimits(**{**case["limits"], "memory": parse_size(case["limits"]["memory"])})
    servers = tuple(clusters[name] for name in case.get("servers", [first.name]))
    tenants = sizing.Tenants(servers, parse_size(case.get("others", 0)), case.get("shared", False))

    def size() -> dict[str, str]:
        found = sizing.size(first, limits, tenants, case["nodes"], case.get("profile", ""), case.get("tier"))
        assert all(one.source and str(one).startswith(one.name) for one in found)
        return {one.name: one.value for one in found}

    if "refusal" in case:
        with pytest.raises(Refused, match=case["refusal"]):
            size()
        return
    found = size()
    wanted = {n: str(v) if n == "nofile" else config.normal(n, v) for n, v in case["sizes"].items()}
    assert {name: found[name] for name in wanted} == wanted


@given(
    st.integers(GIB // 2, 512 * GIB), st.integers(1, 64), st.integers(1, 8), st.booleans(), st.integers(0, 4 * GIB)
)  # fmt: skip
def test_all_servers_together_keep_the_share_of_what_is_free(
    memory: int, cpus: int, servers: int, saves: bool, others: int
) -> None:
    cluster = Cluster("cache", appendonly="everysec" if saves else "no")
    limits, tenants = sizing.HostLimits(memory, cpus), sizing.Tenants((cluster,) * servers, others)
    try:
        found = {one.name: one.value for one in sizing.size(cluster, limits, tenants, 1)}
    except Refused:
        assert sizing.free_memory(limits, tenants) < servers * 2 * sizing.MIB
        return
    total, free = int(found["maxmemory"]) * servers, sizing.free_memory(limits, tenants)
    assert total <= free * sizing.share_of(cluster)
    assert total > free * sizing.share_of(cluster) - servers * sizing.MIB
    assert sizing.oversubscription(limits, tenants, "redis1") == []
    assert sizing.tight(limits, tenants) == ""
    assert int(found["memory_max"]) > int(found["maxmemory"])
    assert int(found["io-threads"]) < max(2, cpus)
    # What was sized is what the file takes, and the server's answer to it.
    for name, value in sizing.as_settings(sizing.size(cluster, limits, tenants, 1)).items():
        assert config.normal(name, value) == value


def test_sizes_are_the_same_on_a_second_look() -> None:
    """A host's free memory must not decide: it changes with every run."""
    cluster = Cluster("cache")
    limits, tenants = sizing.HostLimits(8 * GIB, 4), sizing.Tenants((cluster,))
    assert sizing.size(cluster, limits, tenants, 1) == sizing.size(cluster, limits, tenants, 1)


def test_maxmemory_beyond_the_host_is_refused_with_the_numbers() -> None:
    big = Cluster("cache", maxmemory=4 * GIB)
    limits, tenants = sizing.HostLimits(8 * GIB, 4), sizing.Tenants((big, big))
    found = sizing.oversubscription(limits, tenants, "redis1")
    assert [(p.where, p.seen) for p in found] == [("redis1", "8 GiB for 2 server(s), 7 GiB are free")]
    assert sizing.oversubscription(limits, sizing.Tenants(()), "redis1") == []
    assert sizing.oversubscription(sizing.HostLimits(16 * GIB, 4), tenants, "redis1") == []


def test_data_that_fits_but_cannot_fork_is_warned_of() -> None:
    big = Cluster("cache", maxmemory=6 * GIB)
    limits, tenants = sizing.HostLimits(8 * GIB, 4), sizing.Tenants((big,))
    assert sizing.oversubscription(limits, tenants, "redis1") == []
    assert "10 GiB of 7 GiB" in sizing.tight(limits, tenants)
    assert sizing.tight(limits, sizing.Tenants((Cluster("cache", maxmemory=4 * GIB),))) == ""


@pytest.mark.parametrize("tier", ["5", "x", None, 0])
def test_a_tier_that_is_not_there_is_refused(tier: object) -> None:
    with pytest.raises(Refused, match="ape_tier is 1, 2, 3 or 4"):
        sizing.ape_maxmemory(tier)


@pytest.mark.parametrize(("cpus", "threads"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (7, 3), (8, 6), (32, 6)])
def test_io_threads_leave_cores_idle(cpus: int, threads: int) -> None:
    cluster = Cluster("cache")
    found = sizing.size(cluster, sizing.HostLimits(8 * GIB, cpus), sizing.Tenants((cluster,)), 1)
    assert {one.name: one.value for one in found}["io-threads"] == str(threads)
