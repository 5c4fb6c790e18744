"""Verdicts, what may be stopped, and what fits on a host."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.app_hosts import app_class, converged, instances

from ansible_collections.steelyard.stack.plugins.module_utils.app import sizing
from ansible_collections.steelyard.stack.plugins.module_utils.app.health import judge, ok_to_stop
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

GIB = 2**30


@pytest.mark.parametrize(
    ("change", "ok", "says"),
    [
        ({}, True, []),
        ({"active": "failed"}, False, ["is failed"]),
        ({"active": "crashing"}, False, ["over and over"]),
        ({"ready": False, "saw": "answered 503"}, False, ["answered 503"]),
        ({"enabled": False}, True, ["not enabled"]),
        ({"config": "other"}, True, ["another configuration"]),
    ],
)
def test_verdict_of_one_instance(change: dict[str, Any], ok: bool, says: list[str]) -> None:
    wanted = instances({"api": app_class()})
    seen = converged(wanted, Slice())
    seen = replace(seen, instances={8000: replace(seen.instances[8000], **change)})
    verdict = judge(seen, Wish(wanted, Slice(), host="api1"))
    assert verdict.ok is ok
    assert len(verdict.findings) == len(says)
    assert all(word in finding.seen for word, finding in zip(says, verdict.findings, strict=True))


def test_an_instance_that_does_not_exist_is_bad() -> None:
    assert not judge(Seen(), Wish(instances({"api": app_class()}), Slice(), host="api1")).ok


def test_maintenance_and_leftovers_are_only_noted() -> None:
    wanted = instances({"api": app_class(ports=[8000, 8001])})
    resting = instances({"api": app_class()}, app_state="maintenance")
    verdict = judge(converged(wanted, Slice()), Wish(resting, Slice(), host="api1"))
    assert verdict.ok
    assert len(verdict.findings) == 2


def test_the_last_ready_instance_may_not_be_stopped() -> None:
    one = instances({"api": app_class()}, name="api1")
    two = instances({"api": app_class()}, name="api2")
    both = {"api1": converged(one, Slice()), "api2": converged(two, Slice())}
    assert ok_to_stop([*one, *two], both, "api1").ok
    assert not ok_to_stop([*one, *two], both, "api1", least=2).ok
    assert not ok_to_stop([*one, *two], {"api1": both["api1"]}, "api1").ok
    sick = replace(both["api2"], instances={8000: replace(both["api2"].instances[8000], ready=False)})
    assert not ok_to_stop([*one, *two], {**both, "api2": sick}, "api1", 8000).ok
    assert ok_to_stop([*one, *two], both, "db1").ok


def test_tiers_of_ape() -> None:
    found = {n: (t.instances, t.workers) for n, t in sizing.APE_TIERS.items()}
    assert found == {1: (1, 1), 2: (2, 2), 3: (4, 4), 4: (8, 4)}
    assert sizing.ape_tier("3").instances == 4
    with pytest.raises(Refused, match="ape_tier is 1, 2, 3 or 4"):
        sizing.ape_tier(5)


@pytest.mark.parametrize(
    ("cpus", "memory", "limit", "workers", "fit"),
    [(4, 8 * GIB, 512 << 20, 1, 4), (4, 8 * GIB, 512 << 20, 4, 1), (8, 2 * GIB, 512 << 20, 1, 3),
     (2, 256 << 20, 512 << 20, 1, 0), (2, 1 * GIB, 0, 1, 2)],
)  # fmt: skip
def test_how_many_fit(cpus: int, memory: int, limit: int, workers: int, fit: int) -> None:
    assert sizing.suggested_instances(cpus, memory, limit, workers) == fit


@pytest.mark.parametrize(
    ("ports", "whole", "memory", "cpus", "rules"),
    [
        ([8000], Slice(), GIB, 1, []),
        ([8000, 8001], Slice(), 256 << 20, 1, ["the instances' memory limits fit into the host"]),
        ([8000, 8001], Slice(0, 128 << 20), GIB, 1, ["the instances' memory limits fit into app_slice"]),
        ([8000], Slice(200, 0), GIB, 1, ["a CPU quota is not more than the host's CPUs"]),
    ],
)
def test_oversubscription(ports: list[int], whole: Slice, memory: int, cpus: float, rules: list[str]) -> None:
    found = instances({"api": app_class(ports=ports)})
    assert [p.rule for p in sizing.oversubscription(found, whole, memory, cpus, "api1")] == rules


def test_leaving_instances_need_nothing() -> None:
    found = instances({"api": app_class()}, app_state="leaving")
    assert sizing.oversubscription(found, Slice(), 1, 1, "api1") == []
