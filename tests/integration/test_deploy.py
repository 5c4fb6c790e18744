"""The fleet as site.yml builds it, and the second run that changes nothing."""

from __future__ import annotations

import json

import pytest
from support.rehearsal import Rehearsal
from support.state import served_by
from websockets.sync.client import connect

pytestmark = pytest.mark.core


def started_at(fleet: Rehearsal) -> dict[str, str]:
    """Return when each service of the fleet was started, by host."""
    show = (
        "systemctl show --property=Id,MainPID,ExecMainStartTimestampMonotonic nginx.service 'app@*.service' ssh.service"
        " 'redis@*.service' 'redis-sentinel@*.service'"
    )
    hosts = ("lb1", "lb2", "api1", "api2", "worker1", "redis1", "redis2", "redis3")
    return {host: fleet.shell(host, show) for host in hosts}


def test_requests_reach_every_api_host(fleet: Rehearsal, url: str) -> None:
    assert served_by(url).keys() == {"api1", "api2"}


def test_a_websocket_goes_through_the_balancer(fleet: Rehearsal, url: str) -> None:
    with connect(f"{url.replace('http', 'ws')}/ws", open_timeout=10) as socket:
        assert json.loads(socket.recv(timeout=15)), "no quote came through"


def test_second_run_changes_nothing_and_restarts_nothing(fleet: Rehearsal) -> None:
    before = started_at(fleet)
    second = fleet.play("site").ok()
    assert second.stats, "the run recorded no recap"
    assert second.changed == {}
    assert started_at(fleet) == before


def test_verify_passes(fleet: Rehearsal) -> None:
    assert fleet.play("verify").ok().changed == {}


def test_every_service_listens_only_where_the_inventory_says(fleet: Rehearsal) -> None:
    places = {"lb1": {22, 80}, "api1": {22, 8000}, "worker1": {22, 9000}, "redis1": {22, 6379, 26379}}
    for host, wanted in places.items():
        lines = fleet.shell(host, "ss -Hltn").split("\n")
        local = [line.split()[3] for line in lines if line.startswith("LISTEN")]
        open_ports = {int(a.rpartition(":")[2]) for a in local if not a.startswith(("127.", "[::1]"))}
        assert open_ports == wanted, host
