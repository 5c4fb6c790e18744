# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fleet as the inventory states it: hosts, groups, states, listeners. Pure: no Ansible, no service.

`plugin_utils/fleet.py` builds it from Ansible's variables; each service's `model.py` reads its own part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

GROUPS = (
    "load_balancers", "api", "workers", "redis", "timescaledb", "pgbouncer", "neo4j", "kafka", "monitoring", "backup",
)  # fmt: skip
STATES = ("present", "maintenance", "leaving")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Listener:
    """A TCP port that a service opens on a host, and who may reach it.

    `groups` are inventory groups (their hosts' addresses become a named set); `networks` are CIDR strings,
    `0.0.0.0/0` and `::/0` for everybody. `address` is what the service binds: a listener on loopback needs no rule.
    """

    port: int
    service: str
    groups: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True)
class Host:
    """One machine of the inventory; `vars` are its own templated variables, plain types."""

    name: str
    groups: frozenset[str] = frozenset()
    vars: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def address(self) -> str:
        """Where others reach this host: `steelyard_address`, else `ansible_host`, else its name."""
        return str(self.vars.get("steelyard_address") or self.vars.get("ansible_host") or self.name)

    @property
    def zone(self) -> str:
        """The rack, availability zone or region; empty when not stated."""
        return str(self.vars.get("steelyard_zone", ""))

    def state_of(self, service: str) -> str:
        """Return present, maintenance or leaving for one service on this host; raises Refused on another word."""
        for key in (f"{service}_state", "steelyard_state"):
            if key in self.vars:
                state = str(self.vars[key])
                if state not in STATES:
                    rule, where = f"{key} is one of {', '.join(STATES)}", f"{self.name}: {key}"
                    raise Refused(rule, repr(state), "correct the word", where)
                return state
        return "present"


@dataclass(frozen=True)
class Fleet:
    """All hosts of the inventory, in inventory order."""

    hosts: tuple[Host, ...] = ()

    def group(self, name: str) -> tuple[Host, ...]:
        """Return the hosts of one group, in inventory order; empty when there is no such group."""
        return self._by_group.get(name, ())

    def host(self, name: str) -> Host:
        """Return one host by its inventory name; raises Refused when the inventory has no such host."""
        if name in self._by_name:
            return self._by_name[name]
        raise Refused("the host is in the inventory", name, "check the spelling, or add it to hosts.yml")

    def once(self, what: str, raw: object, make: Callable[[], Made]) -> Made:
        """Return what `make` makes of `raw`, made once for all hosts of this fleet that share that very object.

        Hosts of a group share its variables; without this a fleet of n hosts would read each of them n times, and a
        pool n times n. What raises is not kept.
        """
        key = (what, id(raw))
        if key not in self._made or self._made[key][0] is not raw:  # an id is used again when its object is gone
            self._made[key] = (raw, make())
        made: Made = self._made[key][1]
        return made

    @cached_property
    def _made(self) -> dict[tuple[str, int], tuple[object, Any]]:
        return {}

    @cached_property
    def _by_name(self) -> dict[str, Host]:
        return {host.name: host for host in self.hosts}

    @cached_property
    def _by_group(self) -> dict[str, tuple[Host, ...]]:
        found: dict[str, list[Host]] = {}
        for host in self.hosts:
            for group in host.groups:
                found.setdefault(group, []).append(host)
        return {group: tuple(hosts) for group, hosts in found.items()}
