# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lab takes from an inventory: parsing case by case, and Ansible's own reader on real files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size
from steelyard.lab.inventory import MARKER, VaultOptions, parse_inventory, read_inventory
from steelyard.lab.model import Inventory

CASES = Path(__file__).parent / "cases" / "inventory"


@pytest.mark.parametrize("case", load_cases(CASES))
def test_case(case: dict[str, Any]) -> None:
    if "refusal" in case:
        with pytest.raises(Refused) as caught:
            parse_inventory("/inv", case["listing"])
        for words in case["refusal"]:
            assert words in str(caught.value)
        return
    inventory = parse_inventory("/inv", case["listing"])
    wanted = case["steps"]
    assert [host.name for host in inventory.hosts] == sorted(wanted["hosts"])
    for host in inventory.hosts:
        own = wanted["hosts"][host.name]
        assert list(host.groups) == own["groups"]
        assert host.os == own["os"]
        assert host.lab_memory == (parse_size(own["lab_memory"]) if "lab_memory" in own else None)
        assert host.stated_memory == (parse_size(own["stated_memory"]) if "stated_memory" in own else None)
        assert host.lab_cpus == own.get("lab_cpus")
    assert list(inventory.secrets) == wanted["secrets"]
    assert [str(address) for address in inventory.addresses] == wanted["addresses"]


def test_connection_variables_of_the_real_inventory_are_noted() -> None:
    listing = {"all": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {"ansible_ssh_pass": "x", "other": 1}}}}
    assert parse_inventory("/inv", listing).hosts[0].connection_variables == ("ansible_ssh_pass",)


def test_ansible_reads_it(tmp_path: Path) -> None:
    (tmp_path / "hosts.yml").write_text("all: {children: {api: {hosts: {api1: {ansible_host: 192.0.2.7}}}}}\n")
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "api.yml").write_text("lab_memory: 256mb\n")
    inventory = read_inventory(tmp_path, VaultOptions())
    host = inventory.host("api1")
    assert host is not None
    assert host.groups == ("api",)
    assert host.lab_memory == 256 * 2**20


def test_further_sources_add_hosts(tmp_path: Path) -> None:
    more = tmp_path / "more.yml"
    (tmp_path / "hosts.yml").write_text("all: {children: {api: {hosts: {api1: {lab_memory: 256mb}}}}}\n")
    more.write_text("all: {children: {api: {hosts: {api2: {lab_memory: 128mb}}}}}\n")
    inventory = read_inventory(tmp_path / "hosts.yml", VaultOptions(), (more,))
    assert {h.name: h.groups for h in inventory.hosts} == {"api1": ("api",), "api2": ("api",)}
    with pytest.raises(Refused):
        read_inventory(tmp_path / "hosts.yml", VaultOptions(), (tmp_path / "missing.yml",))


@pytest.mark.parametrize(
    ("content", "words"),
    [("all: [", "Ansible can read the inventory"), ("all: {hosts: {}}", "has hosts")],
    ids=["not YAML", "no hosts"],
)
def test_a_bad_one_is_refused(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "hosts.yml").write_text(content)
    with pytest.raises(Refused) as caught:
        read_inventory(tmp_path / "hosts.yml", VaultOptions())
    assert words in str(caught.value)


def test_a_vaulted_one_without_a_password_says_what_to_give(tmp_path: Path) -> None:
    from ansible.parsing.vault import VaultLib, VaultSecret

    (tmp_path / "hosts.yml").write_text("all: {hosts: {api1: {}}}\n")
    (tmp_path / "group_vars").mkdir()
    vault = VaultLib([("default", VaultSecret(b"word"))])
    (tmp_path / "group_vars" / "all.yml").write_bytes(vault.encrypt(b"steelyard_secrets: [vault_token]\n"))
    with pytest.raises(Refused) as caught:
        read_inventory(tmp_path, VaultOptions())
    assert "--vault-password-file" in str(caught.value)
    (tmp_path / ".password").write_text("word\n")
    given = VaultOptions(password_files=(str(tmp_path / ".password"),))
    assert read_inventory(tmp_path, given).secrets == ("vault_token",)


def test_a_lab_is_no_inventory_for_a_lab(tmp_path: Path) -> None:
    (tmp_path / MARKER).write_text("{}")
    with pytest.raises(Refused, match="overlay"):
        read_inventory(tmp_path, VaultOptions())


def read(folder: Path, hosts: dict[str, dict[str, Any]], **everywhere: Any) -> Inventory:
    everything = {"steelyard_control_networks": ["192.0.2.0/24"], **everywhere}
    document = {"all": {"children": {"api": {"hosts": hosts}}, "vars": everything}}
    (folder / "hosts.yml").write_text(yaml.safe_dump(document))
    return read_inventory(folder, VaultOptions())


A_B = {"a": {"ansible_host": "192.0.2.7"}, "b": {"ansible_host": "192.0.2.8"}}


@pytest.mark.parametrize(
    ("change", "where", "seen"),
    [
        ({"b": {"ansible_host": "192.0.2.7"}}, "a, b", "192.0.2.7"),
        ({"steelyard_address": "{{ 'one.example.org' }}"}, "a, b", "one.example.org"),
        ({"steelyard_control_networks": ["192.0.2.0/33"]}, "steelyard_control_networks", "'192.0.2.0/33'"),
        ({"steelyard_control_networks": []}, "steelyard_control_networks", "()"),
    ],
)
def test_what_an_overlay_would_hide_is_found(tmp_path: Path, change: dict[str, Any], where: str, seen: str) -> None:
    hosts = A_B | {name: value for name, value in change.items() if name in A_B}
    everywhere = {name: value for name, value in change.items() if name not in A_B}
    (problem, *more) = read(tmp_path, hosts, **everywhere).hidden
    assert (where in problem.where, problem.seen, more) == (True, seen, [])
    assert problem.remedy


def test_what_a_rehearsal_shows_itself_is_left_to_it(tmp_path: Path) -> None:
    """Missing secrets and releases that are not built yet do not keep anybody from bringing a lab up."""
    own = {
        "steelyard_address": "{{ ansible_host }}",
        "steelyard_secrets": ["vault_token"],
        "nginx_poolz": {},
        "app_slice": {"memory_max": "{{ undef(hint='build it') }}"},
    }
    inventory = read(tmp_path, A_B, **own)
    assert inventory.hidden == ()
    assert inventory.secrets == ("vault_token",)
    assert {host.groups for host in inventory.hosts} == {("api",)}
