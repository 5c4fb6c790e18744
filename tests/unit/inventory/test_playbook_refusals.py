"""Real `ansible-playbook` on small inventories: what is wrong is refused with its remedy, and no host is contacted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.runs import BIN, Run, run

HERE = Path(__file__).parent
SECRET = "correct-horse-battery"
ARCHIVE = b"what a release is made of"
CHECKSUM = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"
CLASS: dict[str, Any] = {
    "ports": [8000],
    "release": {"version": "1.0.0", "src": "{{ inventory_dir }}/api-1.0.0.tar.gz", "checksum": CHECKSUM},
    "command": "{release}/bin/serve --port {port}",
    "secrets": {"TOKEN": "{{ vault_token }}"},
    "allow_from": ["load_balancers"],
}
GOOD: dict[str, Any] = {
    "all": {
        "vars": {
            "steelyard_control_networks": ["192.0.2.0/24"],
            "steelyard_secrets": ["vault_token"],
            "vault_token": SECRET,
            "app_classes": {"api": CLASS, "workers": {**CLASS, "ports": [9000], "allow_from": ["api"]}},
            "nginx_pools": {"api": {"class": "api"}},
            "nginx_sites": {"market": {"listen": [80], "pool": "api"}},
        },
        "children": {
            "load_balancers": {"hosts": {"lb1": {"ansible_host": "192.0.2.10"}}},
            "api": {
                "hosts": {
                    "api1": {"ansible_host": "192.0.2.11"},
                    "api2": {"ansible_host": "192.0.2.12", "app_state": "leaving"},
                    "api3": {"ansible_host": "192.0.2.13", "steelyard_address": "api3.example.org"},
                }
            },
            "workers": {"hosts": {"worker1": {"ansible_host": "192.0.2.14"}}},
        },
    }
}


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    def start(playbook: str, inventory: dict[str, Any], *words: str) -> Run:
        directory = tmp_path_factory.mktemp("inventory")
        (directory / "api-1.0.0.tar.gz").write_bytes(ARCHIVE)
        (directory / "hosts.yml").write_text(yaml.safe_dump(inventory, sort_keys=False))
        path = HERE / f"playbooks/{playbook}.yml"
        return run(BIN / "ansible-playbook", "-i", directory / "hosts.yml", path, *words, record=directory / "r.jsonl")

    return start


def refusals(done: Run) -> list[dict[str, str]]:
    """Return the problems of a refused run, which contacted nobody."""
    assert done.code == 2, done.output
    assert done.contacted == set()
    assert SECRET not in done.output
    (refused,) = (r for r in done.results if r.get("failed"))
    assert refused["exit_code"] == 2
    assert SECRET not in repr(refused)
    return list(refused["problems"])


def everything_wrong() -> dict[str, Any]:
    inventory = deepcopy(GOOD)
    everywhere, groups = inventory["all"]["vars"], inventory["all"]["children"]
    groups["apii"] = {"hosts": {"api1": None}}
    groups["kafka"] = {"hosts": {"api1": {"kafka_node_id": 1}, "api2": {"kafka_node_id": 1}}}
    groups["api"]["hosts"]["api1"]["steelyard_memory"] = "8 gigs"
    groups["load_balancers"]["hosts"]["lb1"]["nginx_status_listen"] = 80
    groups["load_balancers"]["hosts"]["api3"] = {"nginx_sites": {"market": {"listen": [8000], "pool": "api"}}}
    everywhere["nginx_pools"]["jobs"] = {"class": "batch"}
    everywhere["nginx_pools"]["api"]["metod"] = "least_conn"
    everywhere["nginx_poolz"] = {}
    everywhere["steelyard_secrets"].append("vault_other")
    everywhere["nginx_settings"] = {"worker_connections": "{{ connections }}"}
    return inventory


@pytest.fixture(scope="module")
def wrong(play: Callable[..., Run]) -> list[dict[str, str]]:
    return refusals(play("refuse", everything_wrong()))


@pytest.mark.parametrize(
    ("where", "seen", "remedy"),
    [
        ("group apii", "hosts api1", "did you mean api?"),
        ("api1, api2: kafka_node_id", "1", "give each host an id of its own"),
        ("api1: steelyard_memory", "'8 gigs'", "write it as 512mb, 4gb or 64kb"),
        ("api3", "port 8000 of app api and nginx market", "give app api another port"),
        ("nginx_pools.jobs.class", "batch", "classes are: api, workers"),
        ("nginx_pools.api.metod", "metod", "did you mean method?"),
        ("nginx_poolz", "nginx_poolz", "did you mean nginx_pools?"),
        ("vault_other", "not defined", "put vault_other into a vaulted file"),
        ("nginx_settings.worker_connections", "'connections' is undefined", "define it, or correct its name"),
    ],
)
def test_each_problem_is_told_with_its_remedy(wrong: list[dict[str, str]], where: str, seen: str, remedy: str) -> None:
    found = [p for p in wrong if p["where"].startswith(where) and p["seen"] == seen]
    assert [p["remedy"][: len(remedy)] for p in found] == [remedy], wrong


def test_the_table_is_printed_once(play: Callable[..., Run]) -> None:
    inventory = deepcopy(GOOD)
    inventory["all"]["vars"]["nginx_poolz"] = {}
    done = play("refuse", inventory)
    assert len(refusals(done)) == 1
    assert done.output.count("  where  ") == 1
    assert "did you mean nginx_pools?" in done.output


def test_limit_that_would_lie_and_missing_confirmation(play: Callable[..., Run]) -> None:
    words = ("--limit", "api", "-e", "operation=scale", "-e", "destroys=market", "-e", "confirm=ape")
    limited, unconfirmed = refusals(play("refuse", GOOD, *words))
    assert (limited["where"], limited["seen"]) == ("--limit api", "it leaves out lb1, worker1")
    assert limited["remedy"].startswith("run it without --limit")
    assert (unconfirmed["seen"], unconfirmed["remedy"]) == (
        "confirm=ape",
        "add -e confirm=market if you mean it",
    )


def test_an_archive_that_is_missing_or_another_is_refused_before_contact(play: Callable[..., Run]) -> None:
    inventory = deepcopy(GOOD)
    classes = inventory["all"]["vars"]["app_classes"]
    own = {"version": "1.0.1", "checksum": "sha256:" + "0" * 64}
    classes["api"]["release"] = {**CLASS["release"], **own}
    classes["workers"]["release"] = {**CLASS["release"], "src": "nowhere-1.0.0.tar.gz"}
    other, missing = refusals(play("refuse", inventory))
    assert (other["where"], other["seen"]) == ("api_1.0.0-1.0.1", CHECKSUM)
    assert (missing["rule"], missing["seen"]) == ("the archive is on the control machine", "nowhere-1.0.0.tar.gz")


def test_a_healthy_inventory_passes_and_lookups_answer(play: Callable[..., Run]) -> None:
    done = play("read", GOOD).ok()
    assert done.contacted == set()
    assert set(done.stats) == {"lb1", "api1", "api2", "api3", "worker1"}


def test_hosts_that_do_not_answer_are_told_together(play: Callable[..., Run]) -> None:
    inventory = deepcopy(GOOD)
    for group in inventory["all"]["children"].values():
        for host in group["hosts"].values():
            host |= {"ansible_port": 1, "ansible_host": "127.0.0.1", "ansible_ssh_retries": 0}
    done = play("report", inventory, "-e", '{"dead": ["api2"]}')
    assert done.code != 0
    assert "went on" not in done.output
    (refused,) = (r for r in done.results if r.get("failed"))
    (problem,) = refused["problems"]
    assert problem["where"] == "lb1, api1, api3, worker1: connection"
    assert problem["rule"] == "every host that the operation needs answers"
    assert problem["seen"] == "ssh: connect to host 127.0.0.1 port 1: Connection refused"
    assert "steelyard_state: leaving" in problem["remedy"]


def test_a_refusal_is_told_without_ansibles_own_account(play: Callable[..., Run]) -> None:
    """The table, then one line that says how the run ended; no place in the playbook, which is not what is wrong."""
    inventory = deepcopy(GOOD)
    inventory["all"]["vars"] |= {"nginx_poolz": {}, "app_clases": {}}
    done = play("refuse", inventory)
    assert len(refusals(done)) == 2
    assert "[ERROR]" not in done.output
    assert "Origin:" not in done.output
    assert "2 problems in the inventory; nothing was changed" in done.output
