# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The guard of rehearsals on real `ansible-playbook` runs: every playbook has it, and nobody is contacted."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.runs import BIN, ROOT, Run, run

from ansible_collections.steelyard.stack.plugins.plugin_utils.labs import labs_of, source_at, sources_of

PLAYBOOKS = sorted(path.name for path in (ROOT / "playbooks").glob("*.yml"))
HOSTS: dict[str, Any] = {
    "load_balancers": {"hosts": {"lb1": {"ansible_host": "192.0.2.10"}}},
    "api": {"hosts": {"api1": {"ansible_host": "192.0.2.11"}}},
    "all": {"vars": {"steelyard_control_networks": ["192.0.2.0/24"]}},
}
ADDRESSES = {"lb1": "127.0.0.2", "api1": "127.0.0.3"}


class Place:
    """Inventories and overlays in a folder, as `steelyard lab up` leaves them; no machine is behind them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def inventory(self, name: str, hosts: dict[str, Any]) -> Path:
        path = self.folder / "inventories" / name
        path.mkdir(parents=True)
        (path / "hosts.yml").write_text(yaml.safe_dump(hosts))
        return path

    def overlay(self, name: str, stands_for: Path, addresses: dict[str, str]) -> Path:
        path = self.folder / ".lab" / name
        (path / "host_vars").mkdir(parents=True)
        (path / "hosts.yml").write_text("all: {}\n")
        for host, address in addresses.items():
            # Port 1 answers nobody, so that a guard that fails shows as an unreachable host.
            own = {"steelyard_lab": name, "ansible_host": address, "ansible_port": 1, "ansible_ssh_retries": 0}
            (path / "host_vars" / f"{host}.yml").write_text(yaml.safe_dump(own))
        marker = {"lab": name, "inventory": str(stands_for), "addresses": addresses}
        (path / ".steelyard-lab.json").write_text(json.dumps(marker))
        return path

    def play(self, playbook: str, *words: str | Path, **variables: str) -> Run:
        extra = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
        path = ROOT / "playbooks" / playbook
        sources = [word for source in words for word in ("-i", source)]
        return run(BIN / "ansible-playbook", *sources, path, *extra, record=self.folder / "record.jsonl")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("kind", ["hosts", "hosts.yml", "linked", "folder"])
def test_a_lab_knows_its_inventory_however_it_is_named(tmp_path: Path, kind: str) -> None:
    """A file without a suffix is one (INI, a script), and so is a link to one elsewhere."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "hosts").write_text("api1\n")
    (shop / "hosts.yml").write_text("api: {hosts: {api1: {}}}\n")
    (tmp_path / "linked").symlink_to(shop / "hosts")
    given = {"folder": shop, "linked": tmp_path / "linked"}.get(kind, shop / kind)
    # What `steelyard lab up` notes of that inventory.
    overlay = Place(tmp_path).overlay("shop", given.resolve(), ADDRESSES)
    assert source_at(overlay).stands_for == source_at(given).place == str(shop)


def test_a_long_list_of_hosts_is_no_file() -> None:
    assert sources_of({"ansible_inventory_sources": [",".join(f"api{n}.example.org" for n in range(99))]}) == ()


def refused(done: Run) -> list[dict[str, str]]:
    """Return the problems of a run that contacted nobody."""
    assert done.code == 2, done.output
    assert done.contacted == set()
    (problems,) = (r["problems"] for r in done.results if r.get("failed"))
    return list(problems)


def test_there_are_playbooks() -> None:
    assert {"site.yml", "scale.yml", "verify.yml", "rolling_restart.yml", "unlock.yml"} <= set(PLAYBOOKS)


def test_a_mix_of_machines_and_stand_ins_is_refused(place: Place) -> None:
    shop = place.inventory("shop", HOSTS)
    lab = place.overlay("shop", shop, {"api1": "127.0.0.3"})
    problems = refused(place.play("site.yml", shop, lab))
    assert ("steelyard_lab", "lab shop has no lb1") in {(p["where"], p["seen"]) for p in problems}


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_every_playbook_refuses_the_lab_of_another_inventory(place: Place, playbook: str) -> None:
    shop, market = place.inventory("shop", HOSTS), place.inventory("market", HOSTS)
    lab = place.overlay("market", market, ADDRESSES)
    problems = refused(place.play(playbook, shop, lab, confirm="main"))
    (problem,) = (p for p in problems if p["where"].startswith("-i "))
    assert problem["seen"] == f"lab market stands in for {market}, and this run is of {shop}"
    assert f"steelyard lab up {shop}" in problem["remedy"]


