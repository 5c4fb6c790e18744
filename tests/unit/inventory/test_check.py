"""Each rule on an inventory, as data: a healthy base inventory, what a case changes, what must be said."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.inventory import check
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import (
    GIVEN,
    Failure,
    Group,
    Inventory,
    Source,
    declared_by,
)

HERE = Path(__file__).parent
DECLARED = declared_by(
    {
        "argument_specs": {
            "main": {
                "options": {
                    "app_classes": {"type": "dict"},
                    "app_ports": {"type": "dict"},
                    "app_slice": {
                        "type": "dict",
                        "options": {"cpu_quota": {"type": "str"}, "memory_max": {"type": "str"}},
                    },
                    "firewall_enabled": {"type": "bool"},
                    "nginx_pools": {"type": "dict"},
                    "nginx_sites": {"type": "dict"},
                    "nginx_status_listen": {"type": "str"},
                    "nginx_settings": {"type": "dict"},
                }
            }
        }
    }
)
APP = {
    "ports": [8000],
    "release": {"version": "1.0.0", "src": "api-1.0.0.tar.gz", "checksum": "sha256:" + "0" * 64},
    "command": "{release}/bin/serve --port {port}",
}
BASE: dict[str, Any] = {
    "all": {
        "steelyard_profile": "market",
        "steelyard_control_networks": ["192.0.2.0/24"],
        "app_classes": {
            "api": {**deepcopy(APP), "allow_from": ["load_balancers"]},
            "workers": {**deepcopy(APP), "ports": [9000], "allow_from": ["api"]},
        },
        "nginx_pools": {"api": {"class": "api"}},
        "nginx_sites": {"market": {"listen": [80], "pool": "api"}},
    },
    "hosts": {
        "lb1": {"ansible_host": "192.0.2.10"},
        "api1": {"ansible_host": "192.0.2.11"},
        "api2": {"ansible_host": "192.0.2.12"},
        "worker1": {"ansible_host": "192.0.2.13"},
    },
    "groups": {
        "load_balancers": {"hosts": ["lb1"]},
        "api": {"hosts": ["api1", "api2"]},
        "workers": {"hosts": ["worker1"]},
    },
    "sources": {"nginx_pools": "group_vars/all.yml:7"},
}


def build(changes: dict[str, Any]) -> Inventory:
    """Return the base inventory with a case's changes merged in; null takes away."""
    raw = merge(deepcopy(BASE), changes)
    groups = {
        name: Group(name, tuple(g.get("children", ())), tuple(members(raw["groups"], name)))
        for name, g in raw["groups"].items()
    }
    hosts, everything = [], {n: v for n, v in raw["all"].items() if v is not None}
    for name, own in raw["hosts"].items():
        belongs = frozenset(g.name for g in groups.values() if name in g.hosts) | {"all"}
        hosts.append(Host(name, belongs, {**everything, **(own or {})}))
    return Inventory(
        fleet=Fleet(tuple(hosts)),
        names={h.name: frozenset(h.vars) | frozenset(raw.get("other_names", ())) for h in hosts},
        sources={h.name: raw["sources"] for h in hosts},
        failures={h: tuple(Failure(**f) for f in found) for h, found in raw.get("failures", {}).items()},
        secrets=raw.get("secrets", {}),
        secret_values=frozenset(raw.get("secret_values", ())),
        groups={**groups, "all": Group("all", tuple(groups), tuple(raw["hosts"]))},
        limit=raw.get("limit", ""),
        selected=frozenset(raw.get("selected", raw["hosts"])),
        given=tuple(Source(**source) for source in raw.get("given", ())),
        labs=tuple(Source(**source) for source in raw.get("labs", ())),
        reached=raw.get("reached", {}),
    )


def members(groups: dict[str, Any], name: str) -> list[str]:
    group = groups[name]
    return [*group.get("hosts", ()), *(h for c in group.get("children", ()) for h in members(groups, c))]


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            merge(base[key], value)
        elif value is None and key in base:
            del base[key]
        else:
            base[key] = value
    return base


@pytest.mark.parametrize("case", load_cases(HERE / "cases/check"))
def test_rule(case: dict[str, Any]) -> None:
    found = check.problems(build(case.get("inventory", {})), DECLARED, case.get("operation", "site"))
    # What a service says in its own words is held by its own tests: there a case states where and what was seen.
    keys = [set(wanted) for wanted in case["problems"]]
    said = [{k: text for k, text in p.as_dict().items() if k in ks} for p, ks in zip(found, keys, strict=False)]
    assert (len(found), said) == (len(keys), case["problems"])


def test_every_fault_is_said_at_once() -> None:
    faults: list[dict[str, Any]] = [
        {"hosts": {"api2": {"steelyard_lab": "market"}}},
        {"groups": {"apii": {"hosts": ["api2"]}}},
        {"hosts": {"api1": {"steelyard_memory": "8 gigs"}}},
        {"all": {"nginx_pool": {}}},
        {"secrets": {"api1": {"vault_token": "not defined"}}},
    ]
    together: dict[str, Any] = {}
    for fault in faults:
        merge(together, deepcopy(fault))
    alone = {p for fault in faults for p in check.problems(build(fault), DECLARED)}
    assert len(alone) == len(faults)
    assert set(check.problems(build(together), DECLARED)) == alone


@pytest.mark.parametrize("given", ["", "mark", "Market"])
def test_what_destroys_is_confirmed_by_name(given: str) -> None:
    (problem,) = check.confirm_problems("market", given, "remove")
    assert problem == Problem(
        "market",
        "remove destroys, and is confirmed by name",
        f"confirm={given}" if given else "no confirmation",
        "add -e confirm=market if you mean it",
    )
    assert check.confirm_problems("market", "market", "remove") == []


def test_a_stumbling_service_is_an_error_unless_something_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_fleet: Fleet) -> list[Problem]:
        raise TypeError("a bug")

    monkeypatch.setattr(check.services, "problems", stumble)
    with pytest.raises(TypeError, match="a bug"):
        check.problems(build({}), DECLARED)
    assert check.problems(build({"secrets": {"api1": {"vault_token": GIVEN, "vault_key": "empty"}}}), DECLARED)


def test_what_hosts_share_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fleet of hundreds is judged in a moment: no class is read for each host, no pool for each balancer."""
    read: list[str] = []
    for module, name in ((check.services.app, "read_class"), (check.services.nginx, "read_pool")):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, r=real, n=name: read.append(n) or r(*a))
    many = {f"api{n}": {"ansible_host": f"192.0.2.{n}"} for n in range(30, 130)}
    balancers = {f"lb{n}": {"ansible_host": f"192.0.2.{n}"} for n in range(130, 140)}
    groups = {"api": {"hosts": [*many]}, "load_balancers": {"hosts": [*balancers]}}
    assert check.problems(build({"hosts": {**many, **balancers}, "groups": groups}), DECLARED) == []
    assert sorted(read) == ["read_class", "read_class", "read_pool"]
