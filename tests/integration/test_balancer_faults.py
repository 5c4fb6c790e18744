"""Balancers that die in the middle of a change, that are out of service meanwhile, and that leave for good."""

from __future__ import annotations

import pytest
from support.load import load
from support.rehearsal import Fault, Rehearsal
from support.state import LEFTOVERS, assert_gone, assert_member, assert_nothing_left_behind, members

pytestmark = pytest.mark.faults
DRAIN = "task-name:Drain what leaves, and prove that no connection is left"
RUNS = "systemctl is-active app@8000.service"


@pytest.mark.parametrize(
    ("place", "verb", "words"),
    [
        ("task-name:Add what is new to every pool", "kill", ("lb2",)),
        ("step:add/api/api3:8000", "cut", ("lb2", "--control")),
    ],
)
def test_a_balancer_that_dies_while_a_host_is_added(
    spare: Rehearsal, url: str, place: str, verb: str, words: tuple[str, ...]
) -> None:
    with load(f"{url}/quotes") as report:
        struck = spare.play("scale", fault=Fault(place, spare.lab_words(verb, *words)))
        assert struck.code != 0
        assert "lb2" in struck.output
        bring_back(spare, verb)
        spare.play("scale").ok()
        assert_member(spare, "api3")
        assert "nothing to do" in spare.play("scale").ok().output
    assert report.failed == 0, report.text


@pytest.mark.parametrize(
    ("place", "verb", "words"),
    [(DRAIN, "kill", ("lb2",)), (DRAIN, "cut", ("lb2", "--control")), ("step:drain/api/api3:8000", "kill", ("lb2",))],
)
def test_nothing_is_stopped_or_shut_out_when_a_balancer_dies_in_the_middle(
    spare: Rehearsal, url: str, place: str, verb: str, words: tuple[str, ...]
) -> None:
    spare.play("scale").ok()
    spare.mark("api", "api3", steelyard_state="leaving")
    with load(f"{url}/quotes") as report:
        struck = spare.play("scale", fault=Fault(place, spare.lab_words(verb, *words)))
        assert struck.code != 0
        assert "a balancer has not done its part" in struck.output
        assert spare.shell("api3", RUNS).strip() == "active"
        assert spare.shell("api3", LEFTOVERS).strip() != ""
        for host, peer in (("worker1", "api3"), ("api3", "lb1"), ("api3", "lb2")):
            assert spare.address(peer) in spare.shell(host, "nft list table inet steelyard")
        refused = spare.play("scale")
        assert refused.code == 2
        assert "every balancer answers" in refused.output
        assert spare.shell("api3", RUNS).strip() == "active"
        bring_back(spare, verb)
        spare.play("scale").ok()
        assert_gone(spare, "api3")
    assert report.failed == 0, report.text


def bring_back(fleet: Rehearsal, verb: str) -> None:
    """End what `kill` or `cut` has done to lb2."""
    fleet.lab({"kill": "start", "cut": "heal"}[verb], "lb2").ok()


def test_a_host_joins_and_leaves_while_a_balancer_in_maintenance_is_dead(spare: Rehearsal, url: str) -> None:
    spare.mark("load_balancers", "lb2", steelyard_state="maintenance")
    spare.lab("kill", "lb2").ok()
    try:
        with load(f"{url}/quotes") as report:
            spare.play("scale").ok()
            assert f"{spare.address('api3')}:8000" in members(spare, "lb1")
            spare.play("verify").ok()
            unlocked = spare.play("unlock").ok()
            assert "lb2 does not answer" in unlocked.output
            spare.play("rolling_restart", "--tags", "app").ok()
            spare.play("site").ok()
            spare.mark("api", "api3", steelyard_state="leaving")
            spare.play("scale").ok()
            assert spare.address("api3") not in members(spare, "lb1")
            spare.mark("api", "api3", steelyard_state="present")
            spare.play("scale").ok()
    finally:
        spare.lab("start", "lb2").ok()
        spare.mark("load_balancers", "lb2", steelyard_state="present")
    assert report.failed == 0, report.text
    assert spare.address("api3") not in members(spare, "lb2")
    spare.play("scale").ok()
    assert_member(spare, "api3")


def test_unlock_says_who_in_service_is_silent_and_releases_the_others(fleet: Rehearsal) -> None:
    killed = fleet.play("rolling_restart", "-e", "restart_all=true", kill="task-name:Put it back into every pool")
    assert killed.code == -9, killed.output
    held = "ls /var/lib/steelyard/lease"
    assert "nginx-main.json" in fleet.shell("lb1", held)
    fleet.lab("kill", "lb2").ok()
    try:
        unlocked = fleet.play("unlock")
        assert unlocked.code == 2
        assert "lb2 does not answer" in unlocked.output
        assert "nginx-main.json" not in fleet.shell("lb1", held)
    finally:
        fleet.lab("start", "lb2").ok()
    fleet.play("unlock").ok()
    fleet.play("rolling_restart", "-e", "restart_all=true").ok()
    assert_nothing_left_behind(fleet)


def test_a_balancer_leaves_and_comes_back(fleet: Rehearsal, url: str) -> None:
    drop_in = "/etc/systemd/system/nginx.service.d"
    fleet.shell("lb2", f"printf '[Unit]\\nX-Of=others\\n' > {drop_in}/90-others.conf")
    fleet.mark("load_balancers", "lb2", steelyard_state="leaving")
    with load(f"{url}/quotes") as report:
        dry = fleet.play("scale", "--check", "--diff").ok()
        assert "retire" in dry.output
        killed = fleet.play("scale", kill="task-name:steelyard.stack.nginx : Remove what this role wrote")
        assert killed.code == -9, killed.output
        fleet.play("scale").ok()
        assert "nothing to do" in fleet.play("scale").ok().output
    assert report.failed == 0, report.text
    left = "ls -d /etc/nginx /usr/sbin/nginx /var/lib/steelyard/config/nginx* 2>/dev/null || true"
    assert fleet.shell("lb2", left).strip() == ""
    assert fleet.shell("lb2", f"ls {drop_in}").split() == ["90-others.conf"]
    assert fleet.shell("lb2", "ls /var/lib/steelyard/lease /var/lib/steelyard/undo | grep json || true").strip() == ""
    for host in ("api1", "api2"):
        assert fleet.address("lb2") not in fleet.shell(host, "nft list table inet steelyard")
        assert fleet.address("lb1") in fleet.shell(host, "nft list table inet steelyard")
    assert fleet.address("api1") in members(fleet, "lb1")

    fleet.shell("lb2", f"rm -r {drop_in}")
    fleet.mark("load_balancers", "lb2", steelyard_state="present")
    fleet.play("site").ok()
    fleet.play("verify").ok()
    assert sorted(members(fleet, "lb2").splitlines()) == sorted(members(fleet, "lb1").splitlines())
    assert "nothing to do" in fleet.play("scale").ok().output
