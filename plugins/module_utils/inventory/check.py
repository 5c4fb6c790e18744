# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges an inventory before any host is contacted: every rule is a function from an inventory to problems. Pure."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import scale, services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import (
    COMMON,
    GIVEN,
    MISSING,
    NEED_ALL_HOSTS,
    UNKNOWN,
    Inventory,
    Options,
)
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.rehearsal import lab_problems, no_host_problems
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import at, gather, host_list, tidy
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size
from ansible_collections.steelyard.stack.plugins.module_utils.validate import check as check_options
from ansible_collections.steelyard.stack.plugins.module_utils.validate import nearest

SERVICES = tuple(dict.fromkeys((*(s.name for s in services.SERVICES if s.has_state), *GROUPS)))
SIZES = ("steelyard_memory",)
_STATE = re.compile(rf"^(steelyard|{'|'.join(SERVICES)})_state$")
_CLUSTER = re.compile(rf"^({'|'.join(SERVICES)})_cluster_name$")
_ID = re.compile(rf"^({'|'.join(GROUPS)})_([a-z0-9_]+_)?id$")
_LONGEST_NAME = 63
_NAME = re.compile(rf"^[A-Za-z0-9][A-Za-z0-9_-]{{0,{_LONGEST_NAME - 1}}}$")
_SAME_WORD = 0.9  # one letter of ten: a slip of the finger, not another name

Found = Iterator[tuple[str, Problem]]
Listeners = Mapping[str, Sequence[Listener]]


def problems(inventory: Inventory, declared: Options, operation: str = "site") -> list[Problem]:
    """Return everything that is wrong with the inventory for this operation, each thing once, no secret shown."""
    if not inventory.fleet.hosts:
        return no_host_problems(inventory)
    options = {**declared, **COMMON}
    found = lab_problems(inventory)
    found += limit_problems(inventory, operation)
    found += group_problems(inventory)
    found += name_problems(inventory, options)
    found += failure_problems(inventory)
    found += secret_problems(inventory)
    found += value_problems(inventory, options)
    found += address_problems(inventory)
    found += _raised(lambda: scale.asked_for(inventory.fleet))
    found += id_problems(inventory)
    found += _of_services(inventory, found)
    return tidy(found, inventory.secret_values)


def limit_problems(inventory: Inventory, operation: str) -> list[Problem]:
    """--limit is refused where the run would take the hosts that it leaves out for absent."""
    left_out = [h.name for h in inventory.fleet.hosts if h.name not in inventory.selected]
    if operation not in NEED_ALL_HOSTS or not inventory.limit or not left_out:
        return []
    rule = f"{operation} compares the whole fleet with the inventory: a limited run would lie"
    remedy = "run it without --limit; only the hosts that a step needs are contacted anyway"
    return [Problem(f"--limit {inventory.limit}", rule, f"it leaves out {host_list(left_out)}", remedy)]


def confirm_problems(name: str, given: str, what: str) -> list[Problem]:
    """What destroys is confirmed by the name of what it destroys."""
    if given == name:
        return []
    seen = f"confirm={given}" if given else "no confirmation"
    return [Problem(name, f"{what} destroys, and is confirmed by name", seen, f"add -e confirm={name} if you mean it")]


def group_problems(inventory: Inventory) -> list[Problem]:
    """Each group is a known one, holds or is held by one, is used by a class, or is listed as extra."""
    known = set(GROUPS) | {"all", "ungrouped"} | set(_everywhere(inventory, "steelyard_extra_groups"))
    for classes in _each(inventory, "app_classes"):
        if isinstance(classes, Mapping):
            known |= {str(c.get("group") or n) for n, c in classes.items() if isinstance(c, Mapping)}
    below = {name: _below(inventory, name) for name in inventory.groups}
    found = []
    for name, group in inventory.groups.items():
        inside = any(name in below[k] for k in known - {"all"} if k in below)
        if name in known or name.startswith("steelyard_") or inside or below[name] & known:
            continue
        near = nearest(name, known - {"all", "ungrouped"})
        guess = f"did you mean {near}? Else" if near else f"use one of {', '.join(GROUPS)};"
        remedy = f"{guess} put it under such a group, or list it in steelyard_extra_groups"
        seen = f"hosts {host_list(group.hosts)}" if group.hosts else "no hosts"
        found.append(Problem(f"group {name}", "a group is one that Steelyard knows", seen, remedy))
    return found


