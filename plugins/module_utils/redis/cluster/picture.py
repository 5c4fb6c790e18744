# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One picture of a Redis Cluster out of what each of its nodes shows. Pure, values in and out.

- *Members* are the inventory's instances and whoever else the nodes know (strangers). Who answers is known by its
  node id, who does not by its address in the others' views.
- *The cluster* is the largest set of nodes that know each other.
- *Slot owners*: who answers says itself which slots are its own; where two do, the higher configuration epoch wins, as
  in Redis. What nobody who answers claims is looked up in the others' views, by epoch.
- *Open slots* carry a mark on either side, or are claimed twice. Marks name node ids, and are lost in a failover: an id
  that leads no longer stands for whoever leads its shard now.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import ALL, mask_of
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, HostProcess

STRANGER = "stranger"


@dataclass(frozen=True)
class Member:
    """A node of the cluster, or an instance of the inventory that is none (yet, or any more).

    `state` is the inventory's word, or `stranger`. `joined`: somebody in the cluster knows it. `agreed`: it is not among
    the few without whom all who answer, and stay or still lead, know each other. `leader` is the name of its master
    (empty: it is one). `failed`: the majority of those who answer think that it is gone.
    """

    name: str
    host: str
    zone: str = ""
    state: str = STRANGER
    id: str = ""
    node: Node | None = None
    joined: bool = False
    agreed: bool = False
    leader: str = ""
    slots: int = 0
    failed: bool = False

    @property
    def answers(self) -> bool:
        """Whether it could be asked."""
        return self.node is not None and self.node.answers

    @property
    def leads(self) -> bool:
        """Whether it is a master of the cluster, with slots or without."""
        return self.joined and not self.leader


@dataclass(frozen=True)
class Open:
    """A slot between two masters, and where it is to end.

    `source` and `target` are the same where it only has marks to lose. `also` may hold keys of it, too.
    """

    source: str
    target: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """All members by name, the inventory's first and in its order; what else is wrong with slots and nodes."""

    members: Mapping[str, Member]
    open: Mapping[int, Open] = field(default_factory=dict)
    foreign: tuple[str, ...] = ()
    """Instances that are in another cluster."""
    twins: tuple[tuple[str, str], ...] = ()
    """Instances with one node id."""
    disagree: tuple[str, ...] = ()
    """Who answers and sees other slot owners than the owners themselves."""

    @property
    def joined(self) -> tuple[Member, ...]:
        """The members of the cluster."""
        return tuple(m for m in self.members.values() if m.joined)

    @property
    def owned(self) -> int:
        """The slots that have an owner."""
        return mask_of_all(m.slots for m in self.joined)

    def shard_of(self, name: str) -> str:
        """Return the master of the shard in which a member is now, by name."""
        return self.members[name].leader or name

    def shards(self) -> dict[str, tuple[str, ...]]:
        """Return the members of each shard by its master's name, the master included, in inventory order."""
        found: dict[str, list[str]] = {m.name: [] for m in self.joined if m.leads}
        for member in self.joined:
            found.setdefault(member.leader or member.name, []).append(member.name)
        return {leader: tuple(names) for leader, names in found.items()}

    def change(self, name: str, **values: object) -> Picture:
        """Return the picture with one member changed."""
        return replace(self, members={**self.members, name: replace(self.members[name], **values)})  # type: ignore[arg-type]


def mask_of_all(masks: Iterable[int]) -> int:
    """Return the union of sets of slots."""
    found = 0
    for mask in masks:
        found |= mask
    return found


def look(wanted: ClusterSpec, seen: Sequence[Node]) -> Picture:
    """Return the picture that these answers make of the cluster that the inventory states."""
    nodes = {n.name: n for n in seen}
    ours = {i.name: Member(i.name, i.host, i.zone, i.state, node=nodes.get(i.name)) for i in wanted.instances}
    answering = [n for n in seen if n.answers and n.id and n.name in ours]
    group = _largest(answering)
    inside = [n for n in answering if n.name in group]
    names, strangers = _names(wanted, ours, answering, inside)
    members = {**ours, **strangers}
    for ident, name in names.items():
        members[name] = replace(members[name], id=ident)
    views = {n.name: {p.id: p for p in n.view if _known(p)} for n in inside}
    known = Counter(ident for view in views.values() for ident in view)
    for ident, name in names.items():
        if known[ident]:
            members[name] = _member(members[name], views, names)
    _give_slots(members, views, names)
    _agree(members, views)
    return Picture(
        members=members,
        open=_open_slots(members, views, names),
        foreign=tuple(n.name for n in answering if n.name not in group and _clustered(n)),
        twins=_twins(answering),
        disagree=tuple(name for name, view in views.items() if _sees_otherwise(view, members, names)),
    )


