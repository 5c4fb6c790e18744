# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the inventory wants of this host, made into servers and Sentinels with every setting. Pure: facts come in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis import acl, config, sizing
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import (
    Server,
    Watcher,
    Wish,
    package_named,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    ADMIN,
    REPLICATION,
    SENTINEL,
    Cluster,
    ClusterSpec,
    Instance,
    Secrets,
    SentinelInstance,
)
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size

OPEN_FILES = 65536
"""The least that a unit gets where the host allows it: it is fixed at the start, and must not change with a cluster's
members."""
AUTO = "auto"
"""The word for a unit's limit of memory that follows from its server's."""
SYSCTLS = ("net.core.somaxconn",)
"""Kernel settings that sizes rest on."""


def limits_of(facts: Mapping[str, Any], stated: Mapping[str, Any]) -> sizing.HostLimits:
    """Return what the host gives, of `host_facts` and of what the inventory says is to be counted on."""
    memory = [facts.get("memory_bytes"), facts.get("cgroup_memory_bytes")]
    memory.append(parse_size(stated["memory"], "steelyard_memory") if stated.get("memory") else None)
    cpus = [facts.get("cpus"), facts.get("cgroup_cpus"), stated.get("cpus")]
    found: dict[str, int] = {}
    if facts.get("virtualization") and facts.get("nofile_hard"):
        # Without CAP_SYS_RESOURCE, as in a container, a unit that asks for more does not start.
        found["nofile"] = int(facts["nofile_hard"])
    if (facts.get("sysctl") or {}).get(SYSCTLS[0]):
        found["somaxconn"] = int(facts["sysctl"][SYSCTLS[0]])
    least_memory = min(int(limit) for limit in memory if limit)
    return sizing.HostLimits(least_memory, max(1, int(min(float(count) for count in cpus if count))), **found)


@dataclass(frozen=True)
class Host:
    """What settings rest on: limits, who else lives there, and the inventory's profile and tier."""

    limits: sizing.HostLimits
    tenants: sizing.Tenants
    profile: str = ""
    tier: str = ""


def wish_of(params: Mapping[str, Any], facts: Mapping[str, Any]) -> Wish:
    """Return what a call is asked for; raises Refused."""
    given, stated = Given.from_params(params), params.get("facts") or {}
    placed = [(Instance.from_dict(_without(raw)), given.cluster(raw)) for raw in _staying(params.get("instances"))]
    tenants = sizing.Tenants(
        tuple(cluster for _instance, cluster in placed),
        int(stated.get("others") or 0), bool(stated.get("shared")),
    )  # fmt: skip
    words = {name: str(stated.get(name) or "") for name in ("profile", "tier")}
    host = Host(limits_of(facts, stated), tenants, **words)
    memory_max = str(params.get("memory_max") or "0")
    servers = tuple(given.server(instance, cluster, host, memory_max) for instance, cluster in placed)
    sentinels = [
        (SentinelInstance.from_dict(_without(raw)), given.cluster(raw)) for raw in _staying(params.get("sentinels"))
    ]
    return Wish(
        package=package_named((params.get("package") or {}).get("name") or "redis-server"),
        version=str((params.get("package") or {}).get("version") or ""),
        hold=bool((params.get("package") or {}).get("hold")),
        servers=servers,
        watchers=tuple(given.watcher(sentinel, cluster) for sentinel, cluster in sentinels),
        host=params.get("host") or next((i.host for i, _cluster in placed), "this host"),
        remove=bool(params.get("remove")),
        data=str(params.get("data") or "keep"),
        restart=str(params.get("restart") or "never"),
        ports=tuple(params.get("ports") or ()),
        started_before=float(params.get("started_before") or 0),
    )


def _staying(raw: Iterable[Mapping[str, Any]] | None) -> list[Mapping[str, Any]]:
    """Return what is to be on the host; of what leaves nothing is made, not even settings."""
    return [one for one in raw or () if one.get("state") != "leaving"]


