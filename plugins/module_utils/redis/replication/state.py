# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the servers and Sentinels of a replicated cluster answer, as values. Pure: no Ansible, no I/O.

`parse.py` makes these of raw answers, `client.py` asks for them, `plan.py` decides on them. A *place* is where peers
reach one: `10.0.0.1:6379`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER

DOWN_FLAGS = frozenset({"s_down", "o_down", "disconnected"})
"""How a Sentinel marks one that does not answer it."""
FAILING_FLAGS = frozenset({"failover_in_progress", "coord_failover"})
CONNECTED = "connected"
NO_FAILOVER = "no-failover"
PRIORITY = 100
"""What a server has as replica-priority unless it is told otherwise."""


@dataclass(frozen=True)
class Follower(Portable):
    """A replica as its primary sees it; `lag` is seconds since it last said how far it is."""

    place: str
    state: str = "online"
    offset: int = 0
    lag: int = 0


@dataclass(frozen=True)
class Server(Portable):
    """One server, and what it answered; `error` says why it did not. Sizes and offsets are bytes.

    `name` is the inventory's (`redis1:6379`). `master` is the place of whom it follows, `link` how far that is
    (`connected`, `connect`, `sync`, …; empty for a master), `down_seconds` since when it is not. `replid` and `offset`
    name its data; `replid2` is whose data it had up to `second_offset` (-1: nobody's). `backlog_first` is the first
    byte that a replica can still get without a copy of all, -1 for none.
    """

    name: str
    host: str
    address: str
    port: int
    error: str = ""
    server: str = "redis"
    version: str = ""
    role: str = MASTER
    master: str = ""
    link: str = ""
    syncing: bool = False
    down_seconds: int = 0
    offset: int = 0
    replid: str = ""
    replid2: str = ""
    second_offset: int = -1
    backlog_size: int = 0
    backlog_first: int = -1
    followers: tuple[Follower, ...] = ()
    failover: str = NO_FAILOVER
    keys: int = 0
    used_memory: int = 0
    maxmemory: int = 0
    persistence: bool = True
    save_failed: bool = False
    priority: int = PRIORITY
    min_replicas: int = 0
    cluster_enabled: bool = False

    @property
    def answers(self) -> bool:
        """Whether it could be asked."""
        return not self.error

    @property
    def place(self) -> str:
        """Where its peers reach it."""
        return f"{self.address}:{self.port}"

    @property
    def leads(self) -> bool:
        """Whether it takes itself for a primary."""
        return self.answers and self.role == MASTER

    @property
    def link_up(self) -> bool:
        """Whether it gets what its primary writes; a primary needs nobody."""
        return self.role == MASTER or self.link == CONNECTED


@dataclass(frozen=True)
class Watched(Portable):
    """A replica or another Sentinel, as one Sentinel sees it. `id` is the run's or the Sentinel's."""

    place: str
    flags: tuple[str, ...] = ()
    id: str = ""
    priority: int = PRIORITY

    @property
    def alive(self) -> bool:
        """Whether that Sentinel reaches it."""
        return not DOWN_FLAGS & set(self.flags)


@dataclass(frozen=True)
class View(Portable):
    """One Sentinel, and what it answered of our primary; `error` says why it did not. Durations are seconds.

    `leader` is the place of the primary that it watches under our name, empty where it watches none. `reachable` is
    what it said to SENTINEL CKQUORUM: empty when all is well, else why not.
    """

    name: str
    host: str
    address: str
    port: int
    error: str = ""
    version: str = ""
    id: str = ""
    leader: str = ""
    flags: tuple[str, ...] = ()
    quorum: int = 0
    down_after: float = 0.0
    failover_timeout: float = 0.0
    parallel_syncs: int = 0
    replicas: tuple[Watched, ...] = ()
    others: tuple[Watched, ...] = ()
    reachable: str = ""

    @property
    def answers(self) -> bool:
        """Whether it could be asked."""
        return not self.error

    @property
    def place(self) -> str:
        """Where the others reach it."""
        return f"{self.address}:{self.port}"

    @property
    def watches(self) -> bool:
        """Whether it watches a primary under our name."""
        return self.answers and bool(self.leader)

    @property
    def failing_over(self) -> bool:
        """Whether it is replacing its primary at this moment."""
        return bool(FAILING_FLAGS & set(self.flags))

    @property
    def settings(self) -> dict[str, float]:
        """What it was told of its primary, by the names of SENTINEL SET; durations in milliseconds."""
        return {
            "quorum": self.quorum, "down-after-milliseconds": round(self.down_after * 1000),
            "failover-timeout": round(self.failover_timeout * 1000), "parallel-syncs": self.parallel_syncs,
        }  # fmt: skip


@dataclass(frozen=True)
class State:
    """All servers and all Sentinels of one cluster, in inventory order."""

    servers: tuple[Server, ...] = ()
    views: tuple[View, ...] = field(default=())

    @property
    def answers(self) -> bool:
        """Whether anybody does."""
        return any(s.answers for s in self.servers) or any(v.answers for v in self.views)

    def as_list(self) -> list[dict[str, Any]]:
        """Return it in JSON types, one entry for each that was asked."""
        return [{"kind": "server", **s.as_dict()} for s in self.servers] + [
            {"kind": "sentinel", **v.as_dict()} for v in self.views
        ]

    @classmethod
    def from_list(cls, raw: list[dict[str, Any]]) -> State:
        """Read back what `as_list` wrote."""
        parts = [({k: v for k, v in one.items() if k != "kind"}, one["kind"]) for one in raw]
        servers = tuple(Server.from_dict(one) for one, kind in parts if kind == "server")
        return cls(servers, tuple(View.from_dict(one) for one, kind in parts if kind == "sentinel"))
