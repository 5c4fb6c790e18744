"""What the inventory wants, by cases: the members it makes, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sites import Listen, Site, listen_directives

CLASSES = {
    "api": {
        "ports": [8000],
        "release": {"version": "1", "src": "/api-1.tar.gz", "checksum": "sha256:" + "0" * 64},
        "command": "{release}/bin/api",
        "health": "/healthz",
        "readiness": "/readyz",
        "allow_from": ["load_balancers"],
    }
}


def fleet(variables: dict[str, Any], hosts: dict[str, Any], balancer: dict[str, Any] | None = None) -> Fleet:
    common = {"app_classes": CLASSES, **variables}
    names = {"api1": {}, "api2": {}, **hosts}
    found = [Host("lb1", frozenset({"load_balancers"}), {**common, **(balancer or {})})]
    for name, own in names.items():
        found.append(Host(name, frozenset({"api"}), {"ansible_host": f"10.0.0.{name[-1]}", **common, **own}))
    return Fleet(tuple(found))


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "model"))
def test_case(case: dict[str, Any]) -> None:
    found = fleet(case["vars"], case.get("hosts", {}), case.get("balancer"))
    said = [str(p) for p in model.problems(found)]
    assert len(said) == len(case["problems"]), said
    for problem, expected in zip(said, case["problems"], strict=True):
        assert expected in problem
    if "members" in case:
        (pool,) = model.wanted_pools(found)
        assert [f"{m.name} {m.state}" for m in pool.members] == case["members"]


POOLS = {"nginx_pools": {"api": {"class": "api", "drain_deadline": "2m"}}}


def test_a_pool_asks_its_members_whether_they_are_ready() -> None:
    (pool,) = model.wanted_pools(fleet(POOLS, {}))
    assert (pool.health, pool.drain_deadline) == ("/readyz", 120)


def test_an_address_is_written_in_its_canonical_text() -> None:
    (pool,) = model.wanted_pools(fleet(POOLS, {"api1": {"ansible_host": "2001:0DB8:0::0001"}}))
    assert pool.members[0].endpoint == "[2001:db8::1]:8000"


def test_a_pool_knows_every_host_of_the_inventory() -> None:
    (pool,) = model.wanted_pools(fleet(POOLS, {"api3": {"app_ports": {"api": []}}}))
    assert pool.known_hosts == ("lb1", "api1", "api2", "api3")


def test_pools_survive_json() -> None:
    found = fleet(POOLS, {})
    (raw,) = model.wanted_pools_json(found, found.host("lb1"))
    assert Pool.from_dict(raw) == model.wanted_pools(found)[0]


def test_an_application_host_has_no_pools_to_keep() -> None:
    found = fleet(POOLS, {})
    assert model.listeners(found, found.host("api1")) == []
    assert model.wanted_pools(Fleet()) == ()


@pytest.mark.parametrize(
    ("method", "directive", "rotates"),
    [
        ("round_robin", "", True), ("least_conn", "least_conn;", True), ("ip_hash", "ip_hash;", False),
        ("random two least_conn", "random two least_conn;", True),
        ("hash  $arg_customer   consistent", "hash $arg_customer consistent;", False),
    ],
)  # fmt: skip
def test_methods(method: str, directive: str, rotates: bool) -> None:
    (pool,) = model.wanted_pools(fleet({"nginx_pools": {"api": {"class": "api", "method": method}}}, {}))
    assert (pool.directive, pool.rotates) == (directive, rotates)


def test_weight_and_backup_are_the_hosts_own() -> None:
    (pool,) = model.wanted_pools(fleet(POOLS, {"api1": {"nginx_weight": 3}, "api2": {"nginx_backup": True}}))
    assert [s.directive() for s in pool.servers()] == [
        "server 10.0.0.1:8000 weight=3 max_fails=3 fail_timeout=30s;",
        "server 10.0.0.2:8000 max_fails=3 fail_timeout=30s backup;",
    ]


def test_listeners_say_who_may_come() -> None:
    site = {"pool": "api", "listen": [80, "10.0.0.9:81"], "allow_from_networks": ["0.0.0.0/0"], "allow_from": ["api"]}
    found = fleet({**POOLS, "nginx_sites": {"market": site}}, {})
    http, other, status = model.listeners(found, found.host("lb1"))
    assert (http.port, http.address, http.networks, http.groups) == (80, "", ("0.0.0.0/0",), ("api",))
    assert (other.port, other.address) == (81, "10.0.0.9")
    assert (status.port, status.address, status.groups) == (8080, "127.0.0.1", ("monitoring",))


@pytest.mark.parametrize(
    ("text", "address", "port"), [(80, "", 80), ("0.0.0.0:80", "0.0.0.0", 80), ("[::1]:8080", "::1", 8080)]
)
def test_listen(text: object, address: str, port: int) -> None:
    assert Listen.parse(text) == Listen(port, address)


@pytest.mark.parametrize("text", ["", "0", "65536", "::1", "host:80", "1.2.3:80", "80;"])
def test_listen_refuses(text: str) -> None:
    with pytest.raises(Refused):
        Listen.parse(text)


def test_options_of_an_address_are_given_once() -> None:
    sites = [
        Site("one", "api", (Listen(80),), ("a.example",)),
        Site("two", "api", (Listen(80), Listen(81, "10.0.0.9")), ("_",)),
        Site("three", "api", (Listen(82),), ("c.example",)),
    ]
    found = listen_directives(sites, 511)
    assert found["sites"]["one"] == ["80 backlog=511", "[::]:80 backlog=511"]
    assert found["sites"]["two"] == [
        "80 default_server",
        "[::]:80 default_server",
        "10.0.0.9:81 default_server backlog=511",
    ]
    assert found["nobody"] == ["82 default_server", "[::]:82 default_server"]
    assert listen_directives(sites[2:], 511, ipv6=False)["sites"]["three"] == ["82 backlog=511"]
    assert not any("reuseport" in words for places in found["sites"].values() for words in places)
