# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The overlay inventory under `.lab/<name>/`: host variables only, later on the command line than the real one.

It restates every variable that decides how a host is reached, so that nothing of the real inventory's
connection settings survives. The first half is pure.
"""

from __future__ import annotations

import fcntl
import json
import secrets
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from steelyard.lab.image import LOGIN_USER
from steelyard.lab.inventory import MARKER
from steelyard.lab.model import MIB, StandIn
from steelyard.lab.secure import ssh_options, write_private

HEADER = "# Written by `steelyard lab up`; changes are lost at the next one.\n"
SSH_ARGS = "-C -o ControlMaster=auto -o ControlPersist=10m -o ServerAliveInterval=10 -o ServerAliveCountMax=3"

# Set to this value only where the real inventory sets the variable at all: stating them everywhere would
# override what plays and tasks say.
ONLY_WHERE_STATED: dict[str, Any] = {
    "ansible_async_dir": "~/.ansible_async",
    "ansible_become": True,
    "ansible_become_exe": "sudo",
    "ansible_become_flags": "-H -S -n",
    "ansible_become_user": "root",
    "ansible_common_remote_group": "",
    "ansible_pipelining": True,
    "ansible_remote_tmp": "~/.ansible/tmp",
    "ansible_scp_executable": "scp",
    "ansible_sftp_batch_mode": True,
    "ansible_sftp_executable": "sftp",
    "ansible_shell_executable": "/bin/sh",
    "ansible_shell_type": "sh",
    "ansible_ssh_executable": "ssh",
    "ansible_ssh_password_mechanism": "disable",
    "ansible_ssh_pipelining": True,
    "ansible_ssh_retries": 0,
    "ansible_ssh_timeout": 10,
    "ansible_ssh_transfer_method": "smart",
    "ansible_ssh_use_tty": True,
    "ansible_ssh_verbosity": 0,
    "ansible_sshpass_prompt": "",
    "ansible_sudo_chdir": "",
    "ansible_sudo_exe": "sudo",
    "ansible_sudo_flags": "-H -S -n",
    "ansible_sudo_user": "root",
    "ansible_timeout": 10,
}


@dataclass(frozen=True)
class OverlayPlace:
    """Where a lab keeps its files."""

    folder: Path
    control: Path

    @property
    def ssh(self) -> Path:
        """Return the folder of keys and known hosts."""
        return self.folder / ".ssh"

    @property
    def marker(self) -> Path:
        """Return the file that marks the folder as a lab's."""
        return self.folder / MARKER


