# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory places where: clusters, instances, Sentinels and listeners of a fleet. Pure: no Ansible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.redis import readers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    CLUSTER,
    REPLICATION,
    SERVICE,
    Cluster,
    ClusterSpec,
    Instance,
    Secrets,
    Sentinel,
    SentinelInstance,
    User,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.options import STATES


def read_cluster(name: str, raw: object) -> tuple[Cluster | None, list[Problem]]:
    """Return the cluster that `raw` states, or None with everything that is wrong with it."""
    parts, problems = readers.read_cluster(name, raw)
    if problems:
        return None, problems
    sentinel = Sentinel(**parts.pop("sentinel")) if parts.get("sentinel") else parts.pop("sentinel")
    users = tuple(User(**u) for u in parts.pop("users"))
    secrets = Secrets(**parts.pop("secrets"))
    return Cluster(name=name, sentinel=sentinel, users=users, secrets=secrets, **parts), []


def clusters_from_vars(variables: Mapping[str, Any]) -> dict[str, Cluster]:
    """Return the clusters that `redis_clusters` states; raises Refused with every problem."""
    raw = variables.get("redis_clusters") or {}
    if not isinstance(raw, Mapping):
        remedy = "write redis_clusters: {sessions: {…}}"
        raise Refused("redis_clusters is a mapping of clusters", type(raw).__name__, remedy, "redis_clusters")
    read = {str(name): read_cluster(str(name), value) for name, value in raw.items()}
    problems = [p for _found, wrong in read.values() for p in wrong]
    if problems:
        raise Refused.of(problems)
    return {name: found for name, (found, _wrong) in read.items() if found is not None}


def clusters_in(fleet: Fleet) -> dict[str, Cluster]:
    """Return every cluster that any host's variables state (they are the fleet's, the same on all hosts); raises Refused."""
    found: dict[str, Cluster] = {}
    read: set[int] = set()
    for host in fleet.hosts:
        raw = host.vars.get("redis_clusters")
        if raw and id(raw) not in read:
            read.add(id(raw))
            for name, cluster in clusters_from_vars(host.vars).items():
                found.setdefault(name, cluster)
    return found


def listed(host: Host) -> list[tuple[str, int, str]] | None:
    """Return what the host's own `redis_instances` states; None where it states nothing. Raises Refused."""
    raw = host.vars.get("redis_instances")
    if raw is None:
        return None
    problems: list[Problem] = []
    found = readers.read_instances(raw, f"{host.name}: redis_instances", problems)
    if problems:
        raise Refused.of(problems)
    return found


def _later(one: str, other: str) -> str:
    """Return the state that is further on the way out: a leaving host's instances all leave."""
    return max(one, other, key=STATES.index)


def _instances_on(cluster: Cluster, host: Host) -> list[Instance]:
    own = listed(host)
    here = ([(p, s) for c, p, s in own if c == cluster.name] if own is not None
            else [(p, "present") for p in cluster.ports if cluster.group in host.groups])  # fmt: skip
    if not here:
        return []
    state = host.state_of(SERVICE)
    return [
        Instance(cluster.name, host.name, host.address, port, host.zone, _later(state, stated)) for port, stated in here
    ]


def instances_of(fleet: Fleet, host: Host) -> tuple[Instance, ...]:  # noqa: ARG001 (one shape for all services)
    """Return the instances that the inventory places on `host`, by port; raises Refused. Leaving ones are among them."""
    found = [i for c in clusters_from_vars(host.vars).values() for i in _instances_on(c, host)]
    return tuple(sorted(found, key=lambda i: (i.port, i.cluster)))


def clusters_on(fleet: Fleet, host: Host) -> tuple[Cluster, ...]:
    """Return the clusters of the servers that stay on `host`, one for each server; raises Refused."""
    clusters = clusters_from_vars(host.vars)
    return tuple(clusters[i.cluster] for i in instances_of(fleet, host) if i.stays)


def sentinels_of(fleet: Fleet, host: Host) -> tuple[SentinelInstance, ...]:  # noqa: ARG001
    """Return the Sentinels that the inventory places on `host`, by port; raises Refused. Leaving ones are among them."""
    found = [s for c in clusters_from_vars(host.vars).values() for s in _sentinels_on(c, host)]
    return tuple(sorted(found, key=lambda s: (s.port, s.cluster)))


def _sentinels_on(cluster: Cluster, host: Host) -> list[SentinelInstance]:
    if cluster.sentinel is None or cluster.sentinel.group not in host.groups:
        return []
    port, state = cluster.sentinel.port, host.state_of(SERVICE)
    return [SentinelInstance(cluster.name, host.name, host.address, port, host.zone, state)]


