# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server's sizes from its host, who else lives there, and what the cluster writes. Pure: no Ansible, no I/O.

Sizes are bytes. Every result carries the sentence that it follows from; each can be overridden by a key of the cluster
or by its `settings`. Sources:

- redis.conf, `admin.md` of the Redis documentation: a rewrite of the append-only file or a snapshot forks, and every
  page that is written meanwhile is there twice, so that memory may double.
- redis.conf, "THREADED I/O": 2 or 3 threads on 4 cores, 6 on 8, and only where a core is idle.
- redis.conf, `repl-backlog-size`: a replica that was away for a minute catches up from a backlog of a minute's writes.
- redis.conf, `client-output-buffer-limit`: while a replica loads, what is written meanwhile waits in its buffer.
- server.c, `adjustOpenFilesLimit`: 32 files beside the clients'; the bus takes two connections to each other node.
- listen(2): a backlog beyond net.core.somaxconn is cut silently; 4096 since Linux 5.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis.config import normal
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import CLUSTER, STANDALONE, Cluster
from ansible_collections.steelyard.stack.plugins.module_utils.sizing import MIB, system_share
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

PERSISTENT_SHARE, PLAIN_SHARE = 0.6, 0.8
FULL_SYNC_RATE = 50 * MIB
"""Bytes a second that a full synchronisation is counted on to move: made, sent and loaded, on a slow disk."""
BACKLOG_SECONDS = 60
MOST_CLIENTS, FEWEST_CLIENTS = 10000, 100
FILES_BESIDE = 32
FILES_A_NODE = 2
OWN_MEMORY = 32 * MIB
"""What a process takes with no data in it, and what few clients' buffers add."""

# Tiers 1-4 of the profile `ape` (its document's "Redis" lines).
APE_MAXMEMORY = {1: 128 * MIB, 2: 512 * MIB, 3: 1024 * MIB, 4: 2048 * MIB}


@dataclass(frozen=True)
class HostLimits:
    """What a host gives Redis: memory in bytes, CPUs, the hard limit of open files that a unit can be given there."""

    memory: int
    cpus: int
    nofile: int = 1048576
    somaxconn: int = 4096


@dataclass(frozen=True)
class Tenants:
    """Who is to live on a host: the clusters of its servers, one for each server, and what others take of its memory.

    `shared` says that other services are placed there, so that no core is idle.
    """

    servers: tuple[Cluster, ...]
    others: int = 0
    shared: bool = False


@dataclass(frozen=True)
class Sized:
    """One size, and the sentence that it follows from. `name` is a directive, or `nofile` or `memory_max` of the unit."""

    name: str
    value: str
    source: str

    def __str__(self) -> str:
        return f"{self.name} {self.value}: {self.source}"


def ape_maxmemory(tier: object) -> int:
    """Return what a server of tier 1-4 of the profile `ape` keeps; raises Refused on another number."""
    try:
        return APE_MAXMEMORY[int(str(tier))]
    except (KeyError, ValueError):
        raise Refused("ape_tier is 1, 2, 3 or 4", repr(tier), "choose a tier", "ape_tier") from None


def share_of(cluster: Cluster) -> float:
    """Return the part of a server's memory that its data may take, so that a fork has room."""
    return PERSISTENT_SHARE if cluster.persistence else PLAIN_SHARE


def free_memory(limits: HostLimits, tenants: Tenants) -> int:
    """Return what the data of all servers of a host has: memory less the system's share, other tenants, backlogs."""
    backlogs = sum(_up(c.write_rate * BACKLOG_SECONDS) for c in tenants.servers if c.mode != STANDALONE)
    return max(0, limits.memory - system_share(limits.memory) - tenants.others - backlogs)


