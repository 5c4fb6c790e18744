# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `lab up` decides, case by case, and that doing it leaves nothing to do."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size
from steelyard.lab.model import MIB, Inventory, Machine, SeenLab, SeenStandIn, WantedHost
from steelyard.lab.plan import LabPlan, make_plan

CASES = Path(__file__).parent / "cases" / "plan"


def read_inventory(value: dict[str, Any]) -> Inventory:
    hosts = tuple(
        WantedHost(
            name,
            groups=tuple(own.get("groups", ())),
            os=own.get("os", "trixie"),
            lab_memory=parse_size(own["lab_memory"]) if "lab_memory" in own else None,
            stated_memory=parse_size(own["stated_memory"]) if "stated_memory" in own else None,
        )
        for name, own in sorted(value["hosts"].items())
    )
    return Inventory("/inv", hosts, addresses=tuple(IPv4Address(a) for a in value.get("addresses", ())))


def read_seen(value: dict[str, Any]) -> SeenLab:
    stand_ins = tuple(
        SeenStandIn(
            host,
            container=f"c-{host}",
            state=own.get("state", "running"),
            address=IPv4Address(own["address"]),
            memory=parse_size(own["memory"]),
            cpus=float(own["cpus"]),
            os=own.get("os", "trixie"),
        )
        for host, own in value.get("stand_ins", {}).items()
    )
    subnet = IPv4Network(value["subnet"]) if "subnet" in value else None
    return SeenLab("t", value.get("inventory", ""), "", subnet, stand_ins)


def read_machine(value: dict[str, Any]) -> Machine:
    networks = tuple(IPv4Network(n) for n in value.get("networks", ()))
    memory, disk = parse_size(value["memory"]), parse_size(value["disk"])
    return Machine(memory, disk, value["cpus"], networks, frozenset(value.get("images", ())))


def summary(plan: LabPlan) -> dict[str, Any]:
    return {
        "subnet": str(plan.subnet),
        "create_network": plan.create_network,
        "images": list(plan.images),
        "create": {s.host: [str(s.address), f"{s.memory // MIB}mb"] for s in plan.create},
        "resize": [s.host for s in plan.resize],
        "start": list(plan.start),
        "gone": list(plan.gone),
    }


@pytest.mark.parametrize("case", load_cases(CASES))
def test_case(case: dict[str, Any]) -> None:
    arguments = ("t", read_inventory(case["inventory"]), read_seen(case["seen"]), read_machine(case["machine"]))
    if "refusal" in case:
        with pytest.raises(Refused) as caught:
            make_plan(*arguments)
        for words in case["refusal"]:
            assert words in str(caught.value)
    else:
        assert summary(make_plan(*arguments)) == case["steps"]


def apply(plan: LabPlan, inventory: Inventory, seen: SeenLab) -> SeenLab:
    """A lab after `lab up`, as Docker would report it."""
    kept = tuple(s for s in seen.stand_ins if s.host in plan.gone)
    made = tuple(
        SeenStandIn(s.host, f"c-{s.host}", "running", s.address, s.memory, s.cpus, s.os) for s in plan.stand_ins
    )
    return SeenLab(plan.lab, inventory.path, "", plan.subnet, made + kept)


names = st.lists(st.sampled_from([f"h{i}" for i in range(12)]), min_size=1, max_size=8, unique=True)
sizes = st.none() | st.integers(min_value=64, max_value=700).map(lambda n: n * MIB)
stated = st.none() | st.integers(min_value=64, max_value=64_000).map(lambda n: n * MIB)


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    hosts = tuple(
        WantedHost(
            name, lab_memory=draw(sizes), stated_memory=draw(stated), lab_cpus=draw(st.sampled_from([None, 0.5, 9]))
        )
        for name in sorted(draw(names))
    )
    return Inventory("/inv", hosts)


@given(first=inventories(), second=inventories(), killed=st.sets(st.sampled_from([f"h{i}" for i in range(12)])))
def test_after_up_nothing_is_left_to_do(first: Inventory, second: Inventory, killed: set[str]) -> None:
    """Up, edit the inventory, lose some stand-ins, up again: a third time there is nothing to do."""
    machine = Machine(32 * 1024 * MIB, 10**12, 4, (IPv4Network("10.213.0.0/20"),), frozenset({"trixie"}))
    seen = apply(make_plan("t", first, SeenLab("t"), machine), first, SeenLab("t"))
    stopped = tuple(
        SeenStandIn(s.host, s.container, "exited" if s.host in killed else s.state, s.address, s.memory, s.cpus, s.os)
        for s in seen.stand_ins
    )
    seen = SeenLab("t", seen.inventory, "", seen.subnet, stopped)
    plan = make_plan("t", second, seen, machine)
    after = apply(plan, second, seen)
    addresses = [s.address for s in after.stand_ins]
    assert len(set(addresses)) == len(addresses)
    assert {s.host: s.address for s in after.stand_ins}.items() >= {s.host: s.address for s in stopped}.items()
    assert make_plan("t", second, after, machine).empty