def _known(peer: Peer) -> bool:
    """Whether it is a member for the one who says so; in a handshake it is not one yet."""
    return "handshake" not in peer.flags


def _gone(peer: Peer) -> bool:
    """Whether who says so thinks that it is gone; without an address is who was replaced by another at its own."""
    return peer.failed or "noaddr" in peer.flags


def _clustered(node: Node) -> bool:
    """Whether it belongs to a cluster of more than itself, or to one of itself with slots."""
    return any((p.id != node.id and _known(p)) or p.slots for p in node.view)


def _largest(answering: Sequence[Node]) -> frozenset[str]:
    """Return the names of the largest set of nodes that know each other; empty where none is in any cluster.

    By slots that its nodes own first, then by number of nodes, then by inventory order.
    """
    groups: list[tuple[set[str], set[str], int]] = []
    for node in answering:
        if not _clustered(node):
            continue
        ids = {p.id for p in node.view if _known(p)} | {node.id}
        own = {node.name}
        mask = mask_of(node.myself.slots) if node.myself else 0
        for other in [g for g in groups if g[0] & ids]:
            groups.remove(other)
            ids |= other[0]
            own |= other[1]
            mask |= other[2]
        groups.append((ids, own, mask))
    best = max(groups, key=lambda g: (g[2].bit_count(), len(g[1])), default=None)
    return frozenset(best[1]) if best else frozenset()


def _names(
    wanted: ClusterSpec, ours: Mapping[str, Member], answering: Sequence[Node], inside: Sequence[Node]
) -> tuple[dict[str, str], dict[str, Member]]:
    """Return the name of each node id, and the strangers among them by name."""
    names = {n.id: n.name for n in answering}
    silent = [i for i in wanted.instances if not (ours[i.name].node and ours[i.name].answers)]
    strangers: dict[str, Member] = {}
    for node in inside:
        for peer in node.view:
            if peer.id in names or not _known(peer):
                continue
            instance = next((i for i in silent if is_at(i, peer) and i.name not in names.values()), None)
            name = instance.name if instance else peer.id
            names[peer.id] = name
            if not instance:
                strangers[name] = Member(name, f"{peer.address}:{peer.port}")
    return names, strangers


def is_at(instance: HostProcess, peer: Peer) -> bool:
    """Return whether an instance is at the address at which a node is known."""
    same = peer.address == instance.address or (peer.hostname and peer.hostname in (instance.host, instance.address))
    return bool(same) and peer.port == instance.port


def _member(member: Member, views: Mapping[str, Mapping[str, Peer]], names: Mapping[str, str]) -> Member:
    """Return the member as the cluster sees it: by its own word where it answers, else by the latest of the others'."""
    lines = {name: view[member.id] for name, view in views.items() if member.id in view}
    own = member.node.myself if member.node and member.answers else None
    line = own or max(lines.values(), key=lambda p: p.epoch)
    judged = [p for name, p in lines.items() if name != member.name]
    return replace(
        member,
        joined=True,
        leader=names.get(line.master_id, "") if line.role == REPLICA else "",
        failed=not member.answers and 2 * sum(map(_gone, judged)) > len(judged),
    )


def _agree(members: dict[str, Member], views: Mapping[str, Mapping[str, Peer]]) -> None:
    """Set who is agreed on: take away who lacks most, the emptiest first, until all others know each other.

    Who leaves may be half forgotten and is not missed; but one that still leads is: whoever joins takes its slots, or
    follows it until its handover. It never is who is taken away, for it is not met: who lacks it is.
    """
    leaving = {n for n in views if members[n].state == "leaving"}
    followed = {m.leader for n, m in members.items() if n not in leaving}
    body = [n for n in views if n not in leaving or members[n].slots or n in followed]
    lacks: dict[str, set[str]] = {}
    for name in body:
        for other in body:
            if members[other].id not in views[name] and not {name, other} <= leaving:
                lacks.setdefault(name, set()).add(other)
                lacks.setdefault(other, set()).add(name)
    strays: set[str] = set()
    while any(others - strays for n, others in lacks.items() if n not in strays):
        order = [n for n in lacks if n not in strays | leaving]
        strays.add(max(order, key=lambda n: (len(lacks[n] - strays), not members[n].slots, body.index(n))))
    for name, member in members.items():
        if member.joined and (name in views or not member.answers):
            members[name] = replace(member, agreed=name not in strays)


