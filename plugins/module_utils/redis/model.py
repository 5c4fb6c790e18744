# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redis clusters, instances and Sentinels as the inventory states them. Pure: no Ansible.

A cluster (`sessions`) is one set of data in one of three modes. An instance is one server process of it on one host,
named `redis1:7000` after its inventory host and port: `redis@7000.service` there. What the planners get is the
`ClusterSpec`, which holds no secret; those are in `Secrets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable

SERVICE = "redis"
GROUP = "redis"
STANDALONE, REPLICATION, CLUSTER = "standalone", "replication", "cluster"
BUS_OFFSET = 10000
"""Redis Cluster's own rule: the bus listens on the data port plus this."""
REQUIREMENTS = ("redis==8.1.0", "hiredis==3.5.0")
"""What talks to servers, on every host with one; proven with Redis 7.0.15 and 8.0.2, Valkey 8.1.1 and 9.1.2."""

ADMIN, REPLICATOR, SENTINEL = "steelyard", "replication", "sentinel"
"""The ACL users of our modules, of a replica at its primary, and of Sentinels at the servers they watch."""


@dataclass(frozen=True)
class HostProcess(Portable):
    """One process of a cluster on one host; `address` is where its peers reach it."""

    cluster: str
    host: str
    address: str
    port: int
    zone: str = ""
    state: str = "present"

    @property
    def name(self) -> str:
        """The name that it has everywhere: inventory host and port."""
        return f"{self.host}:{self.port}"

    @property
    def stays(self) -> bool:
        """Whether it is to be there when all is done; one in maintenance is."""
        return self.state != "leaving"


@dataclass(frozen=True)
class Instance(HostProcess):
    """One server process."""

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"redis@{self.port}.service"

    @property
    def bus_port(self) -> int:
        """Where it talks to its peers in mode cluster."""
        return self.port + BUS_OFFSET


@dataclass(frozen=True)
class SentinelInstance(HostProcess):
    """One Sentinel process; it watches one cluster."""

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"redis-sentinel@{self.port}.service"


@dataclass(frozen=True)
class Sentinel(Portable):
    """How a replicated cluster is watched. Durations are seconds."""

    group: str
    port: int = 26379
    quorum: int = 2
    down_after: float = 5.0
    failover_timeout: float = 60.0
    parallel_syncs: int = 1
    instances: tuple[SentinelInstance, ...] = ()


@dataclass(frozen=True)
class ClusterSpec(Portable):
    """What is wanted of one cluster, without secrets: what planners plan from.

    `threshold` is percent, `node_timeout` seconds, `maxmemory` bytes an instance (0: what the server has).
    `shards` is None where the number of instances decides.
    """

    name: str
    mode: str
    instances: tuple[Instance, ...]
    replicas: int = 1
    shards: int | None = None
    balance_by: str = "slots"
    threshold: float = 2.0
    node_timeout: float = 5.0
    maxmemory: int = 0
    primary: str = ""
    sentinel: Sentinel | None = None
    tls: bool = False

    @property
    def staying(self) -> tuple[Instance, ...]:
        """The instances that are to be members when all is done, in inventory order."""
        return tuple(i for i in self.instances if i.stays)

    @property
    def wanted_shards(self) -> int:
        """How many masters there are to be: as stated, else as many whole shards as the staying instances make."""
        if self.mode != CLUSTER:
            return 1
        return self.shards or len(self.staying) // (1 + self.replicas)


@dataclass(frozen=True)
class User(Portable):
    """An application's ACL user; `commands`, `keys` and `channels` are ACL rules as the server writes them."""

    name: str
    commands: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Secrets(Portable):
    """What must not be seen: passwords by ACL user (ours and the applications'), and PEM texts. Never print it.

    What `as_dict` returns is for a module's `no_log` option, never for a log.
    """

    passwords: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Secrets:
        """Read back what `as_dict` wrote."""
        passwords = {str(k): str(v) for k, v in (raw.get("passwords") or {}).items()}
        return cls(passwords, *(str(raw.get(k) or "") for k in ("certificate", "key", "ca")))


@dataclass(frozen=True)
class Cluster(Portable):
    """All that the inventory states of one cluster. Sizes are bytes, durations seconds, `threshold` percent.

    `maxmemory` and `write_rate` (bytes a second) are 0 where nothing is stated: sizing decides.
    """

    name: str
    mode: str = STANDALONE
    group: str = GROUP
    ports: tuple[int, ...] = (6379,)
    replicas: int = 1
    shards: int | None = None
    primary: str = ""
    maxmemory: int = 0
    maxmemory_policy: str = "noeviction"
    appendonly: str = "everysec"
    save: tuple[str, ...] = ()
    node_timeout: float = 5.0
    min_replicas_to_write: int = 0
    balance_by: str = "slots"
    threshold: float = 2.0
    sentinel: Sentinel | None = None
    users: tuple[User, ...] = ()
    tls: bool = False
    write_rate: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    allow_from: tuple[str, ...] = ()
    allow_from_networks: tuple[str, ...] = ()
    secrets: Secrets = field(default_factory=Secrets, hash=False, repr=False, compare=False)

    @property
    def persistence(self) -> bool:
        """Whether data survives a restart: an append-only file or snapshots."""
        return self.appendonly != "no" or bool(self.save)

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON types, without the secrets."""
        return {name: value for name, value in super().as_dict().items() if name != "secrets"}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], secrets: Secrets | None = None) -> Cluster:
        """Read back what `as_dict` wrote."""
        return replace(super().from_dict(raw), secrets=secrets or Secrets())
