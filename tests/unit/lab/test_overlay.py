# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The overlay: it decides alone how a host is reached, it is private, and it is stable."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.plugins.become import sudo
from ansible.plugins.connection import ssh

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from steelyard.lab import overlay, secure
from steelyard.lab.inventory import MARKER
from steelyard.lab.model import MIB, StandIn
from steelyard.lab.overlay import OverlayPlace

GATEWAY = IPv4Address("10.213.0.1")
API1 = StandIn("api1", ("api",), IPv4Address("10.213.0.10"), 512 * MIB, 2.0, "trixie")


@pytest.fixture
def place(tmp_path: Path) -> OverlayPlace:
    return OverlayPlace(tmp_path / ".lab" / "market", tmp_path / "cp")


def variables_of_plugins() -> set[str]:
    """Every variable that Ansible's ssh and sudo plugins look at."""
    found = set()
    for plugin in (ssh, sudo):
        for option in yaml.safe_load(plugin.DOCUMENTATION)["options"].values():
            found |= {entry["name"] for entry in option.get("vars", ())}
    return {name for name in found if name.startswith("ansible_")}


def test_every_connection_variable_of_ansible_is_decided(place: OverlayPlace) -> None:
    known = variables_of_plugins()
    assert len(known) > 30
    own = overlay.host_variables("market", API1, GATEWAY, place, {}, stated=known)
    assert sorted(known - set(own)) == []


def test_what_plays_say_is_not_overridden_unless_the_real_inventory_does(place: OverlayPlace) -> None:
    own = overlay.host_variables("market", API1, GATEWAY, place, {})
    assert not set(own) & set(overlay.ONLY_WHERE_STATED)
    stated = overlay.host_variables("market", API1, GATEWAY, place, {}, stated=["ansible_become", "ansible_other"])
    assert stated["ansible_become"] is True
    assert "ansible_other" not in stated


def ansible_list(*inventories: Path) -> dict[str, Any]:
    command = Path(sys.executable).with_name("ansible-inventory")
    argv = [str(command), "--list"] + [f"--inventory={path}" for path in inventories]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_it_wins_over_the_real_inventory_and_adds_no_host(tmp_path: Path, place: OverlayPlace) -> None:
    real = tmp_path / "real"
    (real / "host_vars").mkdir(parents=True)
    (real / "group_vars").mkdir()
    inline = {"ansible_host": "192.0.2.11", "ansible_user": "root"}
    (real / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": {"api": {"hosts": {"api1": inline}}}}}))
    (real / "host_vars" / "api1.yml").write_text("ansible_host: 192.0.2.12\nvault_token: real\nansible_become: false\n")
    (real / "group_vars" / "all.yml").write_text("ansible_ssh_common_args: -J bastion\nsteelyard_memory: 64gb\n")
    own = overlay.host_variables("market", API1, GATEWAY, place, {"vault_token": "made"}, stated=["ansible_become"])
    overlay.write_overlay(place, {"api1": own}, {"vault_token": "made"})
    secure.write_private(place.ssh / "known_hosts", "x")
    overlay.update_marker(place, lab="market", inventory=str(real))
    listing = ansible_list(real, place.folder)
    seen = listing["_meta"]["hostvars"]["api1"]
    assert seen["ansible_host"] == "10.213.0.10"
    assert seen["ansible_user"] == "operator"
    assert "bastion" not in seen["ansible_ssh_common_args"]
    assert seen["vault_token"] == "made"
    assert seen["steelyard_memory"] == "512mb"
    assert seen["ansible_become"] is True
    assert seen["steelyard_control_networks"] == ["10.213.0.1/32"]
    assert set(listing["_meta"]["hostvars"]) == {"api1"}
    assert listing["api"]["hosts"] == ["api1"]


def test_files_are_private_stable_and_leave_with_their_host(place: OverlayPlace) -> None:
    own = overlay.host_variables("market", API1, GATEWAY, place, {"vault_a": "s"})
    assert overlay.write_overlay(place, {"api1": own, "api2": own}, {"vault_a": "s"})
    assert not overlay.write_overlay(place, {"api1": own, "api2": own}, {"vault_a": "s"})
    modes = {path.stat().st_mode & 0o777 for path in place.folder.rglob("*") if path.is_file()}
    assert modes == {0o600}
    assert overlay.write_overlay(place, {"api1": own}, {"vault_a": "s"})
    assert [path.name for path in (place.folder / "host_vars").iterdir()] == ["api1.yml"]


def test_hosts_without_a_stand_in_are_forgotten(place: OverlayPlace) -> None:
    variables = {
        name: overlay.host_variables("market", replace(API1, host=name), GATEWAY, place, {})
        for name in ("api1", "api2")
    }
    overlay.write_overlay(place, variables, {})
    assert overlay.read_marker(place)["addresses"] == {"api1": "10.213.0.10", "api2": "10.213.0.10"}
    overlay.forget_hosts(place, ["api2", "never"])
    assert [path.name for path in (place.folder / "host_vars").iterdir()] == ["api1.yml"]
    assert list(overlay.read_marker(place)["addresses"]) == ["api1"]


def test_secrets_are_kept_and_new_ones_made(place: OverlayPlace) -> None:
    first = overlay.generated_secrets(["a"], {})
    assert len(first["a"]) == 48
    second = overlay.generated_secrets(["a", "b"], first)
    assert second["a"] == first["a"]
    assert second["b"] != second["a"]


def test_keys_are_made_once(place: OverlayPlace) -> None:
    line = secure.ensure_key(place.ssh)
    assert line.startswith("ssh-ed25519 ")
    assert secure.ensure_key(place.ssh) == line
    said = subprocess.run(
        ["ssh-keygen", "-y", "-f", place.ssh / "id_ed25519"], capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[:2] == line.split()[:2]


def test_known_hosts_name_addresses_only() -> None:
    keys = {
        IPv4Address("10.213.0.11"): "ssh-ed25519 BBB root@x",
        IPv4Address("10.213.0.10"): "ssh-ed25519 AAA root@y\n",
    }
    assert secure.known_hosts(keys) == "10.213.0.10 ssh-ed25519 AAA\n10.213.0.11 ssh-ed25519 BBB\n"


@pytest.mark.parametrize("home", ["/home/u", "/home/" + "long" * 20])
def test_control_paths_fit_into_a_socket_address(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path(home))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    folder = secure.control_directory(Path("/some/where/.lab/market"))
    assert len(str(folder)) + secure.LONGEST_NAME + secure.SSH_SUFFIX <= secure.SOCKET_LIMIT


def test_a_folder_that_is_no_labs_is_left_alone(place: OverlayPlace) -> None:
    place.folder.mkdir(parents=True)
    (place.folder / "precious").write_text("x")
    with pytest.raises(Refused):
        overlay.require_own(place, "market", "/inv")
    assert not overlay.remove_overlay(place)
    assert (place.folder / "precious").exists()


def test_another_inventorys_lab_is_refused(place: OverlayPlace) -> None:
    overlay.update_marker(place, lab="market", inventory="/a")
    overlay.require_own(place, "market", "/a")
    with pytest.raises(Refused, match="belongs to /a"):
        overlay.require_own(place, "market", "/b")


def test_removing_takes_the_overlay_alone(place: OverlayPlace) -> None:
    overlay.update_marker(place, lab="market", inventory="/a")
    beside = place.folder.parent / "other"
    beside.mkdir()
    (beside / MARKER).write_text("{}")
    assert overlay.remove_overlay(place)
    assert not place.folder.exists()
    assert beside.exists()
