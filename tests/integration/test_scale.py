"""Scaling the fleet out and in: the plan is the deed, no client notices, and a killed run is finished by the next."""

from __future__ import annotations

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.runs import Run
from support.state import LEFTOVERS, assert_gone, assert_member, served_by

pytestmark = pytest.mark.core
MALLORY = {"SUDO_USER": "mallory"}


def steps(plan: Run) -> list[str]:
    """Return the step ids of the plan that a run wrote, in order."""
    return [s["id"] for s in plan.result("scale_plan")["plan"]["steps"]]


def test_nothing_to_scale_contacts_no_api_host(fleet: Rehearsal) -> None:
    dry = fleet.play("scale", "--check", "--diff").ok()
    assert "nothing to do" in dry.output
    assert dry.contacted.isdisjoint({"api1", "api2"})


def test_out_and_in_under_load(spare: Rehearsal, url: str) -> None:
    with load(f"{url}/quotes") as kept, load(f"{url}/quotes", clients=2, keepalive=False) as fresh:
        dry = spare.play("scale", "--check", "--diff").ok()
        assert "add/api/api3:8000" in steps(dry)
        assert "api3" in dry.output
        assert served_by(url).keys() == {"api1", "api2"}, "a dry run changed the pool"

        out = spare.play("scale").ok()
        assert steps(out) == steps(dry)
        assert out.contacted.isdisjoint({"api1", "api2"})
        assert served_by(url)["api3"] > 0
        assert_member(spare, "api3")
        assert "nothing to do" in spare.play("scale", "--check", "--diff").ok().output

        spare.mark("api", "api3", steelyard_state="leaving")
        dry = spare.play("scale", "--check", "--diff").ok()
        assert {"drain/api/api3:8000", "remove/api/api3:8000"} <= set(steps(dry))
        gone = spare.play("scale").ok()
        assert steps(gone) == steps(dry)
        assert served_by(url).keys() == {"api1", "api2"}
        assert_gone(spare, "api3")
    for report in (kept, fresh):
        assert report.total > 100, report.text
        assert report.failed == 0, report.text


def test_check_mode_on_a_bare_machine_changes_nothing(spare: Rehearsal) -> None:
    dry = spare.play("site", "--check", "--diff").ok()
    assert "api3" in dry.stats
    assert spare.shell("api3", LEFTOVERS).strip() == ""
    assert "inet steelyard" not in spare.shell("api3", "nft list tables")


def test_killed_then_finished_and_nobody_else_in_between(spare: Rehearsal, url: str) -> None:
    """Two exact places: out, just before the pools change; in, between drain and removal. And a second operator."""
    with load(f"{url}/quotes") as report:
        killed = spare.play("scale", kill="task-name:Add what is new to every pool")
        assert killed.code == -9, killed.output
        other = spare.play("scale", env=MALLORY)
        assert other.code == 2
        assert "exit_code: 4" in other.output
        assert "unlock.yml" in other.output
        spare.play("scale").ok()
        assert_member(spare, "api3")

        spare.mark("api", "api3", steelyard_state="leaving")
        killed = spare.play("scale", kill="step:drain/api/api3:8000")
        assert killed.code == -9, killed.output
        spare.play("unlock", env=MALLORY).ok()
        spare.play("scale", env=MALLORY).ok()
        assert_gone(spare, "api3")
    assert report.failed == 0, report.text
