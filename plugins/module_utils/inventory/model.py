# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An inventory as it was found, with all that is needed to judge it. Pure: no Ansible.

`plugin_utils/fleet.py` fills it in; `check.py` judges it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet

GIVEN, EMPTY, MISSING = "given", "empty", "not defined"
UNKNOWN = "(unknown: see the variable it uses)"
"""Stands where a value could not be made; problems that merely repeat it are left out."""

OPERATIONS = ("site", "verify", "scale", "rolling_restart", "unlock")
NEED_ALL_HOSTS = frozenset({"scale", "rolling_restart"})
"""Operations that compare the whole fleet with the inventory: a limited run would take the rest for absent."""

INSTALLING = frozenset({"site", "scale", "rolling_restart"})
"""Operations that may install a release, so that its archive is looked at before any host is."""

Options = Mapping[str, Mapping[str, Any]]

COMMON: Options = {
    "steelyard_profile": {"type": "str"},
    "steelyard_control_networks": {"type": "list", "elements": "str"},
    "steelyard_secrets": {"type": "list", "elements": "str"},
    "steelyard_memory": {"type": "str"},
    "steelyard_cpus": {"type": "float"},
    "steelyard_state": {"type": "str"},
    "steelyard_address": {"type": "str"},
    "steelyard_zone": {"type": "str"},
    "steelyard_lab": {"type": "str"},
    "steelyard_look": {"type": "str"},
    "steelyard_extra_groups": {"type": "list", "elements": "str"},
    "steelyard_extra_variables": {"type": "list", "elements": "str"},
    "ape_tier": {"type": "int", "choices": [1, 2, 3, 4]},
}
"""Variables that belong to no role. The words for states and the sizes have rules of their own in `check.py`."""


@dataclass(frozen=True)
class Failure:
    """A value that could not be made: `path` inside the variables, `source` the file and line."""

    path: str
    source: str
    rule: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class Group:
    """One group of the inventory: its direct children, and every host in it."""

    name: str
    children: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """One `-i` of the run that is a file or folder: as it was given, and its folder's full path.

    A lab's overlay has the lab's name, the folder of the inventory that it `stands_for`, its stand-ins' addresses, and
    by stand-in every other variable that decides how it is `reached`.
    """

    path: str
    place: str = ""
    lab: str = ""
    stands_for: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict, hash=False)
    reached: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True)
class Inventory:
    """A fleet and what was seen beside its values. Mappings are by host name.

    `names`: every variable the host has; `sources`: where a variable was written; `secrets`: GIVEN, EMPTY,
    MISSING or an error for each name in `steelyard_secrets`; `secret_values`: what must never be printed;
    `limit` and `selected`: the run's `--limit` and the hosts it leaves; `given`: the run's sources, in their order;
    `labs`: overlays that stand in for them, given or not; `reached`: the variables in force that decide how a host is
    reached, as they are written.
    """

    fleet: Fleet = field(default_factory=Fleet)
    names: Mapping[str, frozenset[str]] = field(default_factory=dict)
    sources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secret_values: frozenset[str] = field(default_factory=frozenset, repr=False)
    groups: Mapping[str, Group] = field(default_factory=dict)
    limit: str = ""
    selected: frozenset[str] = frozenset()
    given: tuple[Source, ...] = ()
    labs: tuple[Source, ...] = ()
    reached: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)


def declared_by(specs: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the options of every entry point of one role's `argument_specs`."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in (specs.get("argument_specs") or {}).values():
        found.update((entry or {}).get("options") or {})
    return found
