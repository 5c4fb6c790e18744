# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a fleet's Redis, as far as the inventory alone shows it. Pure: no Ansible."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.redis import inventory
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    BUS_OFFSET,
    CLUSTER,
    REPLICATION,
    Cluster,
    ClusterSpec,
    Instance,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.readers import LAST_PORT
from ansible_collections.steelyard.stack.plugins.module_utils.validate import nearest

FEWEST_MASTERS = 3
FEWEST_SENTINELS = 3


def problems(fleet: Fleet) -> list[Problem]:
    """Return everything that is wrong with the fleet's clusters, instances and Sentinels, each said once."""
    found: dict[Problem, None] = {}
    found.update(dict.fromkeys(_unequal(fleet)))
    try:
        clusters = inventory.clusters_in(fleet)
    except SteelyardError as error:
        found.update(dict.fromkeys(error.problems))
        return list(found)
    for host in fleet.hosts:
        found.update(dict.fromkeys(_tried(lambda h=host: _host_problems(fleet, h, clusters))))  # type: ignore[misc]
    for cluster in clusters.values():
        found.update(dict.fromkeys(_tried(lambda c=cluster: _cluster_problems(fleet, c))))  # type: ignore[misc]
    return list(found)


def _tried(judge: Callable[[], list[Problem]]) -> list[Problem]:
    try:
        return judge()
    except SteelyardError as error:
        return list(error.problems)


def _unequal(fleet: Fleet) -> list[Problem]:
    """Return the clusters that hosts state differently: they are one statement, of the whole fleet."""
    first: dict[str, tuple[str, object]] = {}
    found = []
    seen: set[int] = set()
    for host in fleet.hosts:
        raw = host.vars.get("redis_clusters")
        if not isinstance(raw, dict) or id(raw) in seen:
            continue
        seen.add(id(raw))
        for name, stated in raw.items():
            # A certificate may well be each host's own.
            plain = {k: v for k, v in stated.items() if k != "tls"} if isinstance(stated, dict) else stated
            other, earlier = first.setdefault(str(name), (host.name, plain))
            if earlier != plain:
                rule = "a cluster is stated alike for all hosts"
                remedy = "state redis_clusters once, in group_vars/all"
                found.append(Problem(f"redis_clusters.{name}", rule, f"{other} and {host.name} differ", remedy))
    return found


def _host_problems(fleet: Fleet, host: Host, clusters: dict[str, Cluster]) -> list[Problem]:
    found: list[Problem] = []
    for name, port, _state in inventory.listed(host) or ():
        where = f"{host.name}: redis_instances"
        if name not in clusters:
            near = nearest(name, clusters)
            remedy = f"did you mean {near}?" if near else f"clusters are: {', '.join(sorted(clusters)) or 'none'}"
            found.append(Problem(where, "an instance is of a cluster in redis_clusters", name, remedy))
        elif clusters[name].group not in host.groups:
            remedy = f"add the host to {clusters[name].group}, or remove the instance"
            found.append(Problem(where, "an instance's host is in its cluster's group", f"{name}:{port}", remedy))
    return found + _port_problems(fleet, host)


def _port_problems(fleet: Fleet, host: Host) -> list[Problem]:
    """Return ports that two of the host's instances, buses and Sentinels want."""
    taken: dict[int, str] = {}
    found = []
    for listener in inventory.listeners(fleet, host):
        other = taken.setdefault(listener.port, listener.service)
        if other is not listener.service:
            seen = f"port {listener.port} of {other} and {listener.service}"
            remedy = f"give one of them another port; a cluster's bus has its port plus {BUS_OFFSET}"
            found.append(Problem(host.name, "a port is used once on a host", seen, remedy))
        if listener.port > LAST_PORT:
            remedy = f"use ports up to {LAST_PORT - BUS_OFFSET} in mode cluster"
            found.append(Problem(host.name, "the bus has a port, too", str(listener.port), remedy))
    return found


def _cluster_problems(fleet: Fleet, cluster: Cluster) -> list[Problem]:
    where = f"redis_clusters.{cluster.name}"
    spec = inventory.spec_of(fleet, cluster)
    found = _group_problems(fleet, cluster, where)
    if not spec.instances:
        return found
    found += _address_problems(spec)
    if not spec.staying:
        remedy = "keep one, or take the cluster out of redis_clusters and remove it by hand"
        seen = f"all {len(spec.instances)} leave"
        return [*found, Problem(where, "the last copy of data is not removed", seen, remedy)]
    if cluster.mode == CLUSTER:
        found += _shard_problems(spec, where)
    if cluster.mode == REPLICATION:
        found += _replication_problems(fleet, cluster, spec, where)
    if cluster.sentinel:
        found += _sentinel_problems(spec, where)
    if cluster.min_replicas_to_write > _replicas(spec):
        seen = f"{cluster.min_replicas_to_write} of {_replicas(spec)} replica(s)"
        remedy = "lower min_replicas_to_write, or add replicas: no write would be taken"
        found.append(
            Problem(f"{where}.min_replicas_to_write", "a primary has the replicas that it waits for", seen, remedy)
        )
    return found


def _replicas(spec: ClusterSpec) -> int:
    """Return how many replicas a primary has."""
    if spec.mode == CLUSTER:
        return spec.replicas
    return len(spec.staying) - 1 if spec.mode == REPLICATION else 0


def _group_problems(fleet: Fleet, cluster: Cluster, where: str) -> list[Problem]:
    found = []
    named = [(f"{where}.group", cluster.group, "a cluster's group has hosts")]
    if cluster.sentinel:
        named.append((f"{where}.sentinel.group", cluster.sentinel.group, "the Sentinels' group has hosts"))
    groups = {g for h in fleet.hosts for g in h.groups}
    for place, group, rule in named:
        if group not in groups:
            near = nearest(group, groups)
            remedy = f"did you mean {near}?" if near else f"add a host to {group}"
            found.append(Problem(place, rule, group, remedy))
    return found