def name_problems(inventory: Inventory, declared: Options) -> list[Problem]:
    """A variable with a role's prefix is one that the role declares; one that almost is, is a slip."""
    prefixes = tuple(sorted({f"{n.split('_', 1)[0]}_" for n in declared if n not in COMMON} | {"steelyard_"}))
    known = set(declared) | set(_everywhere(inventory, "steelyard_extra_variables"))
    judged = {n for n in declared if n.startswith(prefixes)}
    wrong: dict[str, str] = {}
    for name in sorted(set().union(*inventory.names.values()) - known):
        if _STATE.match(name) or _CLUSTER.match(name) or name.startswith(("ansible_", "__")):
            continue
        if name.startswith(prefixes):
            near = nearest(name, judged)
            guess = f"did you mean {near}? Else" if near else "remove it,"
            wrong[name] = f"{guess} rename it, or list it in steelyard_extra_variables"
        elif close := difflib.get_close_matches(name, judged, 1, _SAME_WORD):
            wrong[name] = f"did you mean {close[0]}? Else list it in steelyard_extra_variables"

    def each() -> Found:
        rule = "a variable with a role's prefix is one that the role declares"
        for host, names in inventory.names.items():
            for name in sorted(names & wrong.keys()):
                yield host, Problem(at(name, inventory.sources.get(host, {})), rule, name, wrong[name])

    return gather(each(), list(inventory.names))


def failure_problems(inventory: Inventory) -> list[Problem]:
    """Every value can be made: what it uses is defined and can be decrypted. A missing secret is told once, below."""

    def each() -> Found:
        for host, failures in inventory.failures.items():
            told = {f"'{n}' is undefined" for n, s in inventory.secrets.get(host, {}).items() if s == MISSING}
            for f in failures:
                if f.seen in told:
                    continue
                where = f"{f.path} ({f.source})" if f.source else f.path
                yield host, Problem(where, f.rule, f.seen, f.remedy)

    return gather(each(), list(inventory.names))


def secret_problems(inventory: Inventory) -> list[Problem]:
    """Every secret that the inventory asks for is given; its value is never looked at further."""

    def each() -> Found:
        rule = "every secret that steelyard_secrets names is given"
        for host, secrets in inventory.secrets.items():
            for name, state in secrets.items():
                if state != GIVEN:
                    remedy = f"put {name} into a vaulted file of group_vars; in a rehearsal `steelyard lab up` does"
                    yield host, Problem(name, rule, state, remedy)

    return gather(each(), list(inventory.names))


def value_problems(inventory: Inventory, declared: Options) -> list[Problem]:
    """Each variable has its declared type, words and keys; sizes and states can be read."""
    checked: dict[tuple[str, int], list[Problem]] = {}

    def each() -> Found:
        for host in inventory.fleet.hosts:
            sources = inventory.sources.get(host.name, {})
            for name, value in host.vars.items():
                key = (name, id(value))  # equal values of many hosts are one object
                if key not in checked:
                    checked[key] = list(_one_value(name, value, declared))
                for p in checked[key]:
                    yield host.name, Problem(at(p.where, sources), p.rule, p.seen, p.remedy)

    def states() -> Found:
        for host in inventory.fleet.hosts:
            sources = inventory.sources.get(host.name, {})
            for name in host.vars:
                if match := _STATE.match(name):
                    service = "none" if match.group(1) == "steelyard" else match.group(1)
                    for p in _raised(partial(host.state_of, service)):
                        yield host.name, Problem(at(name, sources), p.rule, p.seen, p.remedy)

    return gather(each(), list(inventory.names)) + gather(states(), list(inventory.names))


