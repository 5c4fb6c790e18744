# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `redis_cluster` answers of the nodes of a Redis Cluster, and how that is read back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec

UNASKED = "it was not asked"


def shown(wanted: ClusterSpec, nodes: Sequence[Node]) -> dict[str, Any]:  # noqa: ARG001 (one shape for all modes)
    """Return what the nodes show: for programs as one text, since each one's view of all others is long."""
    names = {n.id: n.name for n in nodes if n.answers}
    return {
        "nodes": pack(n.as_dict() for n in nodes),
        "members": [_as_people_read_it(n, names) for n in nodes],
        "clustered": any(n.answers and (n.known_nodes > 1 or (n.myself and n.myself.slots)) for n in nodes),
    }


def _as_people_read_it(node: Node, names: dict[str, str]) -> dict[str, Any]:
    mine = node.myself
    kept = ("name", "role", "keys", "used_memory", "version", "error")
    return {
        **{key: getattr(node, key) for key in kept},
        "of": names.get(mine.master_id, mine.master_id) if mine else "",
        "slots": sum(last - first + 1 for first, last in mine.slots) if mine else 0,
        "state": node.cluster_state,
    }


def seen(entries: Sequence[Mapping[str, Any]], wanted: ClusterSpec) -> tuple[Node, ...]:
    """Return what the nodes answered. Who was not read is silent."""
    found = {n["name"]: Node.from_dict(n) for n in entries}
    return tuple(
        found.get(i.name) or Node(i.name, i.host, i.address, i.port, error=UNASKED) for i in wanted.instances
    )  # fmt: skip


def answers(nodes: Sequence[Node]) -> bool:
    """Whether anybody does."""
    return any(n.answers for n in nodes)
