# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The services that there are, and what each answers about a fleet. Pure: no Ansible.

A new service is its package's `service.py` and a line in SERVICES. Imports are static, because only those travel to
managed hosts.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app import model as app
from ansible_collections.steelyard.stack.plugins.module_utils.app.service import SERVICE as APP
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.firewall import model as firewall
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.service import SERVICE as FIREWALL
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Host, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model as nginx
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.service import SERVICE as NGINX
from ansible_collections.steelyard.stack.plugins.module_utils.redis.service import SERVICE as REDIS
from ansible_collections.steelyard.stack.plugins.module_utils.service import Room, Service

SERVICES: tuple[Service, ...] = (APP, NGINX, REDIS, FIREWALL)
"""In the order in which they are asked, and named to people."""

EXCUSED = ("maintenance", "leaving")
"""States in which a machine need not answer, where all that is placed on it is in one of them."""

ANY_ADDRESS = ("", "*", "0.0.0.0", "::")  # compared here, never bound


def problems(fleet: Fleet) -> list[Problem]:
    """Return everything that the services find wrong in the inventory, each said once."""
    found: dict[Problem, None] = {}
    for service in SERVICES:
        try:
            found.update(dict.fromkeys(service.problems(fleet)))
        except SteelyardError as error:
            found.update(dict.fromkeys(error.problems))
    return list(found)


def listeners(fleet: Fleet, host: Host) -> list[Listener]:
    """Return every port that the services open on a host; raises Refused where the inventory is wrong."""
    return [listener for service in SERVICES for listener in service.listeners(fleet, host)]


def owns(unit: str) -> bool:
    """Return whether a systemd unit is one of ours."""
    return any(service.owns(unit) for service in SERVICES)


def overlap(one: str, other: str) -> bool:
    """Return whether two listeners with these addresses and the same port get in each other's way."""
    return one == other or one in ANY_ADDRESS or other in ANY_ADDRESS


def oversubscription(fleet: Fleet, host: Host, memory: int, cpus: float) -> list[Problem]:
    """Return what a host of this size (bytes, CPUs) cannot keep of what the inventory places on it."""
    promised = {service.name: service.promised(fleet, host) for service in SERVICES}
    whole = sum(promised.values())
    rooms = [(service, Room(memory, cpus, whole - promised[service.name])) for service in SERVICES]
    return [p for service, room in rooms for p in service.oversubscription(fleet, host, room)]


def shuts_out(host: Host, peer: str) -> bool:
    """Return whether the host's firewall would refuse SSH from this address."""
    networks = host.vars.get("steelyard_control_networks") or ()
    return firewall.enabled(host) and firewall.outside(peer, networks)


def releases(fleet: Fleet) -> tuple[app.Release, ...]:
    """Return the releases that the fleet is to run, each once; raises Refused. What leaves needs none."""
    placed = (i for h in fleet.hosts for i in app.instances_of(fleet, h) if i.state != "leaving")
    return tuple(dict.fromkeys(i.release for i in placed))


def still_served(fleet: Fleet, host: Host, sockets: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return `api on port 8001` for instances of a pool's class that the inventory took from a host where they listen.

    `sockets` are the host's facts. Empty where no firewall would shut the balancers out.
    """
    placed = {i.port for i in app.instances_of(fleet, host)}
    taken = {
        int(s["port"]): str(s.get("slice") or "").removeprefix(f"{app.SERVICE}-").removesuffix(".slice")
        for s in sockets
        if str(s.get("unit") or "").startswith(f"{app.SERVICE}@") and s["port"] not in placed
    }
    if not taken or not firewall.enabled(host):
        return ()
    pooled = {p.class_name for b in fleet.group(nginx.GROUP) for p in nginx.wanted_pools(fleet, b)}
    return tuple(f"{name} on port {port}" for port, name in sorted(taken.items()) if name in pooled)


def runs_applications(fleet: Fleet, host: Host) -> bool:
    """Return whether the inventory places instances on a host, leaving or not; raises Refused."""
    return APP.is_on(fleet, host)


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
    placed = [service.name for service in SERVICES if service.is_on(fleet, host)]
    extra = {str(g) for g in host.vars.get("steelyard_extra_groups") or ()}
    if not placed and host.groups & extra and not host.groups & set(GROUPS):
        return []
    return ["base", *placed]


def tenants(fleet: Fleet, host: Host, service: Service) -> dict[str, Any]:
    """Return who lives on a host beside a service: the bytes that the inventory promises others, whether any do."""
    others = sum(s.promised(fleet, host) for s in SERVICES if s is not service)
    return {"others": others, "shared": bool(set(services_of(fleet, host)) - {"base", service.name})}


def sysctls(fleet: Fleet, host: Host) -> dict[str, int | str]:
    """Return the kernel settings that the services of a host need; what the inventory states of them wins."""
    return {name: value for s in SERVICES if s.is_on(fleet, host) for name, value in s.sysctls.items()}


def client_environment(fleet: Fleet, host: Host) -> list[str]:
    """Return the pinned Python packages that the cluster modules of a host's services need there."""
    return sorted({r for s in SERVICES if s.requirements and s.is_on(fleet, host) for r in s.requirements})


def leaving(fleet: Fleet, host: Host) -> list[str]:
    """Return the services that leave a host, wholly or in part; raises Refused."""
    return [service.name for service in SERVICES if service.has_state and service.leaves(fleet, host)]


def gone(fleet: Fleet, host: Host) -> bool:
    """Return whether all that is placed on a host leaves it; a host without any of ours goes by its own word."""
    placed = [service for service in SERVICES if service.is_on(fleet, host)]
    if not placed:
        return host.vars.get("steelyard_state") == "leaving"
    return all(host.state_of(service.name) == "leaving" for service in placed)


def excused(fleet: Fleet, host: Host) -> bool:
    """Return whether a host need not answer: the inventory says so of it, or of each service placed on it."""
    if host.vars.get("steelyard_state") in EXCUSED:
        return True
    placed = [service for service in SERVICES if service.is_on(fleet, host)]
    return bool(placed) and all(host.state_of(service.name) in EXCUSED for service in placed)


_WANTED: Mapping[str, Callable[[Fleet, Host], Any]] = {
    **{name: make for service in SERVICES for name, make in service.wanted.items()},
    # What rests on all services.
    "client_environment": client_environment,
    "excused_hosts": lambda fleet, _host: [h.name for h in fleet.hosts if excused(fleet, h)],
    "leaving": leaving,
    "firewall": lambda fleet, host: firewall.wanted_table(fleet, host, listeners(fleet, host)),
    "peer_names": peer_names,
    "redis_tenants": lambda fleet, host: tenants(fleet, host, REDIS),
    "services": services_of,
    "sysctls": sysctls,
}
WANTED = tuple(sorted(_WANTED))


def wanted(name: str, fleet: Fleet, host: Host) -> Any:
    """Return, in JSON types, what the inventory wants of one service on one host; raises Refused."""
    if name not in _WANTED:
        raise Refused("a wanted state has a name that is known", name, f"use one of {', '.join(WANTED)}")
    return _WANTED[name](fleet, host)