def address_problems(inventory: Inventory) -> list[Problem]:
    """No two hosts have one address, and no two are reached at the same place."""
    reached: dict[str, list[str]] = {}
    addresses: dict[str, list[str]] = {}
    for host in inventory.fleet.hosts:
        addresses.setdefault(host.address, []).append(host.name)
        if "ansible_host" in host.vars:
            place = f"{host.vars['ansible_host']} port {host.vars.get('ansible_port') or 22}"
            reached.setdefault(place, []).append(host.name)
    rule, remedy = "every host has an address of its own", "correct ansible_host or steelyard_address of one of them"
    twice = {tuple(names): address for place in (reached, addresses) for address, names in place.items()}
    return [Problem(host_list(n), rule, a, remedy) for n, a in twice.items() if len(n) > 1 and UNKNOWN not in a]


def id_problems(inventory: Inventory) -> list[Problem]:
    """Stated ids (`kafka_node_id`) are unique in their cluster."""
    holders: dict[tuple[str, str, str], list[str]] = {}
    for host in inventory.fleet.hosts:
        for name, value in host.vars.items():
            match = _ID.match(name)
            if match and value is not None and match.group(1) in host.groups:
                cluster = str(host.vars.get(f"{match.group(1)}_cluster_name", "main"))
                holders.setdefault((name, cluster, str(value)), []).append(host.name)
    return [
        Problem(f"{host_list(names)}: {name}", f"an id is used once in a cluster ({cluster})", value,
                "give each host an id of its own, and never reuse one")
        for (name, cluster, value), names in holders.items() if len(names) > 1
    ]  # fmt: skip


def port_problems(fleet: Fleet, listeners: Listeners) -> list[Problem]:
    """No port of a host is used by two services; what one service does twice, it says itself."""
    found = []
    for host in fleet.hosts:
        ssh = host.vars.get("ansible_port") or 22
        own = [*listeners[host.name], *([Listener(int(ssh), "ssh")] if str(ssh).isdigit() else [])]
        for one, other in combinations(own, 2):
            if one.port != other.port or _service(one) == _service(other):
                continue
            if services.overlap(one.address, other.address):
                seen = f"port {one.port} of {one.service} and {other.service}"
                remedy = f"give {one.service} another port (on the host alone: app_ports)"
                found.append(Problem(host.name, "a port is used once on a host", seen, remedy))
    return found


def peer_problems(groups: Iterable[str], listeners: Listeners) -> list[Problem]:
    """Every group that may connect to a service is in the inventory, or might be; every network is one."""
    known = {*groups, *GROUPS}
    heard = {(x.service, group) for own in listeners.values() for x in own for group in x.groups}
    networks = {(x.service, network) for own in listeners.values() for x in own for network in x.networks}
    found = []
    for service, network in sorted(networks):
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            rule, remedy = "a network is an address with a prefix length", "write it as 192.0.2.0/24 or 2001:db8::/32"
            found.append(Problem(f"{service}: allow_from_networks", rule, network, remedy))
    rule = "a group that may connect is in the inventory"
    for service, group in sorted(heard):
        if group not in known:
            near = nearest(group, known)
            remedy = f"did you mean {near}?" if near else "correct allow_from, or add the group to hosts.yml"
            found.append(Problem(f"{service}: allow_from", rule, group, remedy))
    return found


def _listener_problems(inventory: Inventory) -> list[Problem]:
    fleet = inventory.fleet
    listeners = {host.name: services.listeners(fleet, host) for host in fleet.hosts}
    return port_problems(fleet, listeners) + peer_problems(inventory.groups, listeners)


