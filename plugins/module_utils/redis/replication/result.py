# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `redis_cluster` answers of the servers and Sentinels of a replicated cluster, and how that is read back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.result import UNASKED
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import look
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server, State, View


def shown(wanted: ClusterSpec, state: State) -> dict[str, Any]:
    """Return what all show: for programs as one text; for people who leads, and what each is."""
    picture = look(wanted, state)
    return {
        "nodes": pack(state.as_list()),
        "members": [_server(s, picture.places) for s in state.servers] + [_sentinel(v) for v in state.views],
        "clustered": not picture.new,
        "primary": picture.leader.name if not picture.new else "",
    }


def _server(server: Server, places: Mapping[str, str]) -> dict[str, Any]:
    kept = ("name", "role", "keys", "used_memory", "version", "error")
    return {
        **{key: getattr(server, key) for key in kept},
        "of": places.get(server.master, server.master), "slots": 0, "state": server.link,
    }  # fmt: skip


def _sentinel(view: View) -> dict[str, Any]:
    return {
        "name": view.name, "role": "sentinel", "keys": 0, "used_memory": 0, "version": view.version,
        "error": view.error, "of": view.leader, "slots": 0, "state": view.reachable or ("ok" if view.watches else ""),
    }  # fmt: skip


def seen(entries: Sequence[Mapping[str, Any]], wanted: ClusterSpec) -> State:
    """Return what servers and Sentinels answered. Who was not read is silent."""
    found = State.from_list([dict(e) for e in entries])
    servers, views = {s.name: s for s in found.servers}, {v.name: v for v in found.views}
    watching = wanted.sentinel.instances if wanted.sentinel else ()
    return State(
        tuple(servers.get(i.name) or Server(i.name, i.host, i.address, i.port, error=UNASKED)
              for i in wanted.instances),
        tuple(views.get(s.name) or View(s.name, s.host, s.address, s.port, error=UNASKED) for s in watching),
    )  # fmt: skip


def answers(state: State) -> bool:
    """Whether any server does."""
    return any(s.answers for s in state.servers)
