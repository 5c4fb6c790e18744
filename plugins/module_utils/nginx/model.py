# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pools, members and sites as the inventory wants them. Pure: no Ansible.

A `Pool` has `Member`s, one for each instance of its application class; `Pool.server_of` says which line a member
should have on every balancer. What a balancer shows is in `state`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app.model import SERVICE as APP
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, instances_of
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import listeners as instance_listeners
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import lets_in
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Host, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.options import (
    POOL_OPTIONS,
    SETTING_OPTIONS,
    SITE_OPTIONS,
    Options,
)
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sites import Listen, Site
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Server, canonical, endpoint_of
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration, parse_size
from ansible_collections.steelyard.stack.plugins.module_utils.validate import check

SERVICE = "nginx"
GROUP = "load_balancers"
UP, DOWN, REMOVED = "up", "down", "removed"
STATES = {"present": UP, "maintenance": DOWN, "leaving": REMOVED}
STATUS_LISTEN = "127.0.0.1:8080"

_ROTATING = ("round_robin", "least_conn", "random")
_METHOD = re.compile(
    r"^(round_robin|least_conn|ip_hash|random( two( least_conn)?)?|hash [A-Za-z0-9_.:/-]*\$[A-Za-z0-9_$.:/-]+( consistent)?)$"
)
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,62}$")  # names a file, an upstream and a shared memory zone
_SERVER_NAME = re.compile(r"^(_|\*?[A-Za-z0-9._-]+(\.\*)?)$")


@dataclass(frozen=True)
class Member(Portable):
    """One instance that a pool should have (`up`), have but not use (`down`), or lose (`removed`)."""

    host: str
    address: str
    port: int
    state: str = UP
    weight: int = 1
    backup: bool = False

    @property
    def endpoint(self) -> str:
        """What names its line in a members file."""
        return endpoint_of(self.address, self.port)

    @property
    def name(self) -> str:
        """What people call it, and what step ids use."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Pool(Portable):
    """One upstream as wanted. Durations are seconds; `health` is the path that a member answers, empty for TCP.

    `known_hosts` are all hosts of the inventory: a line of one of these that no member states is to be removed.
    """

    name: str
    class_name: str
    members: tuple[Member, ...] = ()
    method: str = "round_robin"
    keepalive: int = 32
    max_fails: int = 3
    fail_timeout: int = 30
    max_conns: int = 0
    min_members: int = 1
    drain_deadline: float = 150
    health: str = ""
    known_hosts: tuple[str, ...] = ()

    @property
    def rotates(self) -> bool:
        """Whether requests of one client reach every member, so that traffic can prove a new one."""
        return self.method.split()[0] in _ROTATING

    @property
    def directive(self) -> str:
        """Return the balancing method as nginx reads it; empty for round robin, which has no directive."""
        return "" if self.method == "round_robin" else f"{self.method};"

    def server_of(self, member: Member) -> Server | None:
        """Return the line that a member should have; None for one that is to be removed."""
        if member.state == REMOVED:
            return None
        return Server(
            member.address, member.port, down=member.state == DOWN, backup=member.backup, weight=member.weight,
            max_fails=self.max_fails, fail_timeout=self.fail_timeout, max_conns=self.max_conns, host=member.host,
        )  # fmt: skip

    def servers(self) -> tuple[Server, ...]:
        """Return the lines of a pool that is created now."""
        return tuple(s for s in map(self.server_of, self.members) if s is not None)


def _given(raw: Mapping[str, Any], options: Options, key: str) -> Any:
    value = raw.get(key)
    return options[key].get("default") if value is None else value


def _reader(raw: Mapping[str, Any], options: Options, where: str) -> Callable[[str, Callable[[object, str], Any]], Any]:
    """Return how one key is read: what is given, or the default, by a parser that is told where it stands."""
    return lambda key, parse: parse(_given(raw, options, key), f"{where}.{key}")


def _whole_seconds(value: object, where: str) -> int:
    seconds = parse_duration(value, where)
    if seconds != int(seconds):
        raise Refused("nginx takes whole seconds here", repr(value), "write it as 30s", where)
    return int(seconds)


def _at_least(lowest: int) -> Callable[[object, str], int]:
    def parse(value: object, where: str) -> int:
        if isinstance(value, bool) or not str(value).isdigit() or int(str(value)) < lowest:
            raise Refused(f"it is a whole number of at least {lowest}", repr(value), "correct the number", where)
        return int(str(value))

    return parse


def _method(value: object, where: str) -> str:
    text = " ".join(str(value).split())
    if not _METHOD.match(text):
        known = "round_robin, least_conn, ip_hash, random [two [least_conn]] or hash $KEY [consistent]"
        raise Refused("the balancing method is one of open-source nginx", repr(value), f"use {known}", where)
    return text


def _named(name: object, where: str) -> str:
    if not _NAME.match(str(name)):
        rule = "a name is lower-case letters, digits, - and _, and starts with a letter"
        raise Refused(rule, repr(name), "rename it", where)
    return str(name)


def _members(fleet: Fleet, class_name: str) -> tuple[tuple[Member, ...], str]:
    """Return the members that a class's instances make, in inventory order, and the path by which they say ready."""
    found: list[Member] = []
    path = ""
    for host in fleet.hosts:
        for instance in instances_of(fleet, host):
            if instance.class_name == class_name:
                found.append(_member(host, instance))
                path = path or instance.readiness or instance.health
    return tuple(found), path