def _of_services(inventory: Inventory, reported: Sequence[Problem]) -> list[Problem]:
    """Return what the services find and is not reported yet; values of the wrong kind may make them stumble."""
    found: list[Problem] = []
    parts: tuple[Callable[[], Iterable[Problem]], ...] = (
        lambda: services.problems(inventory.fleet),
        lambda: _listener_problems(inventory),
    )
    for part in parts:
        try:
            found += part()
        except SteelyardError as error:
            found += error.problems
        except (AttributeError, KeyError, TypeError, ValueError):
            if not reported and not found:
                raise
    sources, hosts = _shared_sources(inventory), list(inventory.names)
    each = (_split(p, hosts) for p in found)
    told = {(_variable(p.where), p.seen) for p in reported}
    # Of a variable that is of the wrong kind as a whole, nothing that is said of its parts is worth reading.
    broken = {name for name, _seen in told}
    new = [(h, p) for h, p in each if (p.where, p.seen) not in told and re.split(r"[.\[]", p.where)[0] not in broken]
    return gather(((h, Problem(at(p.where, sources), p.rule, p.seen, p.remedy)) for h, p in new), hosts)


def _variable(where: str) -> str:
    """Return the path of `api1, api2: app_ports.api (group_vars/all.yml:3)`: the variable and what of it."""
    return where.rpartition(": ")[2].partition(" (")[0]


def _split(problem: Problem, hosts: Iterable[str]) -> tuple[str, Problem]:
    """Return the host of a `host: variable` and the problem without it; no host for what concerns no single one."""
    host, _colon, path = problem.where.partition(": ")
    if host not in hosts:
        return "", problem
    return host, Problem(path, problem.rule, problem.seen, problem.remedy)


def _shared_sources(inventory: Inventory) -> dict[str, str]:
    """Return where variables were written, of those that were written in one place for all hosts."""
    places: dict[str, set[str]] = {}
    for sources in inventory.sources.values():
        for name, source in sources.items():
            places.setdefault(name, set()).add(source)
    return {name: next(iter(where)) for name, where in places.items() if len(where) == 1}


def _one_value(name: str, value: Any, declared: Options) -> Iterable[Problem]:
    if name in declared and not _STATE.match(name):  # states have a rule of their own
        for p in check_options({name: value}, {name: declared[name]}, ""):
            yield Problem(p.where.lstrip("."), p.rule, p.seen, p.remedy)
    if _CLUSTER.match(name) and not _NAME.match(str(value)):
        near = re.sub(r"[^A-Za-z0-9_-]+", "-", str(value)).strip("-_")[:_LONGEST_NAME]
        rule = f"a cluster's name is letters, digits, - and _, at most {_LONGEST_NAME}"  # it names files and groups
        yield Problem(name, rule, repr(value), f"write it as {near}" if near else "give it a name")
    if name in SIZES:
        yield from _raised(lambda: parse_size(value, name))
    if name == "steelyard_cpus" and isinstance(value, int | float) and value <= 0:
        yield Problem(name, "a host has CPUs", str(value), "give a number above 0, such as 2 or 0.5")


def _raised(make: Callable[[], object]) -> tuple[Problem, ...]:
    try:
        make()
    except SteelyardError as error:
        return error.problems
    return ()


def _below(inventory: Inventory, name: str) -> set[str]:
    """Return every group under this one."""
    found: set[str] = set()
    todo = [name]
    while todo:
        group = inventory.groups.get(todo.pop())
        new = set(group.children) - found if group else set()
        found |= new
        todo += new
    return found


def _each(inventory: Inventory, name: str) -> list[Any]:
    """Return a variable's values over all hosts, each object once."""
    return list({id(h.vars[name]): h.vars[name] for h in inventory.fleet.hosts if name in h.vars}.values())


def _everywhere(inventory: Inventory, name: str) -> list[str]:
    return [str(item) for value in _each(inventory, name) if isinstance(value, list) for item in value]


def _service(listener: Listener) -> str:
    return listener.service.split(" ", 1)[0].split(":", 1)[0]
