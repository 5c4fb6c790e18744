"""What planning costs: seconds for a Redis Cluster of 200 instances, created, changed, and found as wanted."""

from __future__ import annotations

import time

import pytest
from support.cluster_sim import Sim

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance

pytestmark = pytest.mark.slow
MOST = 1.0


def fleet(hosts: int, ports: int, leaving: int, zones: int = 3) -> ClusterSpec:
    instances = (
        Instance("s", f"r{h}", f"10.0.{h // 250}.{h % 250}", 7000 + p, f"z{h % zones}",
                 "leaving" if h <= leaving else "present")
        for h in range(1, hosts + 1) for p in range(ports)
    )  # fmt: skip
    return ClusterSpec("s", "cluster", tuple(instances))


@pytest.mark.parametrize(("hosts", "ports"), [(200, 1), (40, 5), (100, 2)])
def test_planning(hosts: int, ports: int) -> None:
    sim, few = Sim(), max(1, hosts // 20)
    created, changed = fleet(hosts - few, ports, 0), fleet(hosts, ports, few)
    for what, wanted in (("create", created), ("grow and shrink", changed), ("nothing to do", changed)):
        sim.start(wanted)
        seen = sim.answers()
        begun = time.perf_counter()
        plan = make_plan(wanted, seen)
        seconds = time.perf_counter() - begun
        print(f"\n{what}: {len(wanted.instances)} instances on {hosts} hosts, {len(plan.steps)} steps, {seconds:.2f} s")
        assert not plan.refusals and bool(plan.steps) is (what != "nothing to do")
        assert seconds < MOST
        for step in plan.steps:
            sim.apply(step)