def _address_problems(spec: ClusterSpec) -> list[Problem]:
    """Nodes and Sentinels tell each other, and clients, addresses: names are not told."""
    addresses = {i.host: i.address for i in spec.instances}
    addresses |= {s.host: s.address for s in (spec.sentinel.instances if spec.sentinel else ())}
    found = {}
    for host, address in addresses.items():
        try:
            ipaddress.ip_address(address)
        except ValueError:
            found[host] = address
    rule, remedy = "a Redis host is reached by an IP address", "state steelyard_address (or ansible_host) as one"
    return [Problem(host, rule, address, remedy) for host, address in found.items()]


def _shard_problems(spec: ClusterSpec, where: str) -> list[Problem]:
    """Return why the instances cannot make the wanted shards, with every copy on a host of its own."""
    members, copies, shards = spec.staying, 1 + spec.replicas, spec.wanted_shards
    hosts = Counter(i.host for i in members)
    counted = f"{len(members)} instance(s) on {len(hosts)} host(s)"
    if shards < FEWEST_MASTERS:
        need = FEWEST_MASTERS * copies
        remedy = (
            f"place {need} instances ({FEWEST_MASTERS} shards of {copies}), lower replicas, or use mode replication"
        )
        return [Problem(where, f"a cluster has at least {FEWEST_MASTERS} masters", f"{shards} of {counted}", remedy)]
    if len(hosts) < FEWEST_MASTERS:
        remedy = f"add {FEWEST_MASTERS - len(hosts)} host(s): the failure of one must leave a majority of masters"
        return [Problem(where, f"a cluster is on at least {FEWEST_MASTERS} hosts", counted, remedy)]
    if len(hosts) < copies:
        remedy = f"add {copies - len(hosts)} host(s), or lower replicas to {len(hosts) - 1}"
        rule = "the copies of a shard are on different hosts"
        return [Problem(f"{where}.replicas", rule, f"{copies} copies, {len(hosts)} host(s)", remedy)]
    found = _count_problems(spec, where, counted)
    # With every shard of the same size, one of each host's instances a shard is all that can be placed apart.
    apart = sum(min(here, shards) for here in hosts.values())
    if not found and apart < shards * copies:
        crowded = max(hosts, key=lambda h: hosts[h])
        seen = f"{counted}, {hosts[crowded]} of them on {crowded}; {apart} of {shards * copies} can be placed"
        found.append(Problem(where, "the copies of a shard are on different hosts", seen, "spread them evenly"))
    return found


def _count_problems(spec: ClusterSpec, where: str, counted: str) -> list[Problem]:
    copies, shards = 1 + spec.replicas, spec.wanted_shards
    wanted, present = shards * copies, len(spec.staying)
    if present < wanted:
        remedy = f"add {wanted - present} instance(s), or lower shards or replicas"
        rule = "there is an instance for every copy"
        return [Problem(f"{where}.shards", rule, f"{counted}, {shards} shards of {copies} need {wanted}", remedy)]
    if present > wanted:
        spare = spec.staying[wanted:]
        seen = f"{counted}, {shards} shards of {copies} take {wanted}: {_names(spare)} would be spare"
        add = copies - (present - wanted) % copies
        more = f"add {add} for another shard, " if add < copies else f"state {present // copies} shards, "
        return [Problem(where, "instances make whole shards", seen, f"{more}or remove {len(spare)}")]
    return []


def _names(spare: Iterable[Instance]) -> str:
    return ", ".join(i.name for i in spare)


def _replication_problems(fleet: Fleet, cluster: Cluster, spec: ClusterSpec, where: str) -> list[Problem]:
    found = []
    hosts = Counter(i.host for i in spec.staying)
    if len(hosts) < 2:
        remedy = "add a host to the group, or use mode standalone"
        found.append(Problem(where, "a replicated cluster is on at least two hosts", f"{len(hosts)}", remedy))
    for host, here in hosts.items():
        if here > 1:
            remedy = "state one port; a second set of data is a second cluster"
            found.append(Problem(f"{where}.ports", "a copy is on a host of its own", f"{here} on {host}", remedy))
    known = [h.name for h in fleet.group(cluster.group)]
    if cluster.primary and cluster.primary not in known:
        near = nearest(cluster.primary, known)
        remedy = f"did you mean {near}?" if near else f"hosts are: {', '.join(known)}"
        found.append(
            Problem(f"{where}.primary", "the primary is a host of the cluster's group", cluster.primary, remedy)
        )
    return found


def _sentinel_problems(spec: ClusterSpec, where: str) -> list[Problem]:
    sentinel = spec.sentinel
    if sentinel is None:
        return []
    if spec.mode != REPLICATION:
        remedy = "remove sentinel, or use mode replication"
        return [Problem(f"{where}.sentinel", "Sentinels watch a replicated cluster", spec.mode, remedy)]
    found = []
    watching = [s for s in sentinel.instances if s.stays]
    if len(watching) < FEWEST_SENTINELS:
        rule = f"there are at least {FEWEST_SENTINELS} Sentinels, so that a majority outlives one"
        remedy = f"add hosts to {sentinel.group}"
        found.append(Problem(f"{where}.sentinel", rule, str(len(watching)), remedy))
    if sentinel.quorum > len(watching):
        remedy = f"lower it to {len(watching) // 2 + 1}, or add hosts to {sentinel.group}"
        seen = f"{sentinel.quorum} of {len(watching)}"
        found.append(Problem(f"{where}.sentinel.quorum", "a quorum is not more than the Sentinels", seen, remedy))
    return found
