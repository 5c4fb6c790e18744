# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the nodes of a cluster agree about it: what has to be waited for before and after each step. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import is_at
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import HostProcess


def owners(view: Iterable[Peer]) -> dict[int, str]:
    """Return the owner's id of each slot that has one, in one node's view."""
    return {slot: p.id for p in view for first, last in p.slots for slot in range(first, last + 1)}


def ranges(slots: Iterable[int]) -> list[tuple[int, int]]:
    """Return slots as ranges, both ends included."""
    found: list[tuple[int, int]] = []
    for slot in sorted(slots):
        if found and found[-1][1] == slot - 1:
            found[-1] = (found[-1][0], slot)
        else:
            found.append((slot, slot))
    return found


def spread(pairs: Iterable[Sequence[int]]) -> list[int]:
    """Return the slots of ranges."""
    return [slot for first, last in pairs for slot in range(first, last + 1)]


def disagreement(nodes: Sequence[Node], *, serving: bool = True, dead: Collection[str] = ()) -> str:
    """Return why these nodes are not yet one cluster of one mind; empty when they are.

    They must answer, know the same members, none of them in handshake or failed, agree on roles, on the owner of each
    slot and on the epoch, and, where it is to be `serving`, say that the cluster is ok. `dead` are ids that may fail.
    """
    for node in nodes:
        if not node.answers:
            return f"{node.name} does not answer: {node.error}"
    for node in nodes:
        failed = [p for p in node.view if p.id not in dead and (p.failed or "noaddr" in p.flags)]
        if any("handshake" in p.flags for p in node.view):
            return f"{node.name} is still meeting another node"
        if failed:
            return f"{node.name} takes {failed[0].address}:{failed[0].port} for failed"
        if serving and node.cluster_state != "ok":
            return f"{node.name} says that the cluster is {node.cluster_state or 'not there'}"
    return _differences([n for n in nodes if n.id not in dead], frozenset(dead))


def counted_on(nodes: Iterable[Node], instances: Iterable[HostProcess]) -> tuple[dict[str, Node], frozenset[str]]:
    """Return, by name, who has to answer and agree, and the ids of members that need not.

    Who is in the cluster counts, and who is silent while the others know it. Whom nobody knows is not a member yet, and
    maybe not even installed. A silent one in maintenance is excused, unless it has slots: those are missed.
    """
    found = {n.name: n for n in nodes}
    counted = {name: n for name, n in found.items() if n.answers and n.known_nodes > 1}
    if not counted:
        return {name: n for name, n in found.items() if not n.answers}, frozenset()
    known = [p for n in counted.values() for p in n.view]
    excused: set[str] = set()
    for place in instances:
        if place.name not in found or found[place.name].answers:
            continue
        lines = [p for p in known if is_at(place, p)]
        if place.state == "maintenance" and not any(p.slots for p in lines):
            excused |= {p.id for p in lines}
        elif lines:
            counted[place.name] = found[place.name]
    return {name: n for name, n in found.items() if name in counted}, frozenset(excused)


def _differences(nodes: Sequence[Node], dead: frozenset[str]) -> str:
    if not nodes:
        return ""
    first = nodes[0]
    members = {p.id for p in first.view} - dead
    roles, slots = _roles(first, dead), owners(first.view)
    for node in nodes[1:]:
        if {p.id for p in node.view} - dead != members:
            return f"{first.name} knows {len(first.view)} members, {node.name} {len(node.view)}"
        if _roles(node, dead) != roles:
            return f"{first.name} and {node.name} differ about who is whose replica"
        if owners(node.view) != slots:
            return f"{first.name} and {node.name} differ about the owners of slots"
        if node.current_epoch != first.current_epoch:
            return f"{first.name} is at epoch {first.current_epoch}, {node.name} at {node.current_epoch}"
    return ""


def _roles(node: Node, dead: frozenset[str]) -> Mapping[str, str]:
    return {p.id: p.master_id if p.role == REPLICA else "" for p in node.view if p.id not in dead}
