# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that move slots: what is still to move, which way the servers can do it, how far it is. See `apply.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import owners, spread
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.atomic import AtomicMigration
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.migrate import Migration
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import Limits
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.stream import Move, Tally
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, format_size

RESERVED = 1.0
"""Seconds of a call that are kept to close what is open and to look at the result."""
SHORTEST = 0.5


class Runner(Protocol):
    """What the steps need of the Applier."""

    client: Client
    limits: Limits

    def read(self, names: Iterable[str] | None = None) -> dict[str, Node]: ...
    def joined(self) -> dict[str, Node]: ...
    def until(self, step: Step, look: Callable[[], str], left: float, deadline: float = 60.0) -> str | None: ...
    def agreed(self, names: Iterable[str] | None = None) -> Callable[[], str]: ...
    def keep_replicas(self, nodes: Mapping[str, Node]) -> None: ...
    def carry_plain(self, names: Iterable[str]) -> None: ...
    def node(self, name: str, nodes: Mapping[str, Node]) -> Node: ...
    def together(self, step: Step) -> list[Step]: ...
    def now(self) -> float: ...


class Mover:
    """Steps by their verbs; each returns None when done, else how far it is."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner

    def move(self, step: Step, left: float) -> str | None:
        """Move the slots of this step, and of the moves that follow it, at the same time."""
        begun = self._run.now()
        # Before each call, not only the first: a node that does not think the cluster is up would refuse its part.
        waiting = self._run.until(step, self._run.agreed(), left)
        if waiting:
            return waiting
        nodes = self._run.joined()
        moves = [m for s in self._run.together(step) for m in self._left(s, nodes)]
        if not moves:
            self._close(step, nodes)
            return None
        self._run.keep_replicas(nodes)
        spent = self._run.now() - begun
        tally = self._migrate(nodes, moves, max(SHORTEST, left - spent - RESERVED))
        spent = self._run.now() - begun
        nodes = self._run.joined()
        rest = [m for s in self._run.together(step) for m in self._left(s, nodes)]
        if rest:
            return self._progress(tally, spent, rest)
        self._close(step, nodes)
        return self._run.until(step, self._run.agreed(), max(SHORTEST, left - spent))

    def finish(self, step: Step, left: float) -> str | None:
        """Finish slots that somebody left open: their keys to their targets, and no mark anywhere."""
        begun = self._run.now()
        nodes = self._run.joined()
        masters = {n: m for n, m in nodes.items() if m.answers and m.role == MASTER}
        self._run.keep_replicas(masters)
        slots = self._ends(step, nodes)
        moves = [
            Move(s, ends["source"], ends["target"])
            for s, ends in slots.items()
            if ends["source"] != ends["target"] and self._owner(s, ends["source"], masters)
        ]
        if moves:
            self._carry(moves, nodes, masters, max(SHORTEST, left - RESERVED))
        strays = self._strays(slots, masters, {m.slot for m in moves})
        if strays:
            rest = max(SHORTEST, left - (self._run.now() - begun) - RESERVED)
            self._carry(strays, nodes, masters, rest)
        open_still = self._clear(slots, masters)
        if open_still:
            return f"{open_still} of {len(slots)} open slots are left"
        return self._run.until(step, self._run.agreed(), max(SHORTEST, left - (self._run.now() - begun)))

    def _ends(self, step: Step, nodes: Mapping[str, Node]) -> dict[int, dict[str, str]]:
        """Return whose each slot is and who gets it, by who leads now; a source that has left has nothing to give."""
        stated = step.args["slots"]
        targets = {ends["target"] for ends in stated.values()}
        sources = {ends["source"] for ends in stated.values()} & set(nodes)
        leads = {name: self._leader(name, nodes).name for name in sorted(targets | sources)}
        return {
            int(slot): {"source": leads.get(ends["source"], leads[ends["target"]]), "target": leads[ends["target"]]}
            for slot, ends in stated.items()
        }

    def _owner(self, slot: int, source: str, masters: Mapping[str, Node]) -> bool:
        """Whether the source still has the slot, in its own eyes."""
        node = self._run.node(source, masters)
        return owners(node.view).get(slot) == node.id

    def _strays(
        self, slots: Mapping[int, Mapping[str, str]], masters: Mapping[str, Node], done: set[int]
    ) -> list[Move]:
        """Return moves for keys on masters that neither own the slot nor are to get it."""
        moves = []
        for name, node in masters.items():
            counts = self._run.client.slot_keys(name, sorted(slots))
            own = owners(node.view)
            for slot, count in counts.items():
                target = slots[slot]["target"]
                source = slots[slot]["source"] if slot in done else ""
                if count and name not in (target, source) and own.get(slot) != node.id:
                    moves.append(Move(slot, name, target, owner=False))
        return moves

    def _close(self, step: Step, nodes: Mapping[str, Node]) -> None:
        """Take the marks away of slots that have arrived: a node that died before it was told has kept its own."""
        masters = {n: m for n, m in nodes.items() if m.answers and m.role == MASTER}
        marked = {s for m in masters.values() if m.myself for s in (*m.myself.migrating, *m.myself.importing)}
        ends: dict[int, dict[str, str]] = {}
        for one in self._run.together(step) if marked else ():
            names = {end: self._leader(one.args[end], nodes).name for end in ("source", "target")}
            ends.update((s, names) for s in spread(one.args["slots"]) if s in marked)
        if ends:
            self._clear(ends, masters)

    def _clear(self, slots: Mapping[int, Mapping[str, str]], masters: Mapping[str, Node]) -> int:
        """Take marks away from slots that have arrived, and those that name nobody; return how many have not arrived."""
        nodes = self._run.read(masters)
        ids = _ids(nodes)
        arrived = {
            s for s, ends in slots.items()
            if owners(nodes[ends["target"]].view).get(s) == ids[ends["target"]]
        }  # fmt: skip
        for name, node in nodes.items():
            mine = node.myself
            members = {p.id for p in node.view}
            marks = {**mine.migrating, **mine.importing} if mine else {}
            # A node that was forgotten can neither give nor take any more; its mark would stay for ever.
            marked = {s for s, ident in marks.items() if s in arrived or ident not in members}
            keys = self._run.client.slot_keys(name, sorted(marked)) if marked else {}
            own = owners(node.view)
            free = sorted(s for s in marked if not keys[s] or own.get(s) == node.id)
            if free:
                self._run.client.ask_all(name, [("CLUSTER", "SETSLOT", s, "STABLE") for s in free])
        left = len(slots) - len(arrived)
        for name in nodes:
            counts = self._run.client.slot_keys(name, sorted(arrived))
            left += sum(1 for s, n in counts.items() if n and name != slots[s]["target"])
        return left

    def _left(self, step: Step, nodes: Mapping[str, Node]) -> list[Move]:
        """Return what of a step is still to be moved; the shards' masters may have changed since it was planned."""
        source = self._leader(step.args["source"], nodes)
        target = self._leader(step.args["target"], nodes)
        view = owners(source.view)
        moves = []
        for slot in spread(step.args["slots"]):
            owner = view.get(slot, "")
            if owner == source.id:
                moves.append(Move(slot, source.name, target.name))
            elif owner != target.id:
                seen = f"{owner or 'nobody'} has slot {slot}"
                raise StateMoved(f"{source.name} or {target.name} has the slot", seen, "make the plan anew", step.id)
        return moves

    def _leader(self, name: str, nodes: Mapping[str, Node]) -> Node:
        node = nodes.get(name)
        peer = next((p for n in nodes.values() if n.answers for p in n.view if node and p.id == node.id), None)
        if node is not None and node.answers and (peer is None or peer.role == MASTER):
            return node
        if peer is not None:
            leader = next((n for n in nodes.values() if n.id == peer.master_id and n.answers), None)
            if leader is not None:
                return leader
        error = node.error if node is not None else "it is in no cluster"
        raise GateNotPassed(
            f"{name} answers", error, "bring it back, or let its replica take over, and run again", name
        )

    def _migrate(self, nodes: Mapping[str, Node], moves: Sequence[Move], seconds: float) -> Tally:
        masters = [n for n, m in nodes.items() if m.role == MASTER]
        ends = {m.source for m in moves} | {m.target for m in moves}
        self._require_room(nodes, moves)
        if all(nodes[n].atomic_migration for n in ends):
            return AtomicMigration(self._run.client, nodes).run(moves, seconds)
        return self._carry(moves, nodes, masters, seconds)

    def _carry(
        self, moves: Sequence[Move], nodes: Mapping[str, Node], masters: Iterable[str], seconds: float
    ) -> Tally:  # fmt: skip
        self._run.carry_plain(sorted({m.source for m in moves}))
        return Migration(self._run.client, _ids(nodes), masters, self._run.limits).run(moves, seconds)

    def _require_room(self, nodes: Mapping[str, Node], moves: Sequence[Move]) -> None:
        """Raise GateNotPassed where a target would hold more than it may: keys to come at their source's mean size."""
        coming: dict[str, float] = {}
        for name in sorted({m.source for m in moves}):
            own = [m for m in moves if m.source == name]
            counts = self._run.client.slot_keys(name, [m.slot for m in own])
            mean = nodes[name].used_memory / max(1, nodes[name].keys)
            for move in own:
                coming[move.target] = coming.get(move.target, 0.0) + counts[move.slot] * mean
        for name, size in coming.items():
            node, reserve = nodes[name], self._run.limits.memory_reserve
            policy = self._run.client.ask(name, "CONFIG", "GET", "maxmemory-policy")
            if (
                node.maxmemory
                and node.used_memory + size > node.maxmemory * (1 - reserve)
                and policy[1] == b"noeviction"
            ):
                seen = (
                    f"{format_size(node.used_memory)} used, {format_size(int(size))} to come, maxmemory "
                    + format_size(node.maxmemory)
                )
                remedy = f"raise its maxmemory ({reserve:.0%} stay free), or spread over more shards"
                raise GateNotPassed(f"{name} has memory for what it gets", seen, remedy, name)

    def _progress(self, tally: Tally, spent: float, rest: Sequence[Move]) -> str:
        keys = 0
        for name in {m.source for m in rest}:
            keys += sum(self._run.client.slot_keys(name, [m.slot for m in rest if m.source == name]).values())
        rate = tally.keys / max(spent, 0.001)
        left = f", {format_duration(keys / rate)} left" if rate else ""
        moved = f"{tally.slots} slots, {tally.keys} keys, {format_size(tally.bytes)} moved in {format_duration(spent)}"
        return f"{moved} ({rate:.0f} keys/s); {len(rest)} slots, {keys} keys to go{left}"


def _ids(nodes: Mapping[str, Node]) -> dict[str, str]:
    return {name: n.id for name, n in nodes.items()}
