"""The lab's faults do what they say, and its second `up` does nothing."""

from __future__ import annotations

import json

import pytest
from support.rehearsal import Rehearsal

pytestmark = pytest.mark.core


def state(fleet: Rehearsal, host: str) -> str:
    """Return what `lab status` says of a host."""
    rows = json.loads(fleet.lab("status", "--json").ok().output)["hosts"]
    return str(next(row["state"] for row in rows if row["host"] == host))


def reaches(fleet: Rehearsal, source: str, target: str) -> bool:
    """Return whether one stand-in gets an answer from another's SSH server or application."""
    port = 9000 if target.startswith("worker") else 8000
    return bool(fleet.host(source).run(f"timeout 3 bash -c '</dev/tcp/{fleet.address(target)}/{port}'").rc == 0)


def test_up_again_changes_nothing(fleet: Rehearsal) -> None:
    assert "nothing changed" in fleet.lab("up").ok().output


def test_kill_and_start_keep_the_address(fleet: Rehearsal) -> None:
    address = fleet.address("worker1")
    fleet.lab("kill", "worker1").ok()
    assert "running" not in state(fleet, "worker1")
    fleet.lab("start", "worker1").ok()
    assert fleet.address("worker1") == address
    assert fleet.host("worker1").check_output("hostname") == "worker1"


def test_cut_and_heal(fleet: Rehearsal) -> None:
    assert reaches(fleet, "lb1", "api1")
    fleet.lab("cut", "lb1", "api1").ok()
    try:
        assert not reaches(fleet, "lb1", "api1")
        assert reaches(fleet, "lb1", "api2"), "more was cut than was asked for"
    finally:
        fleet.lab("heal", "lb1", "api1").ok()
    assert reaches(fleet, "lb1", "api1")


def test_memory_of_a_stand_in_is_enforced(fleet: Rehearsal) -> None:
    """worker1 has 256 MiB on a machine that shows gigabytes: 128 can be had beside its services, 512 cannot."""
    touch = "python3 -c 'print(len(bytearray({} * 2**20)))'"
    assert fleet.host("worker1").run(touch.format(128)).rc == 0
    assert fleet.host("worker1").run(touch.format(512)).rc != 0
    fleet.play("verify").ok()
