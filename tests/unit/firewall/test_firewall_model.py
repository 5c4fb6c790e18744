"""From the fleet to the table: who may connect where, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import (
    Rule,
    Table,
    outside,
    problems,
    resolved,
    wanted_table,
)
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host, Listener

CONTROL = {"steelyard_control_networks": ["192.0.2.0/24"]}
SERVES = [Listener(8000, "app api", ("load_balancers",))]


def fleet_of(**more: Any) -> Fleet:
    lb1 = Host("lb1", frozenset({"load_balancers"}), {"ansible_host": "10.0.0.1", **CONTROL})
    lb2 = Host("lb2", frozenset({"load_balancers"}), {"ansible_host": "2001:db8::2", **CONTROL})
    api1 = Host("api1", frozenset({"api"}), {"ansible_host": "10.0.0.5", **CONTROL, **more})
    return Fleet((lb1, lb2, api1))


def table(fleet: Fleet, listeners: list[Listener] = SERVES) -> Table:
    return Table.from_dict(wanted_table(fleet, fleet.host("api1"), listeners))


def texts(found: Table) -> list[str]:
    return [rule.text for rule in found.rules]


def sets(found: Table) -> dict[str, tuple[str, ...]]:
    return {s.name: s.elements for s in found.sets}


def test_peers_are_sets_of_both_families() -> None:
    found = table(fleet_of())
    assert sets(found) == {"load_balancers_v4": ("10.0.0.1",), "load_balancers_v6": ("2001:db8::2",)}
    assert "ip saddr @load_balancers_v4 tcp dport 8000 accept" in texts(found)
    assert "ip6 saddr @load_balancers_v6 tcp dport 8000 accept" in texts(found)
    assert "ip saddr 192.0.2.0/24 tcp dport 22 accept" in texts(found)


def test_a_host_more_changes_elements_and_no_rule() -> None:
    before = fleet_of()
    after = Fleet((*before.hosts, Host("lb3", frozenset({"load_balancers"}), {"ansible_host": "10.0.0.3"})))
    assert table(before).rules == table(after).rules
    assert sets(table(after))["load_balancers_v4"] == ("10.0.0.1", "10.0.0.3")


@pytest.mark.parametrize("key", ["steelyard_state", "nginx_state"])
def test_a_leaving_host_is_apart(key: str) -> None:
    hosts = list(fleet_of().hosts)
    hosts[0] = Host("lb1", hosts[0].groups, {**hosts[0].vars, key: "leaving"})
    found = table(Fleet(tuple(hosts))).sets[0]
    assert (found.elements, found.leaving) == ((), ("10.0.0.1",))


def test_a_group_of_an_application_class_follows_the_application() -> None:
    quotes = Host("q1", frozenset({"quotes"}), {"ansible_host": "10.0.0.9", "app_state": "leaving"})
    fleet = Fleet((*fleet_of().hosts, quotes))
    assert table(fleet, [Listener(1, "x", ("quotes",))]).sets[0].leaving == ("10.0.0.9",)


def test_what_only_this_host_reaches_needs_no_rule() -> None:
    none = [
        Listener(8080, "status", ("api",), (), "127.0.0.1"), Listener(8081, "x", ("api",), (), "::1"),
        Listener(8082, "x", ("api",), (), "localhost"), Listener(8083, "nobody"),
    ]  # fmt: skip
    assert not [t for t in texts(table(fleet_of(), none)) if "dport 80" in t]


def test_everybody() -> None:
    found = texts(table(fleet_of(), [Listener(80, "nginx", (), ("0.0.0.0/0", "::/0"))]))
    assert "meta nfproto ipv4 tcp dport 80 accept" in found
    assert "meta nfproto ipv6 tcp dport 80 accept" in found


def test_the_order_of_listeners_does_not_matter() -> None:
    listeners = [Listener(8001, "b", ("api",)), *SERVES, Listener(80, "c", (), ("10.0.0.0/8", "10.0.0.0/9"))]
    assert table(fleet_of(), listeners) == table(fleet_of(), listeners[::-1])


def test_two_services_on_one_port_do_not_repeat_a_rule() -> None:
    assert texts(table(fleet_of(), [*SERVES, *SERVES])) == texts(table(fleet_of()))


@pytest.mark.parametrize(
    ("more", "port"), [({}, 22), ({"ansible_port": 2222}, 2222), ({"firewall_ssh_ports": [22022]}, 22022)]
)
def test_ssh_port(more: dict[str, Any], port: int) -> None:
    assert f"ip saddr 192.0.2.0/24 tcp dport {port} accept" in texts(table(fleet_of(**more)))


def test_extra_rules() -> None:
    extra = [
        {"port": "9100-9110", "networks": ["198.51.100.7/24"], "name": "exporters"},
        {"port": 53, "proto": "udp", "groups": ["api"]},
    ]
    found = texts(table(fleet_of(firewall_extra_rules=extra)))
    assert "ip saddr 198.51.100.0/24 tcp dport 9100-9110 accept" in found
    assert "ip saddr @api_v4 udp dport 53 accept" in found


@pytest.mark.parametrize("word", [False, "false", "no"])
def test_switched_off(word: object) -> None:
    assert table(fleet_of(firewall_enabled=word, steelyard_control_networks=None)) == Table(enabled=False)


@pytest.mark.parametrize(
    "more",
    [
        {"steelyard_control_networks": []},
        {"steelyard_control_networks": "192.0.2.0/24"},
        {"steelyard_control_networks": ["192.0.2.0/33"]},
        {"firewall_ssh_ports": [0]},
        {"firewall_ssh_ports": ["22 accept"]},
        {"firewall_extra_rules": [{"port": 0, "groups": ["api"]}]},
        {"firewall_extra_rules": [{"port": "9-8", "groups": ["api"]}]},
        {"firewall_extra_rules": [{"port": "1-2-3", "groups": ["api"]}]},
        {"firewall_extra_rules": [{"port": "ssh", "groups": ["api"]}]},
        {"firewall_extra_rules": [{"port": 53, "proto": "icmp", "groups": ["api"]}]},
        {"firewall_extra_rules": [{"port": 53, "groups": ["apis"]}]},
        {"firewall_extra_rules": [{"port": 53, "networks": ["everywhere"]}]},
        {"firewall_extra_rules": [{"port": 53}]},
        {"firewall_extra_rules": [{"prot": 53, "groups": ["api"]}]},
        {"firewall_extra_rules": ["53"]},
        {"firewall_extra_rules": [{"port": 53, "groups": ["api"], "name": 'x" accept #'}]},
    ],
    ids=str,
)
def test_bad_input_is_refused_with_a_remedy(more: dict[str, Any]) -> None:
    fleet = fleet_of(**more)
    found = problems(fleet)
    assert [p.where.split(":")[0] for p in found] == ["api1"] * len(found) != []
    assert all(p.remedy and p.seen for p in found)
    with pytest.raises(Refused):
        wanted_table(fleet, fleet.host("api1"), SERVES)


def test_names_are_resolved_or_refused_together() -> None:
    hosts = [
        Host(f"lb{n}", frozenset({"load_balancers"}), {"ansible_host": f"lb{n}.example", **CONTROL}) for n in (1, 2)
    ]
    found = table(Fleet((*hosts, fleet_of().host("api1"))))
    with pytest.raises(Refused) as caught:
        resolved(found, {"lb1.example": []})
    assert [p.where for p in caught.value.problems] == ["lb1", "lb2"]
    done = resolved(found, {"lb1.example": ["10.0.0.1", "2001:db8::1"], "lb2.example": ["10.0.0.2"]})
    assert sets(done) == {"load_balancers_v4": ("10.0.0.1", "10.0.0.2"), "load_balancers_v6": ("2001:db8::1",)}


def test_the_table_survives_json() -> None:
    raw = wanted_table(fleet_of(), fleet_of().host("api1"), SERVES)
    assert Table.from_dict(raw).as_dict() == raw


@pytest.mark.parametrize(
    ("peer", "out"),
    [
        ("192.0.2.9", False),
        ("::ffff:192.0.2.9", False),
        ("192.0.3.1", True),
        ("fe80::1%eth0", True),
        ("2001:db8::1", True),
    ],
)
def test_outside(peer: str, out: bool) -> None:
    assert outside(peer, ["192.0.2.0/24"]) is out


def test_a_rule_is_known_by_its_text() -> None:
    assert Rule("a", "x").comment != Rule("a", "y").comment
    assert len(Rule("a" * 300, "x").comment) <= 128
