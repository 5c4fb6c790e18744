# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading an inventory: Ansible's own reader in a process of its own, then pure parsing of what it says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import units
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from steelyard.lab.image import SUITES
from steelyard.lab.model import MIB, Inventory, WantedHost

MARKER = ".steelyard-lab.json"
HIDDEN = "_steelyard_hidden"  # where listing.py puts its problems
NO_GROUPS = ("_meta", "all", "ungrouped", HIDDEN)
READ_DEADLINE = 120  # seconds; a dynamic inventory may ask elsewhere, but not for ever
SMALLEST = 64 * MIB


@dataclass(frozen=True)
class VaultOptions:
    """The vault options that Ansible's own commands take, passed through as they are."""

    ids: tuple[str, ...] = ()
    password_files: tuple[str, ...] = ()
    ask: bool = False

    def argv(self) -> list[str]:
        """Return them as command line arguments of an Ansible command."""
        argv = [f"--vault-id={value}" for value in self.ids]
        argv += [f"--vault-password-file={value}" for value in self.password_files]
        return argv + (["--ask-vault-password"] if self.ask else [])


def read_inventory(path: Path, vault: VaultOptions, also: Sequence[Path] = ()) -> Inventory:
    """Read the inventory at `path`, and what further sources add to it, with Ansible.

    Raises Refused when one of them is none or is a lab's own.
    """
    for source in (path, *also):
        if not source.exists():
            rule = "the inventory is a file or a folder"
            raise Refused(rule, str(source), "name one, for example inventories/market")
        if (source / MARKER).exists():
            seen = f"{source} is a lab's own overlay"
            raise Refused("a lab stands in for a real inventory", seen, "name the real one")
    return parse_inventory(str(path.resolve()), _ansible_list((path, *also), vault))


def _ansible_list(paths: Sequence[Path], vault: VaultOptions) -> dict[str, Any]:
    sources = [argument for path in paths for argument in ("--inventory", str(path))]
    argv = [sys.executable, "-m", "steelyard.lab.listing", *sources, "--list", *vault.argv()]
    environment = os.environ | {
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
        "ANSIBLE_NOCOLOR": "true",
    }
    try:
        # A question for the vault's password goes to the terminal, not to standard error.
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=READ_DEADLINE, check=False)
    except subprocess.TimeoutExpired as err:
        raise Refused("the inventory can be read", f"no answer in {READ_DEADLINE} s", "look at its plugins") from err
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()[-3:]
        remedy = f"see: ansible-inventory -i {' -i '.join(map(str, paths))} --list"
        if "vault" in done.stderr.lower():
            remedy = "give --vault-password-file, --vault-id or --ask-vault-password"
        raise Refused("Ansible can read the inventory", " ".join(said)[:400], remedy, str(paths[0]))
    listing: dict[str, Any] = json.loads(done.stdout)
    return listing


def parse_inventory(path: str, listing: Mapping[str, Any]) -> Inventory:
    """Turn Ansible's listing into an Inventory; raises Refused with every problem found. Pure."""
    variables: Mapping[str, Mapping[str, Any]] = listing.get("_meta", {}).get("hostvars", {})
    members = {name: _members(listing, name, ()) for name in listing if name not in NO_GROUPS}
    names = sorted(_members(listing, "all", ()) | set(variables))
    problems: list[Problem] = []
    if not names:
        problems.append(Problem(path, "an inventory has hosts", "none", "add hosts to it"))
    hosts = []
    for name in names:
        groups = tuple(sorted(group for group, inside in members.items() if name in inside))
        host = _parse_host(name, groups, variables.get(name, {}), problems)
        if host is not None:
            hosts.append(host)
    secrets = sorted({secret for name in names for secret in _secrets(name, variables.get(name, {}), problems)})
    if problems:
        raise Refused.of(dict.fromkeys(problems))
    hidden = tuple(Problem(**problem) for problem in listing.get(HIDDEN, ()))
    return Inventory(path, tuple(hosts), tuple(secrets), _literal_addresses(variables), hidden)


def _members(listing: Mapping[str, Any], group: str, seen: tuple[str, ...]) -> set[str]:
    entry = listing.get(group, {})
    found = set(entry.get("hosts", ()))
    for child in entry.get("children", ()):
        if child not in seen:
            found |= _members(listing, child, (*seen, child))
    return found


def _parse_host(
    name: str, groups: tuple[str, ...], variables: Mapping[str, Any], problems: list[Problem]
) -> WantedHost | None:
    before = len(problems)
    if not name.isascii() or not all(part and part.strip("-") for part in name.replace("_", "-").split(".")):
        problems.append(Problem(name, "a host's name is a host name", name, "use letters, digits, dots and hyphens"))
    if variables.get("steelyard_lab"):
        problems.append(
            Problem(name, "a lab stands in for real hosts", "steelyard_lab is set", "name the real inventory only")
        )
    os_name = str(variables.get("lab_os", SUITES[0]))
    if os_name not in SUITES:
        problems.append(
            Problem(name, "lab_os names a release the lab can build", os_name, f"use one of {', '.join(SUITES)}")
        )
    lab_memory = _size(name, "lab_memory", variables, problems)
    stated_memory = _size(name, "steelyard_memory", variables, problems)
    lab_cpus = _cpus(name, "lab_cpus", variables, problems)
    stated_cpus = _cpus(name, "steelyard_cpus", variables, problems)
    if len(problems) > before:
        return None
    connection = tuple(sorted(key for key in variables if key.startswith("ansible_")))
    return WantedHost(name, groups, os_name, lab_memory, stated_memory, lab_cpus, stated_cpus, connection)


def _size(name: str, key: str, variables: Mapping[str, Any], problems: list[Problem]) -> int | None:
    value = variables.get(key)
    if value is None:
        return None
    try:
        size = units.parse_size(value, f"{name}.{key}")
    except Refused as err:
        problems.extend(err.problems)
        return None
    if size < SMALLEST:
        smallest = units.format_size(SMALLEST)
        problems.append(
            Problem(f"{name}.{key}", f"a machine has at least {smallest}", str(value), "say it with a unit, as 512mb")
        )
    return size


def _cpus(name: str, key: str, variables: Mapping[str, Any], problems: list[Problem]) -> float | None:
    value = variables.get(key)
    if value is None:
        return None
    try:
        cpus = float(value)
    except (TypeError, ValueError):
        cpus = 0.0
    if isinstance(value, bool) or not 0.01 <= cpus <= 4096:
        problems.append(Problem(f"{name}.{key}", "a number of CPUs", repr(value), "write it as 2 or 0.5"))
        return None
    return cpus


def _secrets(name: str, variables: Mapping[str, Any], problems: list[Problem]) -> list[str]:
    value = variables.get("steelyard_secrets", [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item.isidentifier() for item in value):
        problems.append(
            Problem(
                f"{name}.steelyard_secrets",
                "a list of variable names",
                str(type(value).__name__),
                "list the names of the variables that a vault holds",
            )
        )
        return []
    return value


def _literal_addresses(variables: Mapping[str, Mapping[str, Any]]) -> tuple[IPv4Address, ...]:
    found: set[IPv4Address] = set()

    def walk(value: Any) -> None:
        if isinstance(value, Mapping):
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)
        elif isinstance(value, str):
            try:
                found.add(IPv4Address(value.split("/")[0]))
            except AddressValueError:
                return

    for host, own in variables.items():
        walk(host)
        walk(own)
    return tuple(sorted(found))
