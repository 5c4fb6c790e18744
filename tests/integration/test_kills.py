"""SIGKILL at every task of scale.yml, out and in, and at every step inside a task; the next run finishes."""

from __future__ import annotations

import os

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.runs import Run
from support.state import assert_gone, assert_member

pytestmark = pytest.mark.faults
# Every place is tried; STEELYARD_KILL_STRIDE=5 tries every fifth, for a look before the whole hour, and
# STEELYARD_KILL_FROM=30 goes on at the thirtieth.
STRIDE = int(os.environ.get("STEELYARD_KILL_STRIDE", "1"))
FROM = int(os.environ.get("STEELYARD_KILL_FROM", "0"))


def places(run: Run) -> list[str]:
    """Return every place at which this finished run could have been killed."""
    tasks = [f"task:{line['number']}" for line in run.tasks]
    steps = [f"step:{line['step']}" for line in run.record if line["kind"] == "step"]
    assert tasks
    assert steps, "the journal had no step"
    return tasks + steps


def place(found: list[str], number: int) -> str:
    """Return the place of this number; empty where this direction has none left, and nobody needs to be killed."""
    return found[number] if number < len(found) else ""


def test_killed_at_every_place_out_and_in(fleet: Rehearsal, url: str) -> None:
    """Each round adds api3 with a kill and removes it with a kill; under load no request fails in any."""
    fleet.add_host("api", "api3", ansible_host="192.0.2.23", lab_memory="384mb")
    fleet.lab("up").ok()
    grown = places(fleet.play("scale").ok())
    fleet.mark("api", "api3", steelyard_state="leaving")
    shrunk = places(fleet.play("scale").ok())
    assert_gone(fleet, "api3")
    failures = []
    for number in range(FROM, max(len(grown), len(shrunk)), STRIDE):
        with load(f"{url}/quotes") as report:
            fleet.mark("api", "api3", steelyard_state="present")
            out = place(grown, number)
            if out:
                fleet.play("scale", kill=out)
            fleet.play("scale").ok()
            assert_member(fleet, "api3")
            fleet.mark("api", "api3", steelyard_state="leaving")
            into = place(shrunk, number)
            if into:
                fleet.play("scale", kill=into)
            fleet.play("scale").ok()
            assert_gone(fleet, "api3")
        print(
            f"round {number}: out at {out or '-'}, in at {into or '-'}: {report.total} requests, {report.failed} failed",
            flush=True,
        )
        if report.failed:
            failures.append(f"out at {out}, in at {into}: {report.text}")
    fleet.lab("down", "api3").ok()
    fleet.drop_host("api", "api3")
    fleet.lab("up").ok()
    assert not failures, "\n".join(failures)


def test_rolling_restart_killed_while_a_host_is_out_is_put_back(fleet: Rehearsal, url: str) -> None:
    for name in ("Restart its instances, and prove them ready", "Put it back into every pool"):
        with load(f"{url}/quotes") as report:
            zone = {"TZ": "America/New_York"}  # times are the machines', not the operator's clock face
            killed = fleet.play("rolling_restart", "-e", "restart_all=true", kill=f"task-name:{name}", env=zone)
            assert killed.code == -9, killed.output
            assert "down" in fleet.shell("lb1", "cat /etc/nginx/steelyard/pools/api.members")
            fleet.play("rolling_restart", "-e", "restart_all=true").ok()
            assert " down" not in fleet.shell("lb1", "cat /etc/nginx/steelyard/pools/api.members")
        assert report.failed == 0, report.text


def test_a_dead_host_can_leave(fleet: Rehearsal, url: str) -> None:
    """Its machine is gone for good: it is taken out of the pools and nothing waits for it."""
    fleet.add_host("api", "api3", ansible_host="192.0.2.23", lab_memory="384mb")
    fleet.lab("up").ok()
    fleet.play("scale").ok()
    fleet.lab("kill", "api3").ok()
    fleet.mark("api", "api3", steelyard_state="leaving")
    fleet.play("scale").ok()
    for balancer in ("lb1", "lb2"):
        assert fleet.address("api3") not in fleet.shell(balancer, "cat /etc/nginx/steelyard/pools/*")
    assert fleet.address("api3") not in fleet.shell("worker1", "nft list ruleset")
    fleet.lab("down", "api3").ok()
    fleet.drop_host("api", "api3")
    fleet.lab("up").ok()
    fleet.play("verify").ok()


def test_a_balancer_that_does_not_answer_is_a_refusal(fleet: Rehearsal) -> None:
    fleet.lab("kill", "lb2").ok()
    fleet.mark("api", "api2", steelyard_state="leaving")
    try:
        refused = fleet.play("scale")
        assert refused.code == 2
        assert "lb2" in refused.output
        assert refused.changed == {}
    finally:
        fleet.mark("api", "api2", steelyard_state="present")
        fleet.lab("start", "lb2").ok()
    assert "nothing to do" in fleet.play("scale").ok().output