def host_variables(
    lab: str,
    stand_in: StandIn,
    gateway: IPv4Address,
    place: OverlayPlace,
    generated: Mapping[str, str],
    stated: Iterable[str] = (),
) -> dict[str, Any]:
    """Return all variables of one stand-in. Pure."""
    address, key = str(stand_in.address), str(place.ssh / "id_ed25519")
    options = " ".join(_quoted(option) for option in ssh_options(place.ssh))
    variables: dict[str, Any] = {
        "ansible_connection": "ssh",
        "ansible_host": address,
        "ansible_ssh_host": address,
        "ansible_port": 22,
        "ansible_ssh_port": 22,
        "ansible_user": LOGIN_USER,
        "ansible_ssh_user": LOGIN_USER,
        "ansible_private_key_file": key,
        "ansible_ssh_private_key_file": key,
        "ansible_ssh_args": SSH_ARGS,
        "ansible_ssh_common_args": options,
        "ansible_host_key_checking": True,
        "ansible_ssh_host_key_checking": True,
        "ansible_control_path_dir": str(place.control),
        "ansible_control_path": f"%(directory)s/{address}",
        "ansible_become_method": "sudo",
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    variables |= dict.fromkeys(EMPTY, "")
    variables |= {name: ONLY_WHERE_STATED[name] for name in stated if name in ONLY_WHERE_STATED}
    variables |= {
        "steelyard_lab": lab,
        "steelyard_address": address,
        "steelyard_memory": f"{stand_in.memory // MIB}mb",
        "steelyard_cpus": int(stand_in.cpus) if stand_in.cpus == int(stand_in.cpus) else stand_in.cpus,
        "steelyard_control_networks": [f"{gateway}/32"],
    }
    return variables | dict(generated)


EMPTY = (
    "ansible_become_pass",
    "ansible_become_password",
    "ansible_pass",
    "ansible_password",
    "ansible_private_key",
    "ansible_private_key_passphrase",
    "ansible_scp_extra_args",
    "ansible_sftp_extra_args",
    "ansible_ssh_extra_args",
    "ansible_ssh_pass",
    "ansible_ssh_password",
    "ansible_ssh_pkcs11_provider",
    "ansible_ssh_private_key",
    "ansible_ssh_private_key_passphrase",
    "ansible_sudo_pass",
)


def _quoted(option: str) -> str:
    flag, _, value = option.partition(" ")
    return f"{flag} {shlex.quote(value)}"


# Names no host: an overlay says where the inventory's hosts are, and never adds one that the inventory has no longer.
HOSTS = HEADER + "all: {}\n"


def generated_secrets(names: Iterable[str], existing: Mapping[str, str]) -> dict[str, str]:
    """Return a secret for each name: the one it has, else a new one of 192 random bits."""
    return {name: existing.get(name) or secrets.token_hex(24) for name in names}


def read_secrets(place: OverlayPlace) -> dict[str, str]:
    """Return the secrets that earlier runs of `lab up` made."""
    path = place.folder / ".secrets.json"
    return dict(json.loads(path.read_text())) if path.exists() else {}


def read_marker(place: OverlayPlace) -> dict[str, Any]:
    """Return what the lab's marker says, empty when there is none."""
    return dict(json.loads(place.marker.read_text())) if place.marker.exists() else {}


def update_marker(place: OverlayPlace, **values: Any) -> bool:
    """Add values to the marker; returns whether it changed."""
    content = read_marker(place) | values
    return write_private(place.marker, json.dumps(content, indent=2, sort_keys=True) + "\n")


def require_own(place: OverlayPlace, lab: str, inventory: str) -> None:
    """Raise Refused when the folder is something else than this lab's overlay."""
    if not place.folder.exists():
        return
    marker = read_marker(place)
    if not marker and any(place.folder.iterdir()):
        raise Refused("a lab writes into a folder of its own", str(place.folder), "give another --name, or move it")
    if marker and marker.get("inventory") not in (None, inventory):
        raise Refused(
            "a lab stands in for one inventory",
            f"{lab} belongs to {marker.get('inventory')}",
            f"give --name, or first: steelyard lab down {marker.get('inventory')}",
            inventory,
        )


@contextmanager
def locked(place: OverlayPlace) -> Iterator[None]:
    """Let one command at a time bring this lab up or down; another one waits. Without files there is nothing to guard."""
    if not place.marker.exists():
        yield
        return
    with (place.folder / ".lock").open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_overlay(place: OverlayPlace, variables: Mapping[str, Mapping[str, Any]], made: Mapping[str, str]) -> bool:
    """Write hosts.yml, one private file a host, and the secrets; returns whether anything changed."""
    changed = write_private(place.folder / ".secrets.json", json.dumps(dict(made), indent=2, sort_keys=True) + "\n")
    folder = place.folder / "host_vars"
    for host, own in variables.items():
        document = HEADER + yaml.safe_dump(dict(own), default_flow_style=False, width=1000)
        changed |= write_private(folder / f"{host}.yml", document)
    for path in sorted(folder.glob("*.yml")):
        if path.name.removesuffix(".yml") not in variables:
            path.unlink()
            changed = True
    changed |= write_private(place.folder / "hosts.yml", HOSTS)
    changed |= update_marker(place, addresses={host: str(own["ansible_host"]) for host, own in variables.items()})
    return changed


def forget_hosts(place: OverlayPlace, hosts: Iterable[str]) -> None:
    """Take hosts out of the overlay, whose stand-ins are no longer there."""
    gone = set(hosts)
    for host in gone:
        (place.folder / "host_vars" / f"{host}.yml").unlink(missing_ok=True)
    kept = {host: where for host, where in read_marker(place).get("addresses", {}).items() if host not in gone}
    update_marker(place, addresses=kept)


def remove_overlay(place: OverlayPlace) -> bool:
    """Remove the lab's files, if the folder is marked as a lab's; returns whether it was there."""
    if not place.marker.exists():
        return False
    shutil.rmtree(place.folder)
    if place.folder.parent.name == ".lab" and not any(place.folder.parent.iterdir()):
        place.folder.parent.rmdir()
    return True
