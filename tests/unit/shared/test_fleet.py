"""The fleet as the inventory states it."""

from __future__ import annotations

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host

FLEET = Fleet((
    Host("lb1", frozenset({"load_balancers"}), {"ansible_host": "192.0.2.1"}),
    Host("api1", frozenset({"api"}), {"ansible_host": "192.0.2.2", "steelyard_address": "198.51.100.2", "steelyard_zone": "a"}),
    Host("api2", frozenset({"api"}), {"steelyard_state": "maintenance", "app_state": "leaving"}),
))  # fmt: skip


def test_groups_keep_the_inventory_order() -> None:
    assert [h.name for h in FLEET.group("api")] == ["api1", "api2"]
    assert FLEET.group("kafka") == ()


def test_the_address_others_use() -> None:
    assert [h.address for h in FLEET.hosts] == ["192.0.2.1", "198.51.100.2", "api2"]


def test_zone() -> None:
    assert [h.zone for h in FLEET.hosts] == ["", "a", ""]


def test_a_services_own_state_wins() -> None:
    api2 = FLEET.host("api2")
    assert (api2.state_of("app"), api2.state_of("nginx")) == ("leaving", "maintenance")
    assert FLEET.host("api1").state_of("app") == "present"


@pytest.mark.parametrize("key", ["steelyard_state", "app_state"])
def test_a_state_that_does_not_exist_is_refused(key: str) -> None:
    with pytest.raises(Refused, match="present, maintenance, leaving"):
        Host("h1", vars={key: "gone"}).state_of("app")


def test_an_unknown_host_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="api9"):
        FLEET.host("api9")
