# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that there are, and what each answers about a fleet. Pure: no Ansible.

A new service is a line in each of the tables here. Imports are
static, because only those travel to managed hosts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app import model as app
from ansible_collections.steelyard.stack.plugins.module_utils.app import sizing as app_sizing
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.firewall import model as firewall
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Host, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model as nginx


def _slice_problems(fleet: Fleet) -> list[Problem]:
    found: dict[Problem, None] = {}
    for host in fleet.hosts:
        try:
            app.Slice.from_vars(host.vars.get("app_slice") or {})
        except SteelyardError as error:
            found.update(dict.fromkeys(error.problems))
    return list(found)


EXCUSED = ("maintenance", "leaving")
"""States in which a whole machine need not answer."""

_PROBLEMS: tuple[Callable[[Fleet], list[Problem]], ...] = (
    app.problems,
    _slice_problems,
    nginx.problems,
    firewall.problems,
)
_LISTENERS: tuple[Callable[[Fleet, Host], list[Listener]], ...] = (app.listeners, nginx.listeners)
ANY_ADDRESS = ("", "*", "0.0.0.0", "::")  # compared here, never bound


def problems(fleet: Fleet) -> list[Problem]:
    """Return everything that the services find wrong in the inventory, each said once."""
    found: dict[Problem, None] = {}
    for judge in _PROBLEMS:
        try:
            found.update(dict.fromkeys(judge(fleet)))
        except SteelyardError as error:
            found.update(dict.fromkeys(error.problems))
    return list(found)


def listeners(fleet: Fleet, host: Host) -> list[Listener]:
    """Return every port that the services open on a host; raises Refused where the inventory is wrong."""
    return [listener for listen in _LISTENERS for listener in listen(fleet, host)]


def owns(unit: str) -> bool:
    """Return whether a systemd unit is one of ours."""
    return unit == "nginx.service" or unit.startswith("app@")


def overlap(one: str, other: str) -> bool:
    """Return whether two listeners with these addresses and the same port get in each other's way."""
    return one == other or one in ANY_ADDRESS or other in ANY_ADDRESS


def oversubscription(fleet: Fleet, host: Host, memory: int, cpus: float) -> list[Problem]:
    """Return what a host of this size (bytes, CPUs) cannot keep of what the inventory places on it."""
    whole = app.Slice.from_vars(host.vars.get("app_slice") or {})
    return app_sizing.oversubscription(app.instances_of(fleet, host), whole, memory, cpus, "memory and CPUs")


def shuts_out(host: Host, peer: str) -> bool:
    """Return whether the host's firewall would refuse SSH from this address."""
    networks = host.vars.get("steelyard_control_networks") or ()
    return firewall.enabled(host) and firewall.outside(peer, networks)


def releases(fleet: Fleet) -> tuple[app.Release, ...]:
    """Return the releases that the fleet is to run, each once; raises Refused. What leaves needs none."""
    placed = (i for h in fleet.hosts for i in app.instances_of(fleet, h) if i.state != "leaving")
    return tuple(dict.fromkeys(i.release for i in placed))


def hosts_outside_pools(fleet: Fleet) -> tuple[str, ...]:
    """Return the hosts with an instance that no pool of any balancer has as a member; raises Refused."""
    pools = {p for balancer in fleet.group(nginx.GROUP) for p in nginx.wanted_pools(fleet, balancer)}
    pooled = {(m.host, m.port) for pool in pools for m in pool.members}
    return tuple(h.name for h in fleet.hosts if any((i.host, i.port) not in pooled for i in app.instances_of(fleet, h)))


def peer_names(fleet: Fleet, host: Host) -> list[str]:
    """Return the names that `host` must be able to look up: of hosts it connects to, where no IP address is stated."""
    named = [h for h in fleet.hosts if h.name != host.name and not _is_ip(h.address)]
    talks_to = (h.address for h in named if any(host.groups & {*x.groups} for x in listeners(fleet, h)))
    return sorted(set(talks_to))


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def services_of(fleet: Fleet, host: Host) -> list[str]:
    """Return the services that the inventory places on a host; none where all its groups are left alone.

    A class may run in a group of any name, an extra one too: what runs instances is managed.
    """
    here = {app.SERVICE: bool(app.instances_of(fleet, host)), nginx.SERVICE: nginx.GROUP in host.groups}
    placed = [name for name, is_here in here.items() if is_here]
    extra = {str(g) for g in host.vars.get("steelyard_extra_groups") or ()}
    if not placed and host.groups & extra and not host.groups & set(GROUPS):
        return []
    return ["base", *placed]


_WANTED: Mapping[str, Callable[[Fleet, Host], Any]] = {
    "app_here": lambda fleet, host: bool(app.instances_of(fleet, host)),
    "app_instances": app.wanted_instances,
    # Also on a host that stays: a class or a port that the inventory took from it is removed, after it was drained.
    "app_remove": lambda _fleet, _host: True,
    "excused_hosts": lambda fleet, _host: [h.name for h in fleet.hosts if h.vars.get("steelyard_state") in EXCUSED],
    "firewall": lambda fleet, host: firewall.wanted_table(fleet, host, listeners(fleet, host)),
    "leaving_hosts": lambda fleet, _host: [h.name for h in fleet.hosts if h.state_of(app.SERVICE) == "leaving"],
    "nginx_pools": nginx.wanted_pools_json,
    "nginx_state": lambda _fleet, host: host.state_of(nginx.SERVICE),
    "peer_names": peer_names,
    "services": services_of,
}
WANTED = tuple(_WANTED)


def wanted(name: str, fleet: Fleet, host: Host) -> Any:
    """Return, in JSON types, what the inventory wants of one service on one host; raises Refused."""
    if name not in _WANTED:
        raise Refused("a wanted state has a name that is known", name, f"use one of {', '.join(WANTED)}")
    return _WANTED[name](fleet, host)
