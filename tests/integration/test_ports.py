"""Ports of a host that stays: never shut before they are drained, and gone when a killed run has been finished."""

from __future__ import annotations

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.state import assert_nothing_left_behind, get, members

pytestmark = pytest.mark.faults
BOTH, ONE = {"api": [8000, 8001]}, {"api": [8000]}
RULES = "nft list chain inet steelyard input"
UNITS = "systemctl list-units --plain --no-legend 'app@*'; ls -d /etc/systemd/system/app@* /etc/steelyard/app/*"


def ports(fleet: Rehearsal, host: str) -> set[int]:
    """Return which of the two ports anything on the host still has: a unit, a file, a rule."""
    found = fleet.shell(host, f"{UNITS}; {RULES}")
    return {port for port in (8000, 8001) if str(port) in found}


def test_a_member_s_port_is_not_shut_before_it_left(spare: Rehearsal, url: str) -> None:
    spare.mark("api", "api3", app_ports=BOTH)
    spare.play("scale").ok()
    rules = spare.shell("api3", RULES)
    assert "8001" in rules
    spare.mark("api", "api3", app_ports=ONE)
    with load(f"{url}/quotes") as report:
        for playbook in ("site", "scale"):
            refused = spare.play(playbook)
            assert refused.code == 2
            assert "only after it left" in refused.output
            assert "app_state: leaving" in refused.output
            assert refused.changed == {}
            assert spare.shell("api3", RULES) == rules
        # The way that the refusal says.
        spare.mark("api", "api3", app_ports=BOTH, app_state="leaving")
        spare.play("scale").ok()
        spare.mark("api", "api3", app_ports=ONE, app_state="present")
        spare.play("scale").ok()
    assert report.failed == 0, report.text
    assert ports(spare, "api3") == {8000}
    assert spare.play("site").ok().changed == {}


@pytest.mark.parametrize(
    "place",
    [
        "task-name:Stop and remove what a machine that stays has lost; no pool knows it any more",
        "step:add/api/api3:8000",
        "task-name:Verify every pool through the balancer",
    ],
)
def test_a_port_that_a_killed_run_had_drained_is_gone_in_the_end(spare: Rehearsal, url: str, place: str) -> None:
    spare.mark("api", "api3", app_ports=BOTH)
    spare.play("scale").ok()
    spare.mark("api", "api3", app_state="leaving")
    with load(f"{url}/quotes") as report:
        killed = spare.play("scale", kill="task-name:Stop the instances and remove all that is theirs")
        assert killed.code == -9, killed.output
        assert spare.address("api3") not in members(spare, "lb1")
        spare.mark("api", "api3", app_state="present", app_ports=ONE)
        killed = spare.play("scale", kill=place)
        assert killed.code == -9, killed.output
        spare.play("scale").ok()
    assert report.failed == 0, report.text
    assert ports(spare, "api3") == {8000}
    assert get(f"http://{spare.address('lb1')}/healthz")[0] == 200
    assert f"{spare.address('api3')}:8000" in members(spare, "lb2")
    assert_nothing_left_behind(spare)
    assert "nothing to do" in spare.play("scale").ok().output
