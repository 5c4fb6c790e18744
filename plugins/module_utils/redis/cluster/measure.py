# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each slot holds, where a cluster is balanced by that: keys are counted by the server, bytes estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import whole
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer

SAMPLE = 8
"""Keys of a slot whose size is asked for. Two replies a slot: 16384 slots take about a second, spread over masters."""
SAMPLED_SLOTS = 512


def measured(client: Client, wanted: ClusterSpec, nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes with the keys, and where wanted the bytes, of each slot that a master has."""
    if wanted.balance_by == "slots":
        return tuple(nodes)
    masters = [n.name for n in nodes if n.answers and n.role == MASTER and n.myself and n.myself.slots]
    by_name = {n.name: n for n in nodes}
    found = client.on_each(masters, lambda name: _measure(client, by_name[name], wanted.balance_by == "bytes"))
    return tuple(found.get(n.name, n) for n in nodes)


def _measure(client: Client, node: Node, with_bytes: bool) -> Node:
    line = node.myself
    slots = [s for first, last in (line.slots if line else ()) for s in range(first, last + 1)]
    try:
        counts = {s: n for s, n in client.slot_keys(node.name, slots).items() if n}
        sizes = _sizes(client, node.name, counts) if with_bytes else {}
    except (ErrorReply, NoAnswer):
        return node  # the planner says that it was not measured
    return replace(node, slot_keys=counts, slot_bytes=sizes)


def _sizes(client: Client, name: str, counts: Mapping[int, int]) -> dict[int, int]:
    """Return bytes by slot: the mean of a few keys of each, times its keys. MEMORY USAGE is the server's own count."""
    found: dict[int, int] = {}
    slots = list(counts)
    for start in range(0, len(slots), SAMPLED_SLOTS):
        part = slots[start : start + SAMPLED_SLOTS]
        listed = client.ask_all(name, [("CLUSTER", "GETKEYSINSLOT", s, SAMPLE) for s in part])
        keys = {s: k for s, k in zip(part, listed, strict=True) if isinstance(k, list)}
        asked = [(s, k) for s, names in keys.items() for k in names]
        replies = client.ask_all(name, [("MEMORY", "USAGE", k) for _s, k in asked])
        sums: dict[int, list[int]] = {}
        for (slot, _key), reply in zip(asked, replies, strict=True):
            if reply is not None:  # it has expired meanwhile
                sums.setdefault(slot, []).append(whole(reply))
        found |= {s: round(sum(sizes) / len(sizes) * counts[s]) for s, sizes in sums.items()}
    return found
