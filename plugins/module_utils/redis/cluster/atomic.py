# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Slots moved by the servers themselves, whole ranges at once: atomic slot migration.

Two dialects, told apart by which command the server knows. Valkey, from 9.0, is asked at the source (CLUSTER
MIGRATESLOTS, GETSLOTMIGRATIONS): proven with 9.1.2. Redis, from 8.4, is asked at the target (CLUSTER MIGRATION IMPORT,
STATUS): written after its documentation, https://redis.io/commands/cluster-migration, and tested only against a fake
that answers as that page says.

A job goes on without whoever asked for it. So nothing is remembered: a job that is under way and takes a slot where it
should go is waited for, whoever started it; slots that no job carries get a new one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import owners, ranges, spread
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.stream import Move, Tally
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Command, ErrorReply

DONE = frozenset({"success", "completed"})
ENDED = DONE | {"failed", "cancelled", "canceled"}
TRIES = 3
LOOK_EVERY = 0.1


@dataclass(frozen=True)
class Job:
    """One migration as a server tells of it."""

    id: str
    slots: tuple[int, ...]
    target: str
    state: str
    said: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.state in ENDED

    @property
    def failed(self) -> bool:
        return self.ended and self.state not in DONE


def jobs(reply: Any) -> list[Job]:
    """Read the list of either dialect: each job is names and values in turn."""
    found = []
    for raw in reply or ():
        pairs = {_word(k): v for k, v in zip(raw[::2], raw[1::2], strict=True)}
        slots = _word(pairs.get("slot_ranges", pairs.get("slots", b"")))
        found.append(
            Job(
                id=_word(pairs.get("name", pairs.get("id", b""))),
                slots=tuple(spread(_range(w) for w in slots.replace(",", " ").split())),
                target=_word(pairs.get("target_node", pairs.get("dest", b""))),
                state=_word(pairs.get("state", b"")).lower(),
                said=_word(pairs.get("message", pairs.get("last_error", b""))),
            )
        )
    return found


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _range(word: str) -> tuple[int, int]:
    first, _dash, last = word.partition("-")
    return int(first), int(last or first)


class AtomicMigration:
    """Moves of slots between masters that all have the same dialect."""

    def __init__(
        self, client: Client, nodes: Mapping[str, Node], *, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self._client = client
        self._nodes = nodes
        self._clock = clock
        self._sleep = sleep
        self._failures: dict[str, str] = {}
        self._old: set[str] = set()

    def run(self, moves: Sequence[Move], seconds: float) -> Tally:
        """Let the servers move these slots and watch them for so long; they go on after that.

        Raises GateNotPassed with what the server says when jobs fail again and again, and StateMoved when one under
        way takes a slot elsewhere.
        """
        end = self._clock() + seconds
        keys = self._keys(moves)
        self._old = {j.id for j in self._jobs(moves) if j.ended}
        while True:
            known = self._jobs(moves)  # before the owners: what ends in between is seen as moved, not as forgotten
            left, idle = self._left(moves)
            if not left or self._clock() >= end:
                break
            self._start(left, idle, known)
            self._sleep(min(LOOK_EVERY, max(0.0, end - self._clock())))
        gone = [m for m in moves if m not in set(left)]
        mean = {n: node.used_memory / max(1, node.keys) for n, node in self._nodes.items()}
        size = sum(keys[m.slot] * mean[m.source] for m in gone)
        return Tally(len(gone), sum(keys[m.slot] for m in gone), int(size))

    def _keys(self, moves: Sequence[Move]) -> dict[int, int]:
        counts: dict[int, int] = {}
        for source in {m.source for m in moves}:
            counts |= self._client.slot_keys(source, [m.slot for m in moves if m.source == source])
        return counts

    def _left(self, moves: Sequence[Move]) -> tuple[list[Move], set[int]]:
        """Return the moves whose slot either end does not yet take for the target's, and the slots that both ends
        take for the source's still.
        """
        seen = {n.name: n for n in self._client.read(sorted({m.source for m in moves} | {m.target for m in moves}))}
        for node in seen.values():
            if not node.answers:
                raise GateNotPassed(f"{node.name} answers while slots move", node.error, "bring it back and run again")
        views = {name: owners(node.view) for name, node in seen.items()}
        told = {m: {views[end].get(m.slot) for end in (m.source, m.target)} for m in moves}
        left = [m for m in moves if told[m] != {self._nodes[m.target].id}]
        return left, {m.slot for m in left if told[m] == {self._nodes[m.source].id}}

    def _start(self, left: Sequence[Move], idle: set[int], known: Iterable[Job]) -> None:
        """See that a job carries each of these slots: one job at a time from each source."""
        running: dict[int, Job] = {}
        for job in known:
            if not job.ended:
                running.update(dict.fromkeys(job.slots, job))
            elif job.failed and job.id not in self._old:
                self._failures[job.id] = job.said
        if len(self._failures) > TRIES:
            seen = "; ".join(sorted(set(self._failures.values()))) or "no reason given"
            raise GateNotPassed("the servers move their slots", seen, "look at both logs, correct it, run again")
        waiting: dict[tuple[str, str], list[int]] = {}
        for move in left:
            carrier = running.get(move.slot)
            if carrier is not None and carrier.target != self._nodes[move.target].id:
                seen = f"migration {carrier.id} takes it to node {carrier.target}"
                raise StateMoved(
                    f"slot {move.slot} goes to {move.target}", seen, "wait for its end, make the plan anew"
                )
            if carrier is None and move.slot in idle:
                waiting.setdefault((move.source, move.target), []).append(move.slot)
        busy = {m.source for m in left if m.slot in running}
        for (source, target), slots in waiting.items():
            if source not in busy:
                busy.add(source)
                self._begin(source, target, slots)

    def _begin(self, source: str, target: str, slots: Iterable[int]) -> None:
        parts = [n for r in ranges(slots) for n in r]
        command: Command = ("CLUSTER", "MIGRATION", "IMPORT", *parts)
        where = target
        if self._valkey(source):
            where, command = source, ("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", *parts, "NODE", self._nodes[target].id)
        reply = self._client.ask_all(where, [command])[0]
        if isinstance(reply, ErrorReply):
            self._failures[f"{where} {len(self._failures)}"] = reply.text

    def _jobs(self, moves: Iterable[Move]) -> list[Job]:
        found: dict[str, Job] = {}
        for name in sorted({m.source if self._valkey(m.source) else m.target for m in moves}):
            listing: Command = ("CLUSTER", "MIGRATION", "STATUS", "ALL")
            if self._valkey(name):
                listing = ("CLUSTER", "GETSLOTMIGRATIONS")
            found |= {j.id: j for j in jobs(self._client.ask(name, *listing))}
        return list(found.values())

    def _valkey(self, name: str) -> bool:
        return self._nodes[name].server == "valkey"
