# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw answers of servers and Sentinels into values. Pure: no Ansible, no I/O.

Read are INFO, ROLE and CONFIG GET of servers, and SENTINEL MASTER, REPLICAS, SENTINELS and CKQUORUM of Sentinels, as
Redis 7.0 to 8 and Valkey write them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis import answers as common
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import (
    NO_FAILOVER,
    PRIORITY,
    Follower,
    Server,
    View,
    Watched,
)

NOT_WATCHED = "No such master with that name"
"""How a Sentinel begins its answer where it does not know our name."""
_FOLLOWER = re.compile(r"slave\d+$")


@dataclass(frozen=True)
class ServerAnswers:
    """What one server said: INFO, the words of ROLE, and what CONFIG GET has of a few directives."""

    info: str = ""
    role: Sequence[Any] = ()
    config: Mapping[str, str] | None = None


@dataclass(frozen=True)
class SentinelAnswers:
    """What one Sentinel said: INFO, MYID, then of our primary its fields, its replicas' and the other Sentinels'."""

    info: str = ""
    id: str = ""
    master: Mapping[str, str] | None = None
    replicas: Sequence[Mapping[str, str]] = ()
    sentinels: Sequence[Mapping[str, str]] = ()
    quorum: str = ""


def server(where: Mapping[str, Any], answers: ServerAnswers) -> Server:
    """Make a Server of what one answered; `where` has its name, host, address and port."""
    info, config = common.pairs(answers.info), answers.config or {}
    replica = info.get("role") == "slave"
    kind, version = common.server_of(info)
    return Server(
        **where,
        error=common.loading_of(info) if info.get("loading") == "1" else "",
        server=kind, version=version, role=REPLICA if replica else MASTER,
        master=f"{info.get('master_host', '')}:{info.get('master_port', '')}" if replica else "",
        link=_link(info, answers.role) if replica else "",
        syncing=info.get("master_sync_in_progress") == "1",
        down_seconds=max(0, common.number_of(info, "master_link_down_since_seconds")),
        offset=common.number_of(info, "slave_repl_offset" if replica else "master_repl_offset"),
        replid=info.get("master_replid", ""), replid2=_lineage(info),
        second_offset=int(info.get("second_repl_offset") or -1),
        backlog_size=common.number_of(info, "repl_backlog_size"),
        backlog_first=common.number_of(info, "repl_backlog_first_byte_offset")
        if info.get("repl_backlog_active") == "1" else -1,
        followers=tuple(_follower(v) for k, v in info.items() if _FOLLOWER.match(k)),
        failover=info.get("master_failover_state", NO_FAILOVER),
        keys=common.keys_of(info), used_memory=common.number_of(info, "used_memory"),
        maxmemory=common.number_of(info, "maxmemory"),
        persistence=info.get("aof_enabled") == "1" or bool(config.get("save")),
        save_failed="err" in (info.get(k) for k in common.SAVES),
        priority=int(config.get("replica-priority") or PRIORITY),
        min_replicas=int(config.get("min-replicas-to-write") or 0),
        cluster_enabled=info.get("cluster_enabled") == "1",
    )  # fmt: skip


def _link(info: Mapping[str, str], role: Sequence[Any]) -> str:
    """Return how far a replica's link is: in ROLE's word, which tells more than up and down."""
    if info.get("master_link_status") == "up":
        return "connected"
    words = [w.decode() if isinstance(w, bytes) else str(w) for w in role]
    return words[3] if len(words) > 3 and words[0] == "slave" and words[3] != "connected" else "connect"


def _lineage(info: Mapping[str, str]) -> str:
    """Return the second replication id; all zeros stand for none."""
    found = info.get("master_replid2", "")
    return found if found.strip("0") else ""


def _follower(text: str) -> Follower:
    """Read `ip=10.0.0.2,port=6379,state=online,offset=42,lag=0`."""
    found = dict(part.partition("=")[::2] for part in text.split(","))
    place = f"{found.get('ip', '')}:{found.get('port', '')}"
    return Follower(place, found.get("state", ""), int(found.get("offset") or 0), int(found.get("lag") or 0))


def silent_server(where: Mapping[str, Any], error: str) -> Server:
    """Make a Server of one that did not answer."""
    return Server(**where, error=common.reason(error) or "no answer")


def sentinel(where: Mapping[str, Any], answers: SentinelAnswers) -> View:
    """Make a View of what one Sentinel answered; `where` has its name, host, address and port."""
    seen = answers.master or {}
    return View(
        **where,
        version=common.server_of(common.pairs(answers.info))[1], id=answers.id,
        leader=f"{seen['ip']}:{seen['port']}" if seen.get("ip") else "", flags=_flags(seen),
        quorum=int(seen.get("quorum") or 0), down_after=int(seen.get("down-after-milliseconds") or 0) / 1000,
        failover_timeout=int(seen.get("failover-timeout") or 0) / 1000,
        parallel_syncs=int(seen.get("parallel-syncs") or 0),
        replicas=tuple(_watched(one) for one in answers.replicas),
        others=tuple(_watched(one) for one in answers.sentinels),
        reachable="" if not seen or answers.quorum.startswith("OK") else answers.quorum,
    )  # fmt: skip


def _watched(fields: Mapping[str, str]) -> Watched:
    priority = int(fields.get("slave-priority") or PRIORITY)
    return Watched(
        f"{fields.get('ip', '')}:{fields.get('port', '')}", _flags(fields), fields.get("runid", ""), priority
    )


def _flags(fields: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f for f in fields.get("flags", "").split(",") if f)


def silent_sentinel(where: Mapping[str, Any], error: str) -> View:
    """Make a View of a Sentinel that did not answer."""
    return View(**where, error=common.reason(error) or "no answer")


def fields(reply: Any) -> dict[str, str]:
    """Read a flat list of names and values; anything else is no field."""
    if not isinstance(reply, list):
        return {}
    words = [w.decode("utf-8", "replace") if isinstance(w, bytes) else str(w) for w in reply]
    return dict(zip(words[::2], words[1::2], strict=False))
