# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Cuts: who is cut off from whom, and the rules each stand-in gets."""

from __future__ import annotations

import json
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from steelyard.lab.faults import ALL, Cuts, cut, heal, ruleset

EVERYONE = ("api1", "api2", "lb1", "worker1")
ADDRESSES = {host: IPv4Address("10.213.0.10") + i for i, host in enumerate(EVERYONE)}


def pairs(*wanted: str) -> frozenset[frozenset[str]]:
    return frozenset(frozenset(pair.split("-")) for pair in wanted)


@pytest.mark.parametrize(
    ("hosts", "wanted"),
    [
        (["api1", "lb1"], pairs("api1-lb1")),
        (["api1", "api2", "lb1"], pairs("api1-api2", "api1-lb1", "api2-lb1")),
        (["api1"], pairs("api1-api2", "api1-lb1", "api1-worker1")),
        (["api1", ALL], pairs("api1-api2", "api1-lb1", "api1-worker1")),
        ([ALL], pairs("api1-api2", "api1-lb1", "api1-worker1", "api2-lb1", "api2-worker1", "lb1-worker1")),
        (["api1", "api1"], frozenset()),
    ],
)
def test_cut(hosts: list[str], wanted: frozenset[frozenset[str]]) -> None:
    assert cut(Cuts(), hosts, EVERYONE).pairs == wanted


def test_a_cut_names_hosts() -> None:
    with pytest.raises(Refused):
        cut(Cuts(), [], EVERYONE)


@pytest.mark.parametrize(
    ("hosts", "left"),
    [
        ([], frozenset()),
        ([ALL], frozenset()),
        (["api1"], pairs("api2-lb1")),
        (["api1", "lb1"], pairs("api1-api2", "api2-lb1")),
        (["api1", "api2", "lb1"], frozenset()),
        (["worker1"], pairs("api1-api2", "api1-lb1", "api2-lb1")),
    ],
)
def test_heal(hosts: list[str], left: frozenset[frozenset[str]]) -> None:
    current = Cuts(pairs("api1-api2", "api1-lb1", "api2-lb1"))
    assert heal(current, hosts).pairs == left


def test_control_isolates_and_heals() -> None:
    isolated = cut(Cuts(), ["api1"], EVERYONE, control=True)
    assert isolated == Cuts(frozenset(), frozenset({"api1"}))
    assert "iifname != lo drop" in ruleset("api1", isolated, ADDRESSES)
    assert "drop" not in ruleset("api2", isolated, ADDRESSES)
    assert heal(isolated, ["api1"]) == Cuts()


hosts = st.lists(st.sampled_from([*EVERYONE, ALL]), min_size=1, max_size=4)


@given(st.lists(hosts, max_size=4))
def test_both_ends_drop_both_ways_and_it_survives_the_marker(asked: list[list[str]]) -> None:
    cuts = Cuts()
    for named in asked:
        cuts = cut(cuts, named, EVERYONE)
    assert Cuts.from_dict(json.loads(json.dumps(cuts.as_dict()))) == cuts
    for one in EVERYONE:
        rules = ruleset(one, cuts, ADDRESSES)
        for other in EVERYONE:
            apart = frozenset((one, other)) in cuts.pairs
            assert (rules.count(f"{ADDRESSES[other]}") == 2) is apart
        assert rules.startswith("add table inet steelyard_lab_cut\ndelete table inet steelyard_lab_cut\n")
        assert "flush" not in rules
    assert heal(cuts, []) == Cuts()


def test_forgotten_hosts_leave_no_cut() -> None:
    assert Cuts(pairs("api1-lb1", "api2-lb1"), frozenset({"api1"})).without(["api1"]) == Cuts(pairs("api2-lb1"))