def size(
    cluster: Cluster, limits: HostLimits, tenants: Tenants, nodes: int, profile: str = "", tier: object = None
) -> tuple[Sized, ...]:
    """Return the sizes of one server of `cluster`, which has `nodes` members; raises Refused where the host has no room.

    What the cluster states itself (`maxmemory`, `settings`) is taken as stated and said so.
    """
    memory = _maxmemory(cluster, limits, tenants, profile, tier)
    kept = int(memory.value)
    backlog = _override(_backlog(cluster, kept), cluster)
    buffers = _override(_replica_buffers(cluster, kept), cluster)
    threads, waiting = _override(_io_threads(limits, tenants), cluster), _override(_tcp_backlog(limits), cluster)
    clients, files = _files(cluster, limits, nodes)
    unit = _unit_memory(cluster, kept, backlog, buffers)
    return (memory, threads, backlog, buffers, _override(clients, cluster), waiting, files, unit)


def as_settings(sizes: Sequence[Sized]) -> dict[str, str]:
    """Return the directives among some sizes, for `config.wanted_settings`."""
    return {one.name: one.value for one in sizes if one.name not in ("nofile", "memory_max")}


def _override(one: Sized, cluster: Cluster) -> Sized:
    if one.name not in cluster.settings:
        return one
    return Sized(one.name, normal(one.name, cluster.settings[one.name]), f"stated in settings (sized: {one.value})")


