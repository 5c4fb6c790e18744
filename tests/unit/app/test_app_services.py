"""What the fleet is told of applications: what a scaling run takes away, and from which host."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.app_hosts import app_class, converged, host, instances

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet


@pytest.mark.parametrize("state", ["present", "maintenance", "leaving"])
def test_a_scaling_run_removes_what_is_not_placed_on_every_host(state: str) -> None:
    stays = host({"api": app_class()}, app_state=state)
    assert services.wanted("app_remove", Fleet((stays,)), stays) is True


def test_a_port_taken_from_a_host_that_stays_is_stopped_and_removed_and_the_others_are_not_touched() -> None:
    before = instances({"api": app_class(ports=[8000, 8001])})
    after = instances({"api": app_class(ports=[8000, 8001])}, app_ports={"api": [8000]})
    plan = make_plan(converged(before, Slice()), Wish(after, host="api1", remove=True))
    assert [s.id for s in plan.steps] == ["stop/8001", "remove/8001"]


def test_the_last_class_taken_from_a_host_that_stays_leaves_nothing() -> None:
    before = instances({"api": app_class()})
    plan = make_plan(replace(converged(before, Slice()), leftovers=("x",)), Wish((), host="api1", remove=True))
    assert [s.id for s in plan.steps] == ["stop/8000", "remove/8000", "clean/app"]
