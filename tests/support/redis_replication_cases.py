"""Replicated clusters of case files: what is wanted, and what servers and Sentinels show.

`wanted` has `servers` and `sentinels` by number with their state in words (`1`, `3 leaving`; `redis3` is at 10.0.0.3, its
Sentinel on the same host), and what else a Sentinel of the inventory has. No `sentinels`: none is wanted.

`seen.servers` has what each shows: `of` (whose replica: a number, or a place), `new` (nothing of anybody's data),
`error`, and fields of a Server. Its primary lists all that follow it. `seen.sentinels` has `idle` (watches nothing),
`error`, `leader` (a number or a place; by default who is first without `of`), `knows` and `replicas` (numbers or places;
by default all that are there), `down` (which of those it does not reach), and fields of a View.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    REPLICATION,
    ClusterSpec,
    Instance,
    Sentinel,
    SentinelInstance,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import (
    Follower,
    Server,
    State,
    View,
    Watched,
)

STATES = ("present", "leaving", "maintenance")
PORT, SENTINEL_PORT = 6379, 26379
SPECIAL = ("of", "new", "lag", "lists")
SPECIAL_VIEW = ("idle", "leader", "knows", "replicas", "down")


def address(key: Any) -> str:
    return f"10.0.0.{key}"


def place(key: Any, port: int = PORT) -> str:
    return str(key) if ":" in str(key) else f"{address(key)}:{port}"


def _line(line: Any) -> tuple[str, str, str]:
    key, *said = str(line).split()
    state = next((w for w in said if w in STATES), "present")
    return key, state, next((w for w in said if w not in STATES), "")


def wanted_of(raw: dict[str, Any]) -> ClusterSpec:
    """The wanted cluster of a case."""
    said = dict(raw)
    servers = [_line(line) for line in said.pop("servers")]
    watching = [_line(line) for line in said.pop("sentinels", ())]
    instances = tuple(Instance("cache", f"redis{k}", address(k), PORT, z, s) for k, s, z in servers)
    views = tuple(SentinelInstance("cache", f"redis{k}", address(k), SENTINEL_PORT, z, s) for k, s, z in watching)
    primary = said.pop("primary", instances[0].host)
    told = {k: said.pop(k) for k in ("quorum", "down_after", "failover_timeout", "parallel_syncs") if k in said}
    sentinel = Sentinel("redis", instances=views, **told) if views else None
    return ClusterSpec("cache", REPLICATION, instances, primary=primary, sentinel=sentinel, **said)


def state_of(raw: dict[str, Any], wanted: ClusterSpec) -> State:
    """What a case's servers and Sentinels show; who is not in `seen` does not answer."""
    servers, views = raw.get("servers") or {}, raw.get("sentinels") or {}
    return State(
        tuple(_server(i, servers) for i in wanted.instances),
        tuple(_view(s, servers, views) for s in (wanted.sentinel.instances if wanted.sentinel else ())),
    )


def _number(name: str) -> int:
    return int(name.split(":", maxsplit=1)[0].removeprefix("redis"))


def _server(one: Instance, servers: dict[Any, dict[str, Any]]) -> Server:
    key = _number(one.name)
    where: dict[str, Any] = {"name": one.name, "host": one.host, "address": one.address, "port": one.port}
    if key not in servers:
        return Server(**where, error="Connection refused")
    said = servers[key] or {}
    if "error" in said:
        return Server(**where, error=said["error"])
    follows = place(said["of"]) if "of" in said else ""
    replid = "n" * 39 + str(key) if said.get("new") else "a" * 40
    mine = [(k, s or {}) for k, s in servers.items()
            if "of" in (s or {}) and place((s or {})["of"]) == one_place(one) and "error" not in (s or {})]  # fmt: skip
    followers = [Follower(place(k), "online", s.get("offset", 1000), s.get("lag", 0)) for k, s in mine]
    followers += [Follower(p) for p in said.get("lists", ())]
    defaults: dict[str, Any] = {
        "role": REPLICA if follows else MASTER, "master": follows, "link": "connected" if follows else "",
        "offset": 0 if said.get("new") else 1000, "keys": 0 if said.get("new") else 50, "replid": replid,
        "backlog_size": 1048576, "backlog_first": -1 if said.get("new") else 1, "version": "8.0.2",
        "used_memory": 1000000, "followers": tuple(followers),
    }  # fmt: skip
    return Server(**where, **{**defaults, **{k: v for k, v in said.items() if k not in SPECIAL}})


def one_place(one: Instance) -> str:
    return f"{one.address}:{one.port}"


def _view(one: SentinelInstance, servers: dict[Any, Any], views: dict[Any, Any]) -> View:
    key = _number(one.name)
    where: dict[str, Any] = {"name": one.name, "host": one.host, "address": one.address, "port": one.port}
    if key not in views:
        return View(**where, error="Connection refused")
    said = views[key] or {}
    if "error" in said:
        return View(**where, error=said["error"])
    if said.get("idle"):
        return View(**where, version="8.0.2", id=f"s{key}")
    lead = next((k for k, s in servers.items() if "of" not in (s or {})), None)
    leader = place(said.get("leader", lead))
    known = said.get("knows", [k for k, s in views.items() if k != key and not (s or {}).get("idle")])
    copies = said.get("replicas", [k for k, s in servers.items() if place(k) != leader and not (s or {}).get("new")])
    down = {str(d) for d in said.get("down", ())} | {str(k) for k, s in servers.items() if "error" in (s or {})}
    lost = {str(d) for d in said.get("down", ())} | {str(k) for k, s in views.items() if "error" in (s or {})}
    defaults: dict[str, Any] = {
        "version": "8.0.2", "id": f"s{key}", "flags": ("master",), "quorum": 2, "down_after": 5.0,
        "failover_timeout": 60.0, "parallel_syncs": 1,
        "others": tuple(Watched(place(k, SENTINEL_PORT), _flags("sentinel", k, lost), f"s{k}") for k in known),
        "replicas": tuple(Watched(place(k), _flags("slave", k, down), f"r{k}") for k in copies),
    }  # fmt: skip
    more = {k: tuple(v) if k == "flags" else v for k, v in said.items() if k not in SPECIAL_VIEW}
    return View(**where, leader=leader, **{**defaults, **more})


def _flags(kind: str, key: Any, down: set[str]) -> tuple[str, ...]:
    return (kind, "s_down") if str(key) in down else (kind,)