def _whole(size: float) -> int:
    """Return the whole MiB in a number of bytes, as bytes."""
    return int(size // MIB) * MIB


def _up(size: float) -> int:
    """Return bytes rounded up to whole MiB."""
    return -int(-size // MIB) * MIB


def _maxmemory(cluster: Cluster, limits: HostLimits, tenants: Tenants, profile: str, tier: object) -> Sized:
    if cluster.maxmemory:
        return Sized("maxmemory", str(cluster.maxmemory), "stated by the cluster")
    if profile == "ape" and tier not in (None, ""):
        return Sized("maxmemory", str(ape_maxmemory(tier)), f"tier {tier} of the profile ape")
    free = free_memory(limits, tenants)
    # Each server takes its data and the room that its fork needs; those that state their size go first.
    stated = sum(c.maxmemory / share_of(c) for c in tenants.servers if c.maxmemory)
    unsized = max(1, sum(1 for c in tenants.servers if not c.maxmemory))
    found = _whole((free - stated) / unsized * share_of(cluster))
    if found < MIB:
        seen = f"{format_size(free)} free, {format_size(int(stated))} for servers that state their size"
        remedy = "state a smaller maxmemory, place fewer servers there, or give the host more memory"
        raise Refused("a server has room for its data", seen, remedy, f"redis_clusters.{cluster.name}.maxmemory")
    percent = round(share_of(cluster) * 100)
    why = "forks may double what is written meanwhile" if cluster.persistence else "nothing is saved, so nothing forks"
    text = f"{percent} % of what is free ({format_size(free)}), among {len(tenants.servers)} server(s); {why}"
    return Sized("maxmemory", str(found), text)


def _io_threads(limits: HostLimits, tenants: Tenants) -> Sized:
    if len(tenants.servers) > 1 or tenants.shared:
        return Sized("io-threads", "1", "the host's cores are shared: one process is one core")
    threads = 1 if limits.cpus < 4 else min(6, limits.cpus // 2) if limits.cpus < 8 else 6
    text = f"{limits.cpus} CPU(s) for one server: 1 below 4, 2-3 from 4, 6 from 8"
    return Sized("io-threads", str(threads), text)


def _backlog(cluster: Cluster, maxmemory: int) -> Sized:
    name = "repl-backlog-size"
    if cluster.mode == STANDALONE:
        return Sized(name, str(MIB), "nothing replicates: Redis's own 1mb")
    if cluster.write_rate:
        found = max(MIB, _up(cluster.write_rate * BACKLOG_SECONDS))
        return Sized(
            name, str(found), f"{BACKLOG_SECONDS} s of {format_size(cluster.write_rate)} a second, at least 1mb"
        )
    found = min(64 * MIB, max(MIB, _whole(maxmemory / 20)))
    return Sized(name, str(found), "no write_rate is stated: a twentieth of maxmemory, 1mb to 64mb")


def _replica_buffers(cluster: Cluster, maxmemory: int) -> Sized:
    seconds = maxmemory / FULL_SYNC_RATE
    need = _up(cluster.write_rate * seconds)
    hard, soft = max(256 * MIB, need), max(64 * MIB, need)
    value = normal("client-output-buffer-limit", f"replica {hard} {soft} 60")
    text = f"{format_size(cluster.write_rate)} a second for {seconds:.0f} s of a full sync at {format_size(FULL_SYNC_RATE)}/s"
    return Sized("client-output-buffer-limit", value, f"{text}, at least 256mb and 64mb for 60 s")


def _files(cluster: Cluster, limits: HostLimits, nodes: int) -> tuple[Sized, ...]:
    beside = FILES_BESIDE + FILES_A_NODE * (nodes if cluster.mode == CLUSTER else 0)
    stated = cluster.settings.get("maxclients")
    clients = int(str(stated)) if stated is not None else min(MOST_CLIENTS, limits.nofile - beside)
    if clients < FEWEST_CLIENTS or clients + beside > limits.nofile:
        seen = f"{limits.nofile} for {max(clients, FEWEST_CLIENTS)} clients and {beside} beside"
        remedy = "raise the host's hard limit of open files, or lower settings.maxclients"
        raise Refused("open files stay within the host's hard limit", seen, remedy, f"redis_clusters.{cluster.name}")
    text = f"files: one a client, {beside} beside, at most {limits.nofile}"
    return Sized("maxclients", str(clients), text), Sized("nofile", str(clients + beside), text)


def _tcp_backlog(limits: HostLimits) -> Sized:
    found = min(limits.somaxconn, 4096)
    return Sized("tcp-backlog", str(found), f"net.core.somaxconn is {limits.somaxconn}; beyond it nothing waits")


def _unit_memory(cluster: Cluster, maxmemory: int, backlog: Sized, buffers: Sized) -> Sized:
    """The unit's limit is a last resort: above what the server may rightly take, below its taking its neighbours'."""
    factor = 1 / share_of(cluster) if not cluster.persistence else 2
    hard = int(buffers.value.split(" slave ")[1].split()[0]) if cluster.mode != STANDALONE else 0
    found = _up(maxmemory * factor) + int(backlog.value) + hard + OWN_MEMORY
    text = f"{factor:g} × maxmemory, the backlog, a replica's buffer and {format_size(OWN_MEMORY)}"
    return Sized("memory_max", str(found), text)


def promised_memory(limits: HostLimits, tenants: Tenants, profile: str = "", tier: object = None) -> int:
    """Return the data that the servers of a host may keep together; raises Refused where one has no room."""
    return sum(int(_maxmemory(c, limits, tenants, profile, tier).value) for c in tenants.servers)


def oversubscription(limits: HostLimits, tenants: Tenants, where: str, profile: str = "", tier: object = None) -> list[
    Problem
]:  # fmt: skip
    """Return why the servers of a host do not fit into its memory."""
    if not tenants.servers:
        return []
    free = free_memory(limits, tenants)
    try:
        promised = promised_memory(limits, tenants, profile, tier)
    except Refused as error:
        return [Problem(where, p.rule, p.seen, p.remedy) for p in error.problems]
    if promised <= free:
        return []
    seen = f"{format_size(promised)} for {len(tenants.servers)} server(s), {format_size(free)} are free"
    remedy = "lower maxmemory, place fewer servers there (redis_instances), or give it more memory"
    return [Problem(where, "the maxmemory of all servers fits into the host", seen, remedy)]


def tight(limits: HostLimits, tenants: Tenants, profile: str = "", tier: object = None) -> str:
    """Return the sentence that warns of data which fits, but leaves a fork no room; empty where it has room."""
    free = free_memory(limits, tenants)
    needed = sum(
        int(_maxmemory(c, limits, tenants, profile, tier).value) / share_of(c) for c in tenants.servers
    )  # fmt: skip
    if needed <= free + len(tenants.servers) * MIB:
        return ""
    return (
        f"maxmemory leaves saving no room: with forks the servers may take {format_size(int(needed))} of "
        f"{format_size(free)}; lower it, or lower the write rate while instances save"
    )