def spec_of(fleet: Fleet, cluster: Cluster) -> ClusterSpec:
    """Return what planners plan from: the cluster with its instances and Sentinels, in inventory order; raises Refused."""
    instances = tuple(i for host in fleet.hosts for i in _instances_on(cluster, host))
    sentinel = None
    if cluster.sentinel:
        watching = tuple(s for host in fleet.hosts for s in _sentinels_on(cluster, host))
        sentinel = Sentinel(**{**cluster.sentinel.as_dict(), "instances": watching})
    first = next((i.host for i in instances if i.stays), "")
    return ClusterSpec(
        name=cluster.name, mode=cluster.mode, instances=instances, replicas=cluster.replicas, shards=cluster.shards,
        balance_by=cluster.balance_by, threshold=cluster.threshold, node_timeout=cluster.node_timeout,
        maxmemory=cluster.maxmemory, primary=(cluster.primary or first) if cluster.mode == REPLICATION else "",
        sentinel=sentinel, tls=cluster.tls,
    )  # fmt: skip


def clusters_of(fleet: Fleet) -> tuple[ClusterSpec, ...]:
    """Return what is wanted of every cluster; raises Refused."""
    return tuple(spec_of(fleet, cluster) for cluster in clusters_in(fleet).values())


def listeners(fleet: Fleet, host: Host) -> list[Listener]:
    """Return the ports that Redis and Sentinel open on `host`, and who may reach them; raises Refused.

    Members of a cluster reach each other's data ports (replicas, moving slots) and, in mode cluster, nobody else
    their bus ports. Sentinels reach the data ports, each other, and are asked by the same clients as the servers.
    """
    found: list[Listener] = []
    clusters = clusters_from_vars(host.vars)
    for instance in instances_of(fleet, host):
        cluster = clusters[instance.cluster]
        name = f"{SERVICE} {cluster.name}"
        groups = tuple(dict.fromkeys((cluster.group, *_watching(cluster), *cluster.allow_from)))
        found.append(Listener(instance.port, name, groups, cluster.allow_from_networks, host.address))
        if cluster.mode == CLUSTER:
            found.append(Listener(instance.bus_port, f"{name} bus", (cluster.group,), (), host.address))
    for watcher in sentinels_of(fleet, host):
        cluster = clusters[watcher.cluster]
        groups = tuple(dict.fromkeys((*_watching(cluster), cluster.group, *cluster.allow_from)))
        name = f"{SERVICE} sentinel {cluster.name}"
        found.append(Listener(watcher.port, name, groups, cluster.allow_from_networks, host.address))
    return found


def _watching(cluster: Cluster) -> tuple[str, ...]:
    return (cluster.sentinel.group,) if cluster.sentinel else ()


def wanted_clusters(fleet: Fleet, host: Host) -> list[dict[str, Any]]:  # noqa: ARG001 (one shape for all lookups)
    """Return every cluster's `ClusterSpec` in JSON types; no secrets."""
    return [spec.as_dict() for spec in clusters_of(fleet)]


def wanted_instances(fleet: Fleet, host: Host) -> list[dict[str, Any]]:
    """Return the host's instances in JSON types, each with its cluster's statement under `config`; no secrets."""
    clusters = clusters_from_vars(host.vars)
    return [{**i.as_dict(), "config": clusters[i.cluster].as_dict()} for i in instances_of(fleet, host)]


def wanted_sentinels(fleet: Fleet, host: Host) -> list[dict[str, Any]]:
    """Return the host's Sentinels in JSON types, each with its cluster's statement under `config` and its `ClusterSpec`
    under `watches`; no secrets.
    """
    clusters = clusters_from_vars(host.vars)
    return [
        {
            **s.as_dict(),
            "config": clusters[s.cluster].as_dict(),
            "watches": spec_of(fleet, clusters[s.cluster]).as_dict(),
        }
        for s in sentinels_of(fleet, host)
    ]


def wanted_secrets(fleet: Fleet, host: Host) -> dict[str, dict[str, Any]]:
    """Return, by cluster, the secrets that `host` needs: of the clusters with an instance or a Sentinel there."""
    here = {i.cluster for i in instances_of(fleet, host)} | {s.cluster for s in sentinels_of(fleet, host)}
    return {n: c.secrets.as_dict() for n, c in clusters_from_vars(host.vars).items() if n in here}