def _without(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the instance alone of what the lookup answers."""
    return {name: value for name, value in raw.items() if name not in ("config", "watches")}


@dataclass(frozen=True)
class Given:
    """Clusters, secrets and primaries as a call brings them."""

    specs: Mapping[str, ClusterSpec]
    secrets: Mapping[str, Secrets]
    primaries: Mapping[str, str]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Given:
        """Build it of a module's parameters."""
        specs = [ClusterSpec.from_dict(raw) for raw in params.get("clusters") or ()]
        secrets = {str(name): Secrets.from_dict(raw) for name, raw in (params.get("secrets") or {}).items()}
        primaries = {str(name): str(place) for name, place in (params.get("primaries") or {}).items()}
        return cls({spec.name: spec for spec in specs}, secrets, primaries)

    def secrets_of(self, cluster: str) -> Secrets:
        """Return a cluster's secrets; raises Refused where its admin has no password."""
        found = self.secrets.get(cluster, Secrets())
        if not found.passwords.get(ADMIN):
            remedy = "hand in lookup('steelyard.stack.wanted', 'redis_secrets')"
            raise Refused(f"the password of {ADMIN} is given", "none", remedy, f"redis_clusters.{cluster}")
        return found

    def cluster(self, raw: Mapping[str, Any]) -> Cluster:
        """Return the cluster that an instance or a Sentinel came with, and its secrets; raises Refused."""
        if not raw.get("config"):
            remedy = "hand in lookup('steelyard.stack.wanted', 'redis_instances')"
            raise Refused("an instance comes with what its cluster states", "none", remedy, str(raw.get("cluster")))
        return Cluster.from_dict(raw["config"], self.secrets_of(str(raw["config"]["name"])))

    def primary_of(self, cluster: str) -> str:
        """Return `address port` of the primary that a new replica is given; empty where nobody said."""
        if cluster in self.primaries:
            return self.primaries[cluster]
        spec = self.specs.get(cluster)
        if spec is None or spec.mode != REPLICATION:
            return ""
        found = next((i for i in spec.instances if i.host == spec.primary and i.stays), None)
        return f"{found.address} {found.port}" if found else ""

    def server(self, instance: Instance, cluster: Cluster, host: Host, memory_max: str) -> Server:
        """Return one server with every setting; raises Refused where the host has no room for it."""
        spec = self.specs.get(cluster.name)
        nodes = len(spec.instances) if spec else 1
        sizes = sizing.size(cluster, host.limits, host.tenants, nodes, host.profile, host.tier)
        sized = {one.name: one.value for one in sizes}
        settings = config.wanted_settings(cluster, instance.address, instance.port, sizing.as_settings(sizes))
        memory = sized["memory_max"] if memory_max == AUTO else parse_size(memory_max, "redis_memory_max")
        primary = self.primary_of(cluster.name) if cluster.mode == REPLICATION else ""
        return Server(
            cluster=cluster.name,
            host=instance.host,
            port=instance.port,
            mode=cluster.mode,
            state=instance.state,
            settings=settings,
            secrets=config.secret_settings(cluster),
            users=acl.server_lines(cluster),
            admin=ADMIN,
            admin_password=cluster.secrets.passwords[ADMIN],
            tls=_tls(cluster.secrets) if cluster.tls else {},
            replicaof="" if primary == f"{instance.address} {instance.port}" else primary,
            nofile=min(max(OPEN_FILES, int(sized["nofile"])), host.limits.nofile),
            memory_max=int(memory),
            persistent=cluster.persistence,
        )

    def watcher(self, sentinel: SentinelInstance, cluster: Cluster) -> Watcher:
        """Return one Sentinel; raises Refused where the inventory does not say what it watches."""
        stated, secrets, primary = cluster.sentinel, cluster.secrets, self.primary_of(cluster.name)
        if stated is None or not primary:
            remedy = "hand in lookup('steelyard.stack.wanted', 'redis_clusters')"
            raise Refused("a Sentinel watches a cluster that has a primary", cluster.name, remedy, sentinel.name)
        told = {
            "down-after-milliseconds": str(round(stated.down_after * 1000)),
            "failover-timeout": str(round(stated.failover_timeout * 1000)),
            "parallel-syncs": str(stated.parallel_syncs),
        }
        password = secrets.passwords.get(SENTINEL, "")
        hidden = {"auth-pass": password, "sentinel-pass": password}
        name = cluster.name
        monitor = [
            f"sentinel monitor {name} {primary} {stated.quorum}",
            *(f"sentinel {what} {name} {value}" for what, value in told.items()),
            f"sentinel auth-user {name} {SENTINEL}",
            f"sentinel auth-pass {name} {config.in_file('masterauth', password)}",
            f"sentinel sentinel-user {SENTINEL}",
            f"sentinel sentinel-pass {config.in_file('masterauth', password)}",
            f"sentinel announce-ip {sentinel.address}",
        ]
        settings = {"bind": sentinel.address, "protected-mode": "no"}
        if cluster.tls:
            settings |= {"tls-replication": "yes", "tls-auth-clients": "optional"}
        return Watcher(
            cluster=name,
            host=sentinel.host,
            port=sentinel.port,
            state=sentinel.state,
            settings=settings,
            users=acl.sentinel_lines(cluster),
            admin=ADMIN,
            admin_password=secrets.passwords[ADMIN],
            tls=_tls(secrets) if cluster.tls else {},
            monitor=tuple(monitor),
            watched={**told, "quorum": str(stated.quorum), "announce-ip": sentinel.address},
            concealed=hidden,
        )


def _tls(secrets: Secrets) -> dict[str, str]:
    return {"certificate": secrets.certificate, "key": secrets.key, "ca": secrets.ca}
