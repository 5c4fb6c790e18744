"""What the fleet is told of applications: what a scaling run takes away, and from which host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.app_hosts import app_class, converged, host, instances

from ansible_collections.steelyard.stack.plugins.action import inventory_check
from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import OPERATIONS, Inventory


def test_a_port_taken_from_a_host_that_stays_is_stopped_and_removed_and_the_others_are_not_touched() -> None:
    before = instances({"api": app_class(ports=[8000, 8001])})
    after = instances({"api": app_class(ports=[8000, 8001])}, app_ports={"api": [8000]})
    plan = make_plan(converged(before, Slice()), Wish(after, host="api1", remove=True))
    assert [s.id for s in plan.steps] == ["stop/8001", "remove/8001"]


def test_the_last_class_taken_from_a_host_that_stays_leaves_nothing() -> None:
    before = instances({"api": app_class()})
    plan = make_plan(replace(converged(before, Slice()), leftovers=("x",)), Wish((), host="api1", remove=True))
    assert [s.id for s in plan.steps] == ["stop/8000", "remove/8000", "clean/app"]


def test_releases_of_what_leaves_are_not_needed() -> None:
    stays = host({"api": app_class("1.0.0")})
    goes = host({"api": app_class("0.9.0")}, name="api2", app_state="leaving")
    assert [r.version for r in services.releases(Fleet((stays, goes)))] == ["1.0.0"]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_only_what_installs_reads_archives(operation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    work = inventory_check.ActionModule.__new__(inventory_check.ActionModule)
    monkeypatch.setattr(work, "finish", lambda result, _variables: result)
    monkeypatch.setattr(work, "_archive_problems", lambda _inventory: asked.append(operation) or [])
    monkeypatch.setattr(inventory_check, "is_first_host", lambda _variables: True)
    monkeypatch.setattr(inventory_check, "inventory_from_vars", lambda _variables: Inventory())
    monkeypatch.setattr(inventory_check.check, "problems", lambda *_: [])
    work._answer({"operation": operation, "confirm": ""}, {})
    assert bool(asked) == (operation in ("site", "scale", "rolling_restart"))


@pytest.mark.parametrize("word", ["false", "no", "off", "0", False])
def test_a_firewall_switched_off_on_the_command_line_shuts_nobody_out(word: object) -> None:
    networks = {"steelyard_control_networks": ["192.0.2.0/24"]}
    assert services.shuts_out(host({}, **networks), "198.51.100.7")
    assert services.shuts_out(host({}, firewall_enabled="true", **networks), "198.51.100.7")
    assert not services.shuts_out(host({}, firewall_enabled=word, **networks), "198.51.100.7")


def test_a_host_of_an_extra_group_is_managed_when_a_class_runs_on_it() -> None:
    alone = {"groups": ("batch",), "steelyard_extra_groups": ["batch"]}
    bare, busy = host({"api": app_class()}, **alone), host({"jobs": app_class(group="batch")}, **alone)
    assert services.services_of(Fleet((bare,)), bare) == []
    assert services.services_of(Fleet((busy,)), busy) == ["base", "app"]


@pytest.mark.parametrize(
    ("states", "excused"),
    [
        ({}, False),
        ({"steelyard_state": "maintenance"}, True),
        ({"steelyard_state": "leaving"}, True),
        ({"app_state": "maintenance"}, False),
        ({"nginx_state": "leaving"}, False),
        ({"app_state": "leaving", "nginx_state": "maintenance"}, True),
    ],
)
def test_a_host_need_not_answer_when_nothing_on_it_is_in_service(states: dict[str, str], excused: bool) -> None:
    both = host({"api": app_class()}, groups=("api", "load_balancers"), **states)
    assert services.wanted("excused_hosts", Fleet((both,)), both) == (["api1"] if excused else [])


@pytest.mark.parametrize(
    ("group", "states", "excused"),
    [
        ("load_balancers", {"nginx_state": "maintenance"}, True),
        ("load_balancers", {"nginx_state": "leaving"}, True),
        ("load_balancers", {"app_state": "maintenance"}, False),
        ("api", {"app_state": "maintenance"}, True),
        ("api", {"nginx_state": "maintenance"}, False),
        ("monitoring", {"app_state": "maintenance", "nginx_state": "maintenance"}, False),
    ],
)
def test_only_the_states_of_services_on_the_host_excuse_it(group: str, states: dict[str, str], excused: bool) -> None:
    one = host({"api": app_class()}, groups=(group,), **states)
    assert services.wanted("excused_hosts", Fleet((one,)), one) == (["api1"] if excused else [])
