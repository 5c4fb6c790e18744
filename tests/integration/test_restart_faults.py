"""Rolling restarts that are killed, killed again while they are repaired, that fail, and that others want to join."""

from __future__ import annotations

import pytest
from support.load import load
from support.rehearsal import Fault, Rehearsal
from support.state import assert_nothing_left_behind, members

pytestmark = pytest.mark.faults
ALL = ("-e", "restart_all=true")
STARTED = "systemctl show -p ActiveEnterTimestampMonotonic --value app@8000.service"


@pytest.mark.parametrize(
    "name",
    [
        "Take over the lease on every balancer",
        "Put back whom no restart is waiting for",
        "Give the lease back",
    ],
)
def test_killed_while_it_puts_back_what_a_killed_run_held(fleet: Rehearsal, url: str, name: str) -> None:
    with load(f"{url}/quotes") as report:
        killed = fleet.play("rolling_restart", *ALL, kill="task-name:Put it back into every pool")
        assert killed.code == -9, killed.output
        assert " down" in members(fleet, "lb1")
        again = fleet.play("rolling_restart", kill=f"task-name:{name}")
        assert again.code == -9, again.output
        fleet.play("rolling_restart").ok()
        assert " down" not in members(fleet, "lb1")
        assert " down" not in members(fleet, "lb2")
    assert report.failed == 0, report.text
    assert_nothing_left_behind(fleet)


def test_applications_alone_are_restarted_under_load_and_nobody_else_may_meanwhile(fleet: Rehearsal, url: str) -> None:
    before = {host: fleet.shell(host, STARTED) for host in ("api1", "api2")}
    other = Fault(
        "task-name:Restart its instances, and prove them ready",
        fleet.play_words("rolling_restart", *ALL),
        {"SUDO_USER": "mallory"},
    )
    with load(f"{url}/quotes") as kept, load(f"{url}/quotes", clients=2, keepalive=False) as fresh:
        done = fleet.play("rolling_restart", "--tags", "app", *ALL, fault=other).ok()
    for report in (kept, fresh):
        assert report.total > 100, report.text
        assert report.failed == 0, report.text
    (struck,) = done.struck
    assert struck["code"] == 2, struck["output"]
    assert "exit_code: 4" in struck["output"], struck["output"]
    assert all(fleet.shell(host, STARTED) != was for host, was in before.items())
    assert_nothing_left_behind(fleet)


def test_a_release_that_never_gets_ready_is_taken_back_and_the_next_one_heals(fleet: Rehearsal, url: str) -> None:
    with load(f"{url}/quotes") as report:
        with fleet.edited("group_vars/all/app.yml") as content:
            api = content["app_classes"]["api"]
            api["command"] = "{release}/venv/bin/python -c 'import time; time.sleep(600)'"
            api["start_deadline"] = "5s"
            fleet.play("site").ok()
            started = fleet.shell("api2", STARTED)
            failed = fleet.play("rolling_restart")
            assert failed.code == 2
            assert "exit_code: 5" in failed.output
            assert fleet.shell("api2", STARTED) == started, "it went on with the next host"
            for balancer in ("lb1", "lb2"):
                assert " down" not in members(fleet, balancer)
            assert_nothing_left_behind(fleet)
            dry = fleet.play("rolling_restart", "--check", "--diff").ok()
            assert {"api1", "api2"} <= dry.changed.keys(), "what waits for a restart is forgotten"
        fleet.play("site").ok()
        fleet.play("rolling_restart").ok()
    assert report.failed == 0, report.text
    fleet.play("verify").ok()
    assert fleet.play("site").ok().changed == {}
    assert fleet.play("rolling_restart").ok().changed == {}
    assert_nothing_left_behind(fleet)