def _member(host: Host, instance: Instance) -> Member:
    weight = _at_least(1)(host.vars.get("nginx_weight", 1), f"{host.name}: nginx_weight")
    backup = str(host.vars.get("nginx_backup", False)).lower() in ("true", "yes", "1", "on")
    return Member(host.name, canonical(instance.address), instance.port, STATES[instance.state], weight, backup)


def read_pool(fleet: Fleet, name: object, raw: object) -> Pool:
    """Return the pool that the inventory states; raises Refused with what is wrong."""
    where = f"nginx_pools.{name}"
    wrong = check(raw, POOL_OPTIONS, where)
    if wrong or not isinstance(raw, Mapping):
        raise Refused.of(wrong)

    given = _reader(raw, POOL_OPTIONS, where)
    members, health = _members(fleet, str(raw["class"]))
    return Pool(
        name=_named(name, where),
        class_name=str(raw["class"]),
        members=members,
        method=given("method", _method),
        keepalive=given("keepalive", _at_least(0)),
        max_fails=given("max_fails", _at_least(0)),
        fail_timeout=given("fail_timeout", _whole_seconds),
        max_conns=given("max_conns", _at_least(0)),
        min_members=given("min_members", _at_least(1)),
        drain_deadline=given("drain_deadline", parse_duration),
        health=health,
        known_hosts=tuple(h.name for h in fleet.hosts),
    )


def _pool_of(fleet: Fleet, name: object, raw: object) -> Pool:
    """Return `read_pool`, made once where balancers share the statement."""
    return fleet.once(f"nginx_pools.{name}", raw, lambda: read_pool(fleet, name, raw))


def read_site(name: object, raw: object) -> Site:
    """Return the site that the inventory states; raises Refused with what is wrong."""
    where = f"nginx_sites.{name}"
    wrong = check(raw, SITE_OPTIONS, where)
    if wrong or not isinstance(raw, Mapping):
        raise Refused.of(wrong)

    given = _reader(raw, SITE_OPTIONS, where)
    names = tuple(str(n) for n in _given(raw, SITE_OPTIONS, "server_names"))
    for server_name in names:
        if not _SERVER_NAME.match(server_name):
            raise Refused("a server name is a host name, *.name or _", repr(server_name), "correct the name", where)
    return Site(
        name=_named(name, where),
        pool=str(raw["pool"]),
        listen=tuple(Listen.parse(v, f"{where}.listen") for v in _given(raw, SITE_OPTIONS, "listen")),
        server_names=names,
        websocket=str(_given(raw, SITE_OPTIONS, "websocket")).lower() in ("true", "yes", "1", "on"),
        connect_timeout=given("connect_timeout", parse_duration),
        send_timeout=given("send_timeout", parse_duration),
        read_timeout=given("read_timeout", parse_duration),
        max_body_size=given("max_body_size", parse_size),
        allow_from=tuple(str(g) for g in _given(raw, SITE_OPTIONS, "allow_from")),
        allow_from_networks=tuple(str(n) for n in _given(raw, SITE_OPTIONS, "allow_from_networks")),
    )


