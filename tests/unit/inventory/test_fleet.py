"""From Ansible's variables to plain ones: with Ansible's own inventory and variable managers, without a playbook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import UNKNOWN
from ansible_collections.steelyard.stack.plugins.plugin_utils import fleet

HOSTS = """
all:
  children:
    europe:
      children:
        api:
          hosts:
            api1: {ansible_host: 192.0.2.1, steelyard_zone: a}
            api2: {ansible_host: 192.0.2.2, steelyard_zone: "{{ inventory_hostname[-1] }}"}
    workers:
      hosts:
        worker1: {kafka_node_id: 7, other_thing: not read, app_own: "{{ lookup('env', 'HOME') }}"}
"""
ALL = """
base_name: market
app_classes:
  api:
    ports: [8000]
    quota: 1.5
    debug: true
    nothing:
    release: {src: "/srv/{{ base_name }}-{{ word }}.tar.gz"}
    environment: {HOST: "{{ inventory_hostname }}"}
    secrets: {TOKEN: "{{ vault_token }}"}
word: first
vault_token: hunter22
steelyard_secrets: [vault_token, vault_missing, vault_empty, vault_broken]
vault_empty: ""
vault_broken: "{{ nowhere }}"
"""


@pytest.fixture
def task_vars(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    def make(hosts: str = HOSTS, everywhere: str = ALL, limit: str = "") -> dict[str, Any]:
        (tmp_path / "hosts.yml").write_text(dedent(hosts))
        (tmp_path / "group_vars").mkdir(exist_ok=True)
        (tmp_path / "group_vars/all.yml").write_text(dedent(everywhere))
        loader = DataLoader()
        loader.set_basedir(str(tmp_path))
        inventory = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.yml")])
        if limit:
            inventory.subset(limit)
        manager = VariableManager(loader=loader, inventory=inventory)
        hostvars = HostVars(inventory=inventory, variable_manager=manager, loader=loader)
        groups = inventory.get_groups_dict()
        return {"hostvars": hostvars, "groups": groups, "ansible_limit": limit, "_manager": manager}

    return make


def only_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(type(k) is str and only_plain(v) for k, v in value.items())
    if type(value) is list:
        return all(map(only_plain, value))
    return value is None or type(value) in (str, int, float, bool)


def test_values_are_plain_all_the_way_down(task_vars: Callable[..., dict[str, Any]]) -> None:
    found = fleet.inventory_from_vars(task_vars())
    api1, api2, worker1 = found.fleet.hosts
    assert all(only_plain(h.vars) and type(h.name) is str for h in found.fleet.hosts)
    assert api1.vars["app_classes"]["api"] == {
        "ports": [8000],
        "quota": 1.5,
        "debug": True,
        "nothing": None,
        "release": {"src": "/srv/market-first.tar.gz"},
        "environment": {"HOST": "api1"},
        "secrets": {"TOKEN": "hunter22"},
    }
    assert (api2.zone, api2.address, worker1.vars["kafka_node_id"]) == ("2", "192.0.2.2", 7)
    assert api1.groups == {"all", "api", "europe"}
    assert found.failures == {"api1": (), "api2": (), "worker1": ()}


def test_only_what_steelyard_reads_is_made_but_every_name_is_known(task_vars: Callable[..., dict[str, Any]]) -> None:
    found = fleet.inventory_from_vars(task_vars(everywhere="mine: '{{ nowhere }}'\nsteelyard_x: 1\n"))
    assert "mine" not in found.fleet.hosts[0].vars
    assert {"mine", "steelyard_x"} <= found.names["api1"]
    assert found.sources["api1"]["steelyard_x"].endswith("group_vars/all.yml:2")


def test_groups_and_limit(task_vars: Callable[..., dict[str, Any]]) -> None:
    found = fleet.inventory_from_vars(task_vars(limit="api1"))
    assert (found.limit, found.selected) == ("api1", {"api1"})
    assert found.groups["europe"].children == ("api",)
    assert found.groups["europe"].hosts == ("api1", "api2")


def test_secrets_are_given_or_not_and_their_values_remembered_for_masking(
    task_vars: Callable[..., dict[str, Any]],
) -> None:
    found = fleet.inventory_from_vars(task_vars())
    assert found.secrets["api1"] == {
        "vault_token": "given",
        "vault_missing": "not defined",
        "vault_empty": "empty",
        "vault_broken": "'nowhere' is undefined",
    }
    assert found.secret_values == {"hunter22"}
    assert "hunter22" not in repr(found).replace(repr(found.fleet), "")


def test_an_undefined_variable_is_named_with_its_place(task_vars: Callable[..., dict[str, Any]]) -> None:
    everywhere = "app_classes: {api: {good: 1, memory: '{{ api_memory }}', list: [a, '{{ gone.too }}']}}\n"
    found = fleet.inventory_from_vars(task_vars(everywhere=everywhere))
    assert found.fleet.hosts[0].vars["app_classes"] == {"api": {"good": 1, "memory": UNKNOWN, "list": ["a", UNKNOWN]}}
    first, second = found.failures["api1"]
    assert (first.path, first.seen) == ("app_classes.api.memory", "'api_memory' is undefined")
    assert first.source.endswith("group_vars/all.yml:1")
    assert (second.path, second.seen) == ("app_classes.api.list[1]", "'gone' is undefined")
    assert found.failures["worker1"] == found.failures["api1"]


def test_the_hint_of_an_undef_is_the_remedy(task_vars: Callable[..., dict[str, Any]]) -> None:
    everywhere = """
    app_checksum: "sha256:{{ checksum }}"
    checksum: "{{ undef(hint='api.tar.gz is built by: make build') }}"
    app_bare: "{{ undef() }}"
    """
    bare, hinted = fleet.inventory_from_vars(task_vars(everywhere=dedent(everywhere))).failures["api1"]
    assert (hinted.path, hinted.seen) == ("app_checksum", "no value yet")
    assert hinted.remedy == "api.tar.gz is built by: make build"
    assert bare.remedy == "define it, or correct its name"


def test_a_failing_secret_shows_nothing_of_itself(task_vars: Callable[..., dict[str, Any]]) -> None:
    everywhere = "app_classes: {api: {secrets: {TOKEN: \"{{ 'hunter22' + 1 }}\"}}}\n"
    (failure,) = fleet.inventory_from_vars(task_vars(everywhere=everywhere)).failures["api1"]
    assert failure.path == "app_classes.api.secrets.TOKEN"
    assert "hunter22" not in repr(failure)


def test_what_rests_on_the_same_is_made_once(task_vars: Callable[..., dict[str, Any]]) -> None:
    hosts = fleet.inventory_from_vars(task_vars()).fleet.hosts
    one, other = (h.vars["app_classes"]["api"] for h in hosts[:2])
    assert one["release"] is other["release"]
    assert one["environment"] != other["environment"]


def test_a_template_that_rests_on_another_hosts_own_variable_is_not_shared(
    task_vars: Callable[..., dict[str, Any]],
) -> None:
    everywhere = "word: 'w-{{ steelyard_zone | default(inventory_hostname) }}'\napp_x: {deep: ['{{ word }}']}\n"
    hosts = fleet.inventory_from_vars(task_vars(everywhere=everywhere)).fleet.hosts
    assert [h.vars["app_x"]["deep"] for h in hosts] == [["w-a"], ["w-2"], ["w-worker1"]]


def test_lookups_are_made_for_each_host(task_vars: Callable[..., dict[str, Any]]) -> None:
    everywhere = "app_x: \"{{ lookup('vars', 'word_' ~ 1) }}\"\nword_1: '{{ inventory_hostname }}'\n"
    hosts = fleet.inventory_from_vars(task_vars(everywhere=everywhere)).fleet.hosts
    assert [h.vars["app_x"] for h in hosts] == ["api1", "api2", "worker1"]


def test_a_fleet_makes_values_when_they_are_read(task_vars: Callable[..., dict[str, Any]]) -> None:
    made = fleet.fleet_from_vars(task_vars(everywhere="app_bad: '{{ nowhere }}'\napp_good: '{{ 1 + 1 }}'\n"))
    host = made.host("api1")
    assert host.vars["app_good"] == 2
    assert "app_bad" in host.vars
    assert {"app_bad", "app_good", "ansible_host", "steelyard_zone"} == set(host.vars)
    assert host.vars.get("other_thing") is None
    assert host.vars.get("app_none", 1) == 1
    with pytest.raises(Refused, match=r"api1: app_bad: every variable that a value uses is defined .*'nowhere'"):
        host.vars["app_bad"]


def test_facts_are_not_variables_of_the_inventory(task_vars: Callable[..., dict[str, Any]]) -> None:
    variables = task_vars()
    assert fleet.host_facts(variables) == {"api1": None, "api2": None, "worker1": None}
    variables["_manager"].set_host_facts("api1", {"steelyard_host": {"uid": 0, "os": {"id": "debian"}}})
    assert fleet.host_facts(variables)["api1"] == {"uid": 0, "os": {"id": "debian"}}
    found = fleet.inventory_from_vars(variables)
    assert "steelyard_host" not in found.names["api1"]
    assert "steelyard_host" not in found.fleet.host("api1").vars


def test_the_variables_of_each_host_are_read_once(
    task_vars: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"    api{n}: {{ansible_host: 192.0.2.{n}}}" for n in range(50)]
    variables = task_vars(hosts="\n".join(["api:", "  hosts:", *lines]))
    read: Counter[str] = Counter()
    raw_get = HostVars.raw_get
    monkeypatch.setattr(HostVars, "raw_get", lambda self, name: (read.update([str(name)]), raw_get(self, name))[1])
    assert len(fleet.inventory_from_vars(variables).fleet.hosts) == 50
    assert set(read.values()) == {1}
    assert len(read) == 50
