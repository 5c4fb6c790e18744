"""Each rule on hosts' facts, as data: healthy hosts, what a case changes, what must be said."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.host import judge

HERE = Path(__file__).parent
GIB = 2**30
FACTS: dict[str, Any] = {
    "os": {"id": "debian", "version_id": "13", "codename": "trixie", "arch": "amd64"},
    "memory_bytes": 2 * GIB,
    "cgroup_memory_bytes": None,
    "cpus": 2,
    "cgroup_cpus": None,
    "uid": 0,
    "ssh_peer": "192.0.2.1",
    "clock_skew": 0.0,
    "python": [3, 13],
    "disks": [{"mount": "/", "size": 10 * GIB, "free": 5 * GIB}, {"mount": "/srv", "size": 1, "free": 0}],
    "listening": [{"address": "0.0.0.0", "port": 22, "process": "sshd", "unit": "ssh.service"}],
    "resolve": {},
}
VARIABLES: dict[str, Any] = {
    "steelyard_control_networks": ["192.0.2.0/24"],
    "app_classes": {
        "api": {
            "ports": [8000],
            "release": {"version": "1.0.0", "src": "api-1.0.0.tar.gz", "checksum": "sha256:" + "0" * 64},
            "command": "{release}/bin/serve --port {port}",
            "memory_max": "256mb",
            "allow_from": ["load_balancers"],
        }
    },
    "nginx_pools": {"api": {"class": "api"}},
    "nginx_sites": {"market": {"listen": [80], "pool": "api"}},
}
GROUPS = {"lb1": "load_balancers", "api1": "api", "api2": "api"}


def judged(case: dict[str, Any]) -> tuple[list[dict[str, str]], list[str]]:
    hosts = tuple(
        Host(
            name,
            frozenset({group, "all"}),
            {
                **deepcopy(VARIABLES),
                "ansible_host": f"192.0.2.{10 + number}",
                **case.get("all", {}),
                **case.get("vars", {}).get(name, {}),
            },
        )
        for number, (name, group) in enumerate(GROUPS.items())
    )
    changes = case.get("facts", {})
    facts = {
        name: None if name in changes and changes[name] is None else {**FACTS, **(changes.get(name) or {})}
        for name in GROUPS
    }
    only = case.get("hosts", list(GROUPS))
    operation, allowed = case.get("operation", "site"), case.get("allow_unreachable", [])
    problems = judge.judge(Fleet(hosts), facts, only, operation, allowed, case.get("said"))
    return [p.as_dict() for p in problems], judge.notes(Fleet(hosts), facts, only)


@pytest.mark.parametrize("case", load_cases(HERE / "cases/judge"))
def test_rule(case: dict[str, Any]) -> None:
    problems, notes = judged(case)
    # What a service says in its own words is held by its own tests: there a case states where and what was seen.
    keys = [set(wanted) for wanted in case["problems"]]
    said = [{k: text for k, text in p.items() if k in ks} for p, ks in zip(problems, keys, strict=False)]
    assert (len(problems), said, notes) == (len(keys), case["problems"], case.get("notes", []))


@pytest.mark.parametrize(
    ("said", "short"),
    [
        ("", "no answer"),
        (" \n ", "no answer"),
        ("Missing sudo password", "Missing sudo password"),
        ("Task failed: Missing sudo password", "Missing sudo password"),
        (
            "Task failed: Failed to connect to the host via ssh: Warning: Permanently added '192.0.2.1' (ED25519) to the "
            "list of known hosts.\r\nroot@192.0.2.1: Permission denied (publickey).\r\nmore",
            "root@192.0.2.1: Permission denied (publickey).",
        ),
        ("x" * 120, "x" * 120),
        ("x" * 121, "x" * 119 + "…"),
    ],
)
def test_why_a_host_did_not_answer_in_short(said: str, short: str) -> None:
    assert judge.in_short(said) == short