def test_the_overlay_comes_last_and_is_not_overridden(place: Place) -> None:
    shop = place.inventory("shop", HOSTS)
    lab = place.overlay("shop", shop, ADDRESSES)
    (order, *_rest) = refused(place.play("verify.yml", lab, shop))
    assert order["remedy"] == f"put -i {lab} at the end"
    same = place.play("verify.yml", shop, lab, ansible_port="1")  # what the overlay says, as text
    assert same.contacted == {"lb1", "api1"}
    elsewhere = refused(place.play("verify.yml", shop, lab, ansible_host="192.0.2.99"))
    assert {"lb1: ansible_host", "api1: ansible_host"} <= {p["where"] for p in elsewhere}


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [("ansible_connection", "local", ""), ("ansible_port", "2222", "1"), ("ansible_ssh_executable", "/opt/hop", "")],
)
def test_nothing_else_of_the_connection_is_overridden(place: Place, name: str, value: str, own: str) -> None:
    shop = place.inventory("shop", HOSTS)
    lab = place.overlay("shop", shop, ADDRESSES)
    problem = refused(place.play("verify.yml", shop, lab, **{name: value}))[0]
    assert (problem["where"], problem["seen"]) == (name, value)
    assert problem["rule"] == f"a stand-in is reached as its lab says, {own or 'without this variable'}"


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_an_overlay_alone_is_refused_by_every_playbook(place: Place, playbook: str) -> None:
    """It names no host: without a rule the run would do nothing, and end as if all were well."""
    shop = place.inventory("shop", HOSTS)
    lab = place.overlay("shop", shop, ADDRESSES)
    (problem,) = refused(place.play(playbook, lab))
    assert (problem["rule"], problem["seen"]) == ("an inventory has hosts", f"none in -i {lab}")
    assert problem["remedy"] == f"give the inventory before its lab: -i {shop} -i {lab}"


def test_a_host_whose_line_was_deleted_is_gone_from_the_rehearsal(place: Place) -> None:
    """Its stand-in may still run; the overlay never adds it to a run."""
    fewer = deepcopy(HOSTS)
    del fewer["api"]["hosts"]["api1"]
    shop = place.inventory("shop", fewer)
    done = run(BIN / "ansible", "-i", shop, "-i", place.overlay("shop", shop, ADDRESSES), "all", "--list-hosts")
    assert done.ok().output.split()[-1] == "lb1"
    assert "api1" not in done.output


def test_a_forgotten_lab_is_told_before_contact_and_where_nobody_answers(place: Place) -> None:
    hosts = deepcopy(HOSTS)
    for group, name in (("load_balancers", "lb1"), ("api", "api1")):
        hosts[group]["hosts"][name] = {"ansible_host": "127.0.0.1", "ansible_port": 1, "ansible_ssh_retries": 0}
    hosts["api"]["hosts"]["api1"]["steelyard_address"] = "192.0.2.11"
    shop = place.inventory("shop", hosts)
    lab = place.overlay("shop", shop, ADDRESSES)
    assert labs_of((source_at(shop), source_at(lab))) == (source_at(lab),)
    # The lab is looked for where the run is started.
    start = ("env", "-C", place.folder, f"ANSIBLE_CONFIG={ROOT / 'ansible.cfg'}", BIN / "ansible-playbook", "-i", shop)
    done = run(*start, ROOT / "playbooks/verify.yml")
    assert "this run is of the real machines; a rehearsal of it adds -i .lab/shop at the end" in done.output
    report = ROOT / "tests/unit/inventory/playbooks/report.yml"
    done = run(*start, report, record=place.folder / "record.jsonl")
    assert "did you forget -i .lab/shop?" in " ".join(done.output.split())
