"""Clusters, instances and Sentinels out of inventory variables: what is refused, and what is made of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases
from support.redis_fleet import PASSWORD, fleet_of, stated

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Listener
from ansible_collections.steelyard.stack.plugins.module_utils.redis import check, inventory, model
from ansible_collections.steelyard.stack.plugins.module_utils.redis.options import CLUSTER_OPTIONS

REPLICATED = {"mode": "replication", "sentinel": {"group": "monitoring"}, "allow_from": ["api"]}


def _expected(raw: object) -> list[list[str]]:
    """A problem that every one of some hosts has is written once."""
    if isinstance(raw, dict):
        hosts = range(raw["host_from"], raw["to"] + 1)
        return [[f"redis{n}", raw["rule"], raw["seen"], raw["remedy"]] for n in hosts]
    assert isinstance(raw, list)
    return [raw]


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "model_cases"))
def test_case(case: dict[str, Any]) -> None:
    clusters = {name: stated(more) for name, more in case["clusters"].items()}
    found = [[p.where, p.rule, p.seen, p.remedy] for p in check.problems(fleet_of(clusters, case["hosts"]))]
    assert found == [one for raw in case["problems"] for one in _expected(raw)]


def test_variables_of_another_shape_are_said_once_and_not_repeated() -> None:
    for clusters in ("cache", {"cache": "hunter2-hunter2"}, {"cache": stated({"users": "hunter2-hunter2"})}):
        problems = check.problems(fleet_of(clusters, 3))
        assert len(problems) == 1, clusters
        assert "hunter2" not in str(problems)


def test_no_password_is_ever_repeated() -> None:
    raw = stated(
        {"mode": "cluster", "users": {"app": {"password": PASSWORD, "comands": []}}, "sentinel": {"password": PASSWORD}}
    )
    fleet = fleet_of({"cache": raw}, 2)
    assert check.problems(fleet)
    assert PASSWORD not in str(check.problems(fleet))
    good = stated({**REPLICATED, "users": {"app": {"password": PASSWORD}}})
    cluster = inventory.clusters_in(fleet_of({"cache": good}, 3))["cache"]
    assert PASSWORD not in repr(cluster)
    assert PASSWORD not in json.dumps(cluster.as_dict())
    assert cluster.secrets.passwords == {
        "steelyard": PASSWORD,
        "replication": PASSWORD,
        "sentinel": PASSWORD,
        "app": PASSWORD,
    }


def test_instances_are_the_clusters_ports_on_the_hosts_of_its_group() -> None:
    clusters = {"sessions": stated({"mode": "cluster", "ports": [7001, 7000]}), "cache": stated({"group": "api"})}
    hosts = {"redis1": {"steelyard_zone": "a"}, "app1": {"groups": ["api"]}}
    fleet = fleet_of(clusters, hosts)
    found = inventory.instances_of(fleet, fleet.hosts[0])
    assert [i.name for i in found] == ["redis1:7000", "redis1:7001"]
    assert (found[0].zone, found[0].address, found[0].unit, found[0].bus_port) == (
        "a",
        "192.0.2.1",
        "redis@7000.service",
        17000,
    )
    assert [i.name for i in inventory.instances_of(fleet, fleet.hosts[1])] == ["app1:6379"]


def test_a_hosts_own_list_replaces_what_its_groups_give() -> None:
    own = [{"cluster": "sessions", "port": 7005, "state": "leaving"}, {"cluster": "sessions", "port": 7006}]
    fleet = fleet_of({"sessions": stated({"mode": "cluster"}), "cache": stated()}, {"redis1": {"redis_instances": own}})
    found = inventory.instances_of(fleet, fleet.hosts[0])
    assert [(i.cluster, i.port, i.state) for i in found] == [
        ("sessions", 7005, "leaving"),
        ("sessions", 7006, "present"),
    ]


@pytest.mark.parametrize(
    ("host", "own", "state"),
    [
        ({}, "maintenance", "maintenance"),
        ({"steelyard_state": "leaving"}, "present", "leaving"),
        ({"steelyard_state": "leaving", "redis_state": "maintenance"}, "present", "maintenance"),
        ({"redis_state": "maintenance"}, "leaving", "leaving"),
    ],
)
def test_a_leaving_host_takes_its_instances_along(host: dict[str, str], own: str, state: str) -> None:
    listed = [{"cluster": "cache", "port": 6379, "state": own}]
    fleet = fleet_of({"cache": stated()}, {"redis1": {**host, "redis_instances": listed}})
    assert [i.state for i in inventory.instances_of(fleet, fleet.hosts[0])] == [state]


def test_listeners_of_a_cluster_say_who_may_connect() -> None:
    raw = stated(
        {"mode": "cluster", "ports": [7000], "allow_from": ["api"], "allow_from_networks": ["198.51.100.0/24"]}
    )
    fleet = fleet_of({"sessions": raw}, 1)
    assert inventory.listeners(fleet, fleet.hosts[0]) == [
        Listener(7000, "redis sessions", ("redis", "api"), ("198.51.100.0/24",), "192.0.2.1"),
        Listener(17000, "redis sessions bus", ("redis",), (), "192.0.2.1"),
    ]


def test_sentinels_reach_servers_and_are_reached_by_clients() -> None:
    fleet = fleet_of({"cache": stated(REPLICATED)}, {"redis1": {}, "mon1": {"groups": ["monitoring"]}})
    assert inventory.listeners(fleet, fleet.hosts[0]) == [
        Listener(6379, "redis cache", ("redis", "monitoring", "api"), (), "192.0.2.1")
    ]
    assert inventory.listeners(fleet, fleet.hosts[1]) == [
        Listener(26379, "redis sentinel cache", ("monitoring", "redis", "api"), (), "192.0.2.2")
    ]


def test_hosts_without_redis_have_none() -> None:
    fleet = fleet_of({}, 1)
    host = fleet.hosts[0]
    answers = (inventory.listeners(fleet, host), inventory.wanted_instances(fleet, host), check.problems(fleet))
    assert (*answers, inventory.clusters_of(fleet), inventory.wanted_secrets(fleet, host)) == ([], [], [], (), {})


def test_secrets_go_to_the_hosts_that_need_them() -> None:
    hosts = {"redis1": {}, "mon1": {"groups": ["monitoring"]}, "app1": {"groups": ["api"]}}
    fleet = fleet_of({"cache": stated(REPLICATED)}, hosts)
    has = {h.name: sorted(inventory.wanted_secrets(fleet, h)) for h in fleet.hosts}
    assert has == {"redis1": ["cache"], "mon1": ["cache"], "app1": []}


def test_values_survive_json() -> None:
    raw = stated(
        {**REPLICATED, "users": {"app": {"password": PASSWORD, "keys": ["a:*", "%R~b:*"]}}, "settings": {"hz": 20}}
    )
    fleet = fleet_of({"cache": raw}, {"redis1": {}, "redis2": {}, "mon1": {"groups": ["monitoring"]}})
    for spec in inventory.clusters_of(fleet):
        assert model.ClusterSpec.from_dict(json.loads(json.dumps(spec.as_dict()))) == spec
        assert spec.primary == "redis1"
        assert [s.unit for s in spec.sentinel.instances] == ["redis-sentinel@26379.service"] if spec.sentinel else False
    cluster = inventory.clusters_in(fleet)["cache"]
    again = model.Cluster.from_dict(json.loads(json.dumps(cluster.as_dict())), cluster.secrets)
    assert (again, again.secrets) == (cluster, cluster.secrets)
    assert model.Secrets.from_dict(cluster.secrets.as_dict()) == cluster.secrets


def test_the_shards_are_as_many_as_the_staying_instances_make() -> None:
    clusters = {"sessions": stated({"mode": "cluster"})}
    assert inventory.clusters_of(fleet_of(clusters, 7))[0].wanted_shards == 3
    hosts = {f"redis{n}": {"redis_state": "leaving"} if n < 3 else {} for n in range(1, 9)}
    assert inventory.clusters_of(fleet_of(clusters, hosts))[0].wanted_shards == 3


def test_dangerous_commands_are_denied_unless_the_rules_speak_of_them() -> None:
    rules = {
        "plain": (["+@all"], ("+@all", "-@dangerous")),
        "spoken": (["+@read", "+@dangerous"], ("+@read", "+@dangerous")),
        "single": (["+@read", "+keys"], ("+@read", "-@dangerous", "+keys")),
        "named": (["+get"], ("+get",)),
        "words": (["allcommands"], ("+@all", "-@dangerous")),
    }
    users = {name: {"password": PASSWORD, "commands": given} for name, (given, _wanted) in rules.items()}
    found = inventory.clusters_in(fleet_of({"cache": stated({"users": users})}, 1))["cache"].users
    assert {u.name: u.commands for u in found} == {name: wanted for name, (_given, wanted) in rules.items()}


def test_every_option_is_read() -> None:
    """A key that the options know but nobody reads would be taken and do nothing."""
    read = set(model.Cluster.__dataclass_fields__) | {"admin_password", "replication_password"}
    assert set(CLUSTER_OPTIONS) <= read


@given(st.lists(st.integers(1, 4), min_size=3, max_size=12), st.integers(0, 2))
def test_what_is_not_refused_can_be_placed_apart(here: list[int], replicas: int) -> None:
    own = {
        f"redis{n}": {"redis_instances": [{"cluster": "s", "port": 7000 + p} for p in range(count)]}
        for n, count in enumerate(here)
    }
    fleet = fleet_of({"s": stated({"mode": "cluster", "replicas": replicas})}, own)
    if check.problems(fleet):
        return
    spec = inventory.clusters_of(fleet)[0]
    # Deal the instances of the fullest hosts first to the emptiest shards: if no host meets itself, they are apart.
    shards: list[list[str]] = [[] for _shard in range(spec.wanted_shards)]
    for name, count in sorted(zip(own, here, strict=True), key=lambda pair: -pair[1]):
        for shard in sorted(shards, key=len)[:count]:
            shard.append(name)
    assert all(len(shard) == len(set(shard)) == 1 + replicas for shard in shards)


def test_sentinels_need_a_replicated_clusters_password() -> None:
    with pytest.raises(Refused, match="replication_password"):
        inventory.clusters_in(fleet_of({"cache": stated({**REPLICATED, "replication_password": None})}, 3))
