# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service tells the shared parts about itself. Pure: no Ansible, and no service's own words.

Each package has one in its `service.py`; `services.py` lists them, and is the only shared file that names any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host, Listener


def _nowhere(_fleet: Fleet, _host: Host) -> bool:
    return False


def _no_listeners(_fleet: Fleet, _host: Host) -> list[Listener]:
    return []


def _nothing(_fleet: Fleet, _host: Host) -> int:
    return 0


def _fits(_fleet: Fleet, _host: Host, _room: Room) -> list[Problem]:
    return []


@dataclass(frozen=True)
class Room:
    """What a host offers one service: its memory and what others are promised of it (bytes), and its CPUs."""

    memory: int
    cpus: float
    others: int = 0


@dataclass(frozen=True)
class Service:
    """One service: every function takes the fleet, and raises Refused where the inventory is wrong.

    `name` begins its variables (`nginx_…`, `nginx_state`, `nginx_cluster_name`). `problems`: all that it finds wrong in
    an inventory. `is_on`: whether it runs on a host, leaving or not. `listeners`: the ports it opens there.
    `units`: patterns of its systemd units, whose ports are not somebody else's. `wanted`: what the lookup `wanted`
    hands to its modules, in JSON types, by the names that playbooks use. `promised`: the bytes of memory that the
    inventory states for it on a host. `oversubscription`: what a host with this room cannot keep of it. `sysctls`:
    kernel settings that it needs beside those that every machine has. `requirements`: pinned Python packages
    (`name==version`) that its cluster modules need on its hosts. `parts_leave`: whether something of it leaves a host
    that may stay otherwise, where that is more than the host's own state.
    """

    name: str
    problems: Callable[[Fleet], list[Problem]]
    is_on: Callable[[Fleet, Host], bool] = _nowhere
    listeners: Callable[[Fleet, Host], list[Listener]] = _no_listeners
    units: tuple[str, ...] = ()
    wanted: Mapping[str, Callable[[Fleet, Host], Any]] = field(default_factory=dict)
    promised: Callable[[Fleet, Host], int] = _nothing
    oversubscription: Callable[[Fleet, Host, Room], list[Problem]] = _fits
    sysctls: Mapping[str, int | str] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    parts_leave: Callable[[Fleet, Host], bool] = _nowhere

    @property
    def prefix(self) -> str:
        """What its variables begin with."""
        return f"{self.name}_"

    @property
    def has_state(self) -> bool:
        """Whether there is something of it that can leave a host."""
        return self.is_on is not _nowhere

    def leaves(self, fleet: Fleet, host: Host) -> bool:
        """Return whether it, or a part of it, leaves a host that it is placed on; raises Refused."""
        whole = host.state_of(self.name) == "leaving" and self.is_on(fleet, host)
        return whole or self.parts_leave(fleet, host)

    def owns(self, unit: str) -> bool:
        """Return whether a systemd unit is one of its own."""
        return any(fnmatchcase(unit, pattern) for pattern in self.units)