def _give_slots(
    members: dict[str, Member], views: Mapping[str, Mapping[str, Peer]], names: Mapping[str, str]
) -> None:  # fmt: skip
    """Set each member's slots: own claims by epoch, then what others say of who claims nothing itself."""
    own = [(view[i].epoch, n, view[i].slots) for i, n in names.items() if (view := views.get(n)) and i in view]
    heard = [(p.epoch, names[i], p.slots) for n, v in views.items() for i, p in v.items() if p.slots and names[i] != n]
    free = ALL
    for claims in (own, heard):
        for _epoch, name, ranges in sorted(claims, key=lambda c: -c[0]):
            if not free:
                return
            got = mask_of(ranges) & free
            if got:
                free &= ~got
                members[name] = replace(members[name], slots=members[name].slots | got)


def _sees_otherwise(view: Mapping[str, Peer], members: Mapping[str, Member], names: Mapping[str, str]) -> bool:
    return any(
        mask_of(p.slots) != members[names[i]].slots for i, p in view.items() if p.slots or members[names[i]].slots
    )


def _open_slots(
    members: Mapping[str, Member], views: Mapping[str, Mapping[str, Peer]], names: Mapping[str, str]
) -> dict[int, Open]:
    """Return every slot with a mark, or with two who claim it, and where it ends."""
    away: dict[int, dict[str, str]] = {}
    into: dict[int, dict[str, str]] = {}
    for name, view in views.items():
        line = next((p for i, p in view.items() if names[i] == name), None)
        for marks, found in ((line.migrating, away), (line.importing, into)) if line else ():
            for slot, ident in marks.items():
                found.setdefault(slot, {})[name] = _leads_now(names.get(ident, ""), members)
        claimed = mask_of(line.slots) & ~members[name].slots if line else 0
        while claimed:
            slot = claimed.bit_length() - 1
            away.setdefault(slot, {}).setdefault(name, "")
            claimed ^= 1 << slot
    owners = _owners(members, {*away, *into})
    closed = {s: _close(members, owners.get(s, ""), away.get(s, {}), into.get(s, {})) for s in sorted({*away, *into})}
    return {slot: end for slot, end in closed.items() if end.target}


def _leads_now(name: str, members: Mapping[str, Member]) -> str:
    """Return who leads the shard of the named member now; empty where nobody knows."""
    return (members[name].leader or name) if name in members else ""


def _owners(members: Mapping[str, Member], slots: Iterable[int]) -> dict[int, str]:
    masters = [m for m in members.values() if m.slots]
    return {slot: m.name for slot in slots for m in masters if m.slots >> slot & 1}


def _close(members: Mapping[str, Member], owner: str, away: Mapping[str, str], into: Mapping[str, str]) -> Open:
    """Return how one open slot is finished.

    Forward, to whom its owner gives it or who takes it from its owner, where that one answers and stays; else it ends
    at its owner, who may have got it already. Whoever else is named by a mark may hold keys and has to lose the mark.
    """
    aims = [away[owner]] if away.get(owner) else [taker for taker, giver in into.items() if owner in (giver, "")]
    aims = [a for a in aims if a != owner and _can_take(members.get(a))]
    target = owner if owner in into else next(iter(aims), owner)
    named = dict.fromkeys((*away, *into, *away.values(), *into.values()))
    rest = [n for n in named if n and n != target and members[n].answers]
    source = owner if owner and owner != target else next(iter(rest), target)
    return Open(source, target, tuple(n for n in rest if n != source))


def _can_take(member: Member | None) -> bool:
    return member is not None and member.answers and member.leads and member.state in ("present", "maintenance")


def _twins(answering: Sequence[Node]) -> tuple[tuple[str, str], ...]:
    first: dict[str, str] = {}
    return tuple((first[n.id], n.name) for n in answering if first.setdefault(n.id, n.name) != n.name)
