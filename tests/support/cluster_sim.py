"""A Redis Cluster without servers: does the steps of a plan, wholly or half, and shows what nodes would answer.

It keeps Redis's own rules and fails where a step breaks one: a replica has no slots, a node with slots is not
forgotten, a slot has one owner. Gossip is instant, but for what a half done step leaves.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    ALL,
    mask_of,
    ranges_of,
    slots_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance


@dataclass
class SimNode:
    """One server. `knows` are names; `stale` are slots it still claims though another got them."""

    name: str
    id: str
    instance: Instance
    knows: set[str] = field(default_factory=set)
    master: str = ""
    slots: int = 0
    stale: int = 0
    epoch: int = 0
    alive: bool = True
    migrating: dict[int, str] = field(default_factory=dict)
    importing: dict[int, str] = field(default_factory=dict)


class Sim:
    """The servers by name; `keys` has the keys of each slot, of 100 bytes each."""

    def __init__(self, keys: Mapping[int, int] | None = None) -> None:
        self.nodes: dict[str, SimNode] = {}
        self.keys = dict(keys or {})
        self.epoch = 0
        self.started = 0

    def start(self, wanted: ClusterSpec) -> None:
        """Start every instance of the inventory that does not run yet."""
        for one in wanted.instances:
            if one.name not in self.nodes:
                self.started += 1
                ident = f"{self.started:040x}"
                self.nodes[one.name] = SimNode(one.name, ident, one, {one.name})
            self.nodes[one.name].instance = one

    def stop(self, wanted: ClusterSpec) -> None:
        """Stop every server that the inventory no longer has; it must be out of the cluster."""
        names = {i.name for i in wanted.instances}
        for name in [n for n in self.nodes if n not in names]:
            node = self.nodes.pop(name)
            assert (node.knows <= {name} and not node.slots) or not node.alive, f"{name} is still a member"
            assert not any(name in n.knows for n in self.nodes.values() if n.alive), f"{name} is still known"

    # What is seen

    def answers(self) -> list[Node]:
        """What every server answers."""
        return [self._node(n) for n in self.nodes.values()]

    def _node(self, node: SimNode) -> Node:
        one = node.instance
        if not node.alive:
            return Node(node.name, one.host, one.address, one.port, error="connection refused")
        led = self.nodes.get(node.master, node)
        held = {s: k for s in slots_of(node.slots) if (k := self.keys.get(s, 0))} if self.keys else {}
        total = sum(self.keys.get(s, 0) for s in slots_of(led.slots)) if self.keys else 0
        view = tuple(self._peer(self.nodes[n], node) for n in self.nodes if n in node.knows)
        return Node(
            node.name, one.host, one.address, one.port, id=node.id, version="8.0.2",
            role=REPLICA if node.master else MASTER, cluster_state="ok" if self.owned() == ALL else "fail",
            known_nodes=len(view), view=view, keys=total, used_memory=total * 100, offset=total,
            slot_keys=held, slot_bytes={s: k * 100 for s, k in held.items()},
        )  # fmt: skip

    def _peer(self, node: SimNode, asked: SimNode) -> Peer:
        me = node is asked
        slots = node.slots | (node.stale if me else 0)
        flags = ("myself",) if me else () if node.alive else ("fail",)
        return Peer(
            node.id, node.instance.address, node.instance.port, REPLICA if node.master else MASTER,
            self.nodes[node.master].id if node.master in self.nodes else "", flags, epoch=node.epoch,
            slots=ranges_of(slots) if slots else (),
            migrating={s: self.nodes[n].id for s, n in node.migrating.items()} if me else {},
            importing={s: self.nodes[n].id for s, n in node.importing.items()} if me else {},
        )  # fmt: skip

    def owned(self) -> int:
        """All slots that a server has."""
        found = 0
        for node in self.nodes.values():
            found |= node.slots
        return found

    def leader(self, name: str) -> SimNode:
        """Who leads the shard in which that one is."""
        node = self.nodes[name]
        return self.nodes[node.master] if node.master else node

    def die(self, name: str, followed: bool) -> None:
        """Kill a server; `followed`: its replica was elected in its place, where it had one."""
        node = self.nodes[name]
        node.alive = False
        node.migrating, node.importing, node.stale = {}, {}, 0
        heir = next((n for n in self.nodes.values() if n.master == name and n.alive), None)
        if followed and heir and node.slots:
            self._swap(node, heir)
            node.master = ""

    def fail_over(self, name: str) -> None:
        """Let the cluster elect a replica, for reasons of its own; marks of the old master are lost."""
        self._swap(self.leader(name), self.nodes[name])

    def cluster(self) -> list[SimNode]:
        """Who knows somebody, or is known by somebody."""
        known = {o for n in self.nodes.values() if n.alive for o in n.knows - {n.name}}
        return [n for n in self.nodes.values() if n.name in known or (len(n.knows) > 1 and n.alive)]

    # What is done

    def apply(self, step: Step) -> None:
        """Do a step."""
        getattr(self, f"_{step.verb}")(step.args)
        self.check()

    def check(self) -> None:
        """Fail where one of Redis's own rules is broken."""
        seen = 0
        for node in self.nodes.values():
            assert not (seen & node.slots), f"a slot of {node.name} has two owners"
            assert not (node.master and node.slots), f"{node.name} is a replica with slots"
            seen |= node.slots

    def _create(self, args: Mapping[str, Any]) -> None:
        names = [*args["masters"], *args["replicas"]]
        for name in names:
            self.nodes[name].knows = set(names)
        for name, ranges in args["masters"].items():
            self._own(self.nodes[name], mask_of(tuple((a, b) for a, b in ranges)))
        for name, master in args["replicas"].items():
            self.nodes[name].master = master

    def _own(self, node: SimNode, slots: int) -> None:
        self.epoch += 1
        for other in self.nodes.values():
            other.slots &= ~slots
        node.slots |= slots
        node.epoch = self.epoch

    def _promote(self, args: Mapping[str, Any]) -> None:
        dead, heir = self.nodes[args["dead"]], self.nodes[args["replica"]]
        assert not dead.alive and heir.master == dead.name and heir.alive
        self._swap(dead, heir)
        dead.master = ""  # nobody has told it yet

    def _swap(self, old: SimNode, new: SimNode) -> None:
        slots, old.slots = old.slots, 0
        old.stale, old.migrating, old.importing = 0, {}, {}
        for node in self.nodes.values():
            if node.master == old.name:
                node.master = new.name
        new.master, old.master = "", new.name
        self._own(new, slots)

    def _assign_slots(self, args: Mapping[str, Any]) -> None:
        for name, ranges in args["masters"].items():
            mask = mask_of(tuple((a, b) for a, b in ranges))
            assert not any(n.slots & mask for n in self.nodes.values() if n.alive)
            self._own(self.leader(name), mask)

    def _finish_slots(self, args: Mapping[str, Any]) -> None:
        for slot, end in args["slots"].items():
            self._finish(int(slot), self.leader(end["target"]), {end["source"], *end.get("also", ())})

    def _finish(self, slot: int, target: SimNode, told: set[str]) -> None:
        marked = {n.name for n in self.nodes.values() if slot in n.migrating or slot in n.importing}
        assert marked <= told | {target.name}, f"slot {slot}: {marked} have marks, {told} are told"
        for node in self.nodes.values():
            node.migrating.pop(slot, None)
            node.importing.pop(slot, None)
            node.stale &= ~(1 << slot)
        if not target.slots >> slot & 1:
            self._own(target, 1 << slot)

    def _meet(self, args: Mapping[str, Any]) -> None:
        node = self.nodes[args["name"]]
        if args["reset"] and node.master:
            node.master, node.knows = "", {node.name}
        members = {n.name for n in self.cluster()} | {node.name}
        for name in members:
            if self.nodes[name].alive:
                self.nodes[name].knows |= members

    def _replicate(self, args: Mapping[str, Any]) -> None:
        node, leader = self.nodes[args["replica"]], self.leader(args["master"])
        assert node is not leader, f"{node.name} cannot follow itself"
        assert leader.name in node.knows and node.name in leader.knows and leader.alive
        assert not any(n.master == node.name for n in self.nodes.values()), f"{node.name} has replicas"
        node.master = leader.name

    def _move_slots(self, args: Mapping[str, Any]) -> None:
        self._own_from(self.leader(args["source"]), self.leader(args["target"]), _mask(args))

    def _own_from(self, source: SimNode, target: SimNode, slots: int) -> None:
        assert source is not target and target.name in source.knows
        assert not slots & ~source.slots, f"{source.name} does not have the slots to move"
        self._own(target, slots)

    def _handover(self, args: Mapping[str, Any]) -> None:
        new = self.nodes[args["replica"]]
        old = self.nodes[new.master]
        assert old.alive and new.alive and old.slots
        self._swap(old, new)

    def _forget(self, args: Mapping[str, Any]) -> None:
        node = self.nodes[args["name"]]
        assert not node.slots or not node.alive, f"{node.name} still has slots"
        node.slots = 0
        assert not any(n.master == node.name and n.instance.state != "leaving" and n.alive for n in self.nodes.values())
        for other in self.nodes.values():
            if other.alive:  # the dead cannot be told, and keep whom they knew
                other.knows.discard(node.name)
        for other in self.nodes.values():
            if other.master == node.name:
                other.master = ""
        if node.alive:
            node.knows, node.master = {node.name}, ""

    # What is half done

    def half(self, step: Step, rng: random.Random) -> None:
        """Do a part of a step, as if who did it was killed."""
        args = step.args
        if step.verb == "create":
            self._half_create(args, rng)
        elif step.verb == "move_slots":
            self.half_move(self.leader(args["source"]), self.leader(args["target"]), slots_of(_mask(args)), rng)
        elif step.verb == "finish_slots":
            for slot, end in args["slots"].items():
                if rng.random() < 0.5:
                    self._finish(int(slot), self.leader(end["target"]), {end["source"], *end.get("also", ())})
        elif step.verb == "meet":
            self._half_meet(args, rng)
        elif step.verb == "forget":
            for other in self.nodes.values():
                if rng.random() < 0.5 and other.alive and other.name != args["name"]:
                    other.knows.discard(args["name"])
        elif rng.random() < 0.5:
            self.apply(step)
        self.check()

    def _half_create(self, args: Mapping[str, Any], rng: random.Random) -> None:
        names = [*args["masters"], *args["replicas"]]
        met = set(names[: rng.randrange(len(names) + 1)])
        for name in met:
            self.nodes[name].knows = set(met)
        for name, ranges in args["masters"].items():
            if rng.random() < 0.5:
                self._own(self.nodes[name], mask_of(tuple((a, b) for a, b in ranges)))

    def _half_meet(self, args: Mapping[str, Any], rng: random.Random) -> None:
        node = self.nodes[args["name"]]
        others = [n for n in self.cluster() if n is not node and n.alive]
        if args["reset"]:
            node.master, node.knows = "", {node.name}
        for other in others[: rng.randrange(len(others))]:
            other.knows.add(node.name)
            node.knows.add(other.name)

    def half_move(self, source: SimNode, target: SimNode, slots: Sequence[int], rng: random.Random) -> None:
        done = slots[: rng.randrange(len(slots))]
        mask = 0
        for slot in done:
            mask |= 1 << slot
        self._own_from(source, target, mask)
        for slot in slots[len(done) : len(done) + 5]:
            how = rng.randrange(4)
            if how in (0, 1):
                target.importing[slot] = source.name
            if how in (0, 2):
                source.migrating[slot] = target.name
            if how == 3:
                self._own(target, 1 << slot)
                source.stale |= 1 << slot
                source.migrating[slot] = target.name


def _mask(args: Mapping[str, Any]) -> int:
    return mask_of(tuple((a, b) for a, b in args["slots"]))