def _stated(variables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = variables.get(name) or {}
    if not isinstance(value, Mapping):
        raise Refused("it is a mapping of names", repr(value), "write it as {name: {…}}", name)
    return value


def wanted_pools(fleet: Fleet, balancer: Host | None = None) -> tuple[Pool, ...]:
    """Return the pools of one balancer (without one: of the first); raises Refused."""
    host = balancer or next(iter(fleet.group(GROUP)), None)
    stated = _stated(host.vars, "nginx_pools") if host else {}
    return fleet.once("nginx_pools", stated, lambda: tuple(read_pool(fleet, name, raw) for name, raw in stated.items()))


def wanted_pools_json(fleet: Fleet, host: Host) -> list[dict[str, Any]]:
    """Return `wanted_pools` in JSON types, for the module."""
    return [pool.as_dict() for pool in wanted_pools(fleet, host)]


def wanted_sites(variables: Mapping[str, Any]) -> tuple[Site, ...]:
    """Return the sites that a balancer's variables state; raises Refused."""
    return tuple(read_site(name, raw) for name, raw in _stated(variables, "nginx_sites").items())


def listeners(fleet: Fleet, host: Host) -> list[Listener]:  # noqa: ARG001  (every service's has the same shape)
    """Return the ports that nginx opens on `host`, and who may reach them; raises Refused."""
    if GROUP not in host.groups:
        return []
    found = [
        Listener(at.port, f"{SERVICE} {site.name}", site.allow_from, site.allow_from_networks, at.address)
        for site in wanted_sites(host.vars)
        for at in site.listen
    ]
    status = Listen.parse(host.vars.get("nginx_status_listen", STATUS_LISTEN), "nginx_status_listen")
    return [*found, Listener(status.port, f"{SERVICE} status", ("monitoring",), (), status.address)]


def problems(fleet: Fleet) -> list[Problem]:
    """Return everything that is wrong with the fleet's pools, sites and balancers, each said once."""
    found: dict[Problem, None] = {}
    for host in fleet.group(GROUP):
        found.update(dict.fromkeys(_balancer_problems(fleet, host)))
    return list(found)


def _balancer_problems(fleet: Fleet, host: Host) -> list[Problem]:
    found: list[Problem] = []
    stated: dict[str, Mapping[str, Any]] = {}
    for variable in ("nginx_pools", "nginx_sites"):
        try:
            stated[variable] = _stated(host.vars, variable)
        except Refused as error:
            found += error.problems
    known = stated.get("nginx_pools")
    found += check(host.vars.get("nginx_settings") or {}, SETTING_OPTIONS, "nginx_settings")
    for name, raw in stated.get("nginx_pools", {}).items():
        found += _tried(lambda n=name, r=raw: _pool_problems(fleet, host, _pool_of(fleet, n, r)))  # type: ignore[misc]
    for name, raw in stated.get("nginx_sites", {}).items():
        found += _tried(lambda n=name, r=raw: _site_problems(read_site(n, r), known))  # type: ignore[misc]
    found += _tried(lambda: _status_problems(host))
    found += _tried(lambda: _double_listeners(host))
    found += _tried(lambda: _state_problems(host))
    return found


def _tried(judge: Callable[[], list[Problem]]) -> list[Problem]:
    try:
        return judge()
    except SteelyardError as error:
        return list(error.problems)


def _state_problems(host: Host) -> list[Problem]:
    host.state_of(SERVICE)
    return []


def _status_problems(host: Host) -> list[Problem]:
    Listen.parse(host.vars.get("nginx_status_listen", STATUS_LISTEN), f"{host.name}: nginx_status_listen")
    return []


def _pool_problems(fleet: Fleet, host: Host, pool: Pool) -> list[Problem]:
    """Return what is wrong with one pool; not what only follows from its class or from two hosts' one address."""
    where = f"nginx_pools.{pool.name}"
    classes = host.vars.get("app_classes") or {}
    if pool.class_name not in classes:
        known = ", ".join(sorted(classes)) or "none"
        return [Problem(f"{where}.class", "a pool's class is in app_classes", pool.class_name, f"classes are: {known}")]
    found = []
    serving = [m for m in pool.members if m.state == UP and not m.backup]
    group = str(classes[pool.class_name].get("group") or pool.class_name)
    if len(serving) < pool.min_members and fleet.group(group):
        rule = f"a pool has at least {pool.min_members} serving member(s)"
        remedy = f"add hosts to the group of class {pool.class_name}, or take one back from maintenance or leaving"
        found.append(Problem(where, rule, f"{len(serving)} of {len(pool.members)}", remedy))
    if pool.method.split()[0] in ("hash", "ip_hash", "random") and any(m.backup for m in pool.members):
        remedy = "use round_robin or least_conn, or remove nginx_backup"
        found.append(Problem(where, "this method has no backup members", pool.method, remedy))
    # One address of two hosts, and one port twice on a host, are said of the hosts.
    places = {(m.endpoint, fleet.host(m.host).address) for m in pool.members}
    twice = _twice(endpoint for endpoint, _address in places)
    remedy = "give the hosts different addresses, or the instances different ports"
    found += [Problem(where, "two members have different endpoints", e, remedy) for e in twice]
    return [*found, *_reach_problems(fleet, host, pool)]


def _reach_problems(fleet: Fleet, balancer: Host, pool: Pool) -> list[Problem]:
    """Return what is wrong when members' firewalls, as the inventory has them, shut this balancer out."""
    if balancer.state_of(SERVICE) == "leaving":
        return []
    known = {*GROUPS, *(g for h in fleet.hosts for g in h.groups)}  # a mistyped group is said of the class
    shut: list[str] = []
    for name in dict.fromkeys(m.host for m in pool.members if m.state != REMOVED):
        host = fleet.host(name)
        heard = (li for li in instance_listeners(fleet, host) if li.service == f"{APP} {pool.class_name}")
        told = (li for li in heard if known.issuperset(li.groups))
        shut += [f"{name}:{li.port}" for li in told if not lets_in(fleet, host, balancer, li)]
    if not shut:
        return []
    more = f" and {len(shut) - 1} more" if len(shut) > 1 else ""
    remedy = f"add {GROUP} to allow_from of class {pool.class_name}, or the balancers' network to allow_from_networks"
    where, rule = f"{balancer.name}: nginx_pools.{pool.name}", "the balancers of a pool may connect to its members"
    return [Problem(where, rule, f"the firewall shuts them out of {shut[0]}{more}", remedy)]


def _site_problems(site: Site, pools: Mapping[str, Any] | None) -> list[Problem]:
    if pools is None or site.pool in pools:
        return []
    known = ", ".join(sorted(pools)) or "none"
    return [
        Problem(f"nginx_sites.{site.name}.pool", "a site's pool is in nginx_pools", site.pool, f"pools are: {known}")
    ]


def _double_listeners(host: Host) -> list[Problem]:
    """Return names served twice on one listener, and sites on the status listener's port."""
    sites = wanted_sites(host.vars)
    status = Listen.parse(host.vars.get("nginx_status_listen", STATUS_LISTEN), f"{host.name}: nginx_status_listen")
    keys = (f"{name} on {at.places()[0]}" for site in sites for at in site.listen for name in site.server_names)
    found = [
        Problem(f"{host.name}: nginx_sites", "a server name is served once on a port", key, "rename or merge the sites")
        for key in _twice(keys)
    ]
    for site in sites:
        if any(at.port == status.port and (not at.address or at.address == status.address) for at in site.listen):
            where, rule = f"nginx_sites.{site.name}.listen", "the status listener has its port for itself"
            found.append(Problem(where, rule, str(status.port), "move the site, or nginx_status_listen"))
    return found


def _twice(values: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({v for v in values if v in seen or seen.add(v)})  # type: ignore[func-returns-value]
