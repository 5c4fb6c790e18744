# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Moves slots with their keys between the masters of a cluster while clients use them.

One stream a source, in a thread of its own, in turn with others of its machine (`turns.py`), opens a few slots at a
time, target told before source; carries their keys in MIGRATE calls of a bounded length; and gives a slot away only
when the source counts no key in it: NODE to the target first, then to the source, then to every other master. Nothing
is remembered between runs: what a killed run leaves is open slots, and moving an open slot is the same as moving one
(marks are set again, which a failover loses).

A key that is on both sides is compared (`conflicts.py`) and never overwritten where it differs; the slot then stays
open, the others go on, and the error at the end names the keys. Only a copy that this very engine left behind, when
its MIGRATE got no answer from the target and the source, which told so, has gone on owning the key, is replaced.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.redis import answers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import Limits, Pace, Probes
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.stream import Move, Stream, Tally
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.turns import Turns
from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import text
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

PROBE_EVERY = 0.02
JUDGE_EVERY = 0.25
MEMORY_EVERY = 0.5
TURNS_EVERY = 0.4
KEYS_A_BATCH = 8000
KNOWN_BY = 16
"""Slots that a new master has for each that a stream may open."""
GRACE = 5.0
"""Seconds that a call may take longer than the server's own time-out, before we take the server for dead."""


class Migration:
    """Moves of slots between masters; `ids` are node ids by instance name, `masters` everybody who is to be told."""

    def __init__(
        self, client: Client, ids: Mapping[str, str], masters: Iterable[str], limits: Limits | None = None, *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.limits = limits or Limits()
        self.access = client.access
        self.ids = ids
        self._client = client
        self._masters = tuple(masters)
        self._clock = clock
        self._end = 0.0
        self._failure: BaseException | None = None
        self._lock = threading.Lock()
        self._untold: list[Move] = []
        self._streams: list[Stream] = []
        self._new: frozenset[str] = frozenset()
        self._redis: frozenset[str] = frozenset()
        self._given: Counter[str] = Counter()
        self._turns: dict[str, Turns] = {}

    def run(self, moves: Sequence[Move], seconds: float) -> Tally:
        """Move slots for so long and return what was done; what remains is what the nodes then say.

        Raises SteelyardError: GateNotPassed for a node that fails, keys that differ on both sides, a target without
        memory; Refused for big keys; StateMoved when a slot's owner has changed.
        """
        self._end = self._clock() + seconds
        sources = sorted({m.source for m in moves})
        room = {t: threading.Semaphore(self.limits.target_streams) for t in {m.target for m in moves}}
        self._turns = {self._place(s): Turns(self.stopped) for s in sources}
        threads = [
            threading.Thread(target=self._stream, args=(s, [m for m in moves if m.source == s], room), daemon=True)
            for s in sources
        ]
        nodes = sorted({*sources, *room})
        targets = self._client.read(room)
        self._new = frozenset(n.name for n in targets if n.myself and not n.myself.slots)
        self._redis = frozenset(n.name for n in targets if n.server == "redis")
        with ExitStack() as stack:
            watch = Watch(self, self._client, nodes, sorted(room), stack)
            watch.settle()
            for thread in threads:
                thread.start()
            while any(t.is_alive() for t in threads):
                self._guard(watch.look)
                self._guard(self._tell)
                threads[0].join(PROBE_EVERY) if threads[0].is_alive() else time.sleep(PROBE_EVERY)
            self._guard(self._tell)
        if self._failure is not None:
            raise self._failure
        self._require_clean()
        return self.tally

    @property
    def tally(self) -> Tally:
        """What was moved so far."""
        streams = list(self._streams)
        return Tally(*(sum(getattr(s.tally, n) for s in streams) for n in ("slots", "keys", "bytes")))

    def paces(self, node: str) -> list[Pace]:
        """The paces of what works on this node as a source, or all where it is a target only."""
        own = [s.pace for s in self._streams if s.source == node]
        return own or [s.pace for s in self._streams]

    def stopped(self) -> bool:
        """Whether to end at the next occasion."""
        return self._failure is not None or self._clock() >= self._end

    def announces_once(self, target: str) -> bool:
        """Whether it may take many slots in one transaction: Valkey, which asks its replicas for each, may not."""
        return target in self._redis

    def gave(self, moves: Sequence[Move]) -> None:
        """Remember whom the others have to be told of."""
        with self._lock:
            self._untold.extend(moves)
            for move in moves:
                self._given[move.target] += 1

    def _guard(self, work: Callable[[], None]) -> None:
        """Do it; the first failure ends the migration."""
        try:
            work()
        except (SteelyardError, ErrorReply) as err:
            self._failure = self._failure or err
        except NoAnswer as silent:
            error = GateNotPassed("every node answers while slots move", str(silent), "bring it back and run again")
            self._failure = self._failure or error
        except Exception as err:  # noqa: BLE001 - a thread's failure is the run's
            self._failure = self._failure or err

    def _stream(self, source: str, moves: Sequence[Move], room: Mapping[str, threading.Semaphore]) -> None:
        self._guard(lambda: self._work(source, moves, room))

    def _work(self, source: str, moves: Sequence[Move], room: Mapping[str, threading.Semaphore]) -> None:
        """One source: batch after batch, its targets in turn."""
        patience = self.limits.migrate_timeout + GRACE
        if self.limits.big_keys == "move":
            patience *= 20
        with self._client.link(source, patience) as here:
            stream = Stream(self, source, here, Pace(self.limits))
            self._streams.append(stream)
            slots = [m.slot for m in moves]
            keys = self._client.slot_keys(source, slots)
            stream.measure(slots)
            for target in _turned({m.target for m in moves}, source):
                # In this order: who has a turn must not wait for room that one without a turn has.
                with room[target], self._turns[self._place(source)] as turns, self._client.link(target) as there:
                    own = [m for m in moves if m.target == target]
                    stream.move(target, there, batches(own, keys, partial(self._open_slots, target)), turns)

    def _place(self, name: str) -> str:
        """Return what instances of the same machine have in common."""
        return self._client.instances[name].address

    def given_by_place(self) -> dict[str, int]:
        """Return the weight that each machine's masters have given so far."""
        found = dict.fromkeys(self._turns, 0)
        for stream in list(self._streams):
            found[self._place(stream.source)] += stream.tally.weight
        return found

    def judge_turns(self, rates: Mapping[str, float]) -> None:
        """Take note of what each machine's masters gave a second."""
        for place, rate in rates.items():
            self._turns[place].judge(rate)

    def _open_slots(self, target: str) -> int:
        """Return how many slots a stream may open at once: few at first where the target had none.

        Clients hear of a new master by MOVED, when a slot is its own, or by ASK, while a slot is open; some (redis-py
        8.1 among them) fail when the first that they hear of it is an ASK. So slots are given long before many are
        open: of the first redirections that clients get, nearly all are then MOVED.
        """
        if target not in self._new:
            return self.limits.open_slots
        return min(self.limits.open_slots, max(1, self._given[target] // KNOWN_BY))

    def _tell(self) -> None:
        """Tell all other masters whose the slots are now. One that does not answer learns it by gossip."""
        with self._lock:
            moves, self._untold = self._untold, []
        if not moves:
            return
        knows = {m.source for m in moves} | {m.target for m in moves}
        for name in self._masters:
            told = [m for m in moves if name not in (m.source, m.target)] if name in knows else moves
            if told:
                self._client.tell_all(
                    [name], [("CLUSTER", "SETSLOT", m.slot, "NODE", self.ids[m.target]) for m in told]
                )

    def _require_clean(self) -> None:
        found = [problem for s in self._streams for problem in s.problems()]
        if found:
            remedy = "read both copies, delete the wrong one on its node, and run again; nothing was overwritten"
            raise GateNotPassed("a key is on one node", "; ".join(found), remedy)
        for stream in self._streams:
            stream.require_no_big()


def batches(
    moves: Iterable[Move], keys: Mapping[int, int], most: Callable[[], int], total: int = KEYS_A_BATCH
) -> Iterator[list[Move]]:
    """Cut moves into batches: at most so many slots, and not too many keys.

    In the order of slots: what is scattered makes every node's answer to CLUSTER SLOTS, and its own file, longer.
    """
    waiting = deque(sorted(moves, key=lambda m: m.slot))
    while waiting:
        batch = [waiting.popleft()]
        held = keys[batch[0].slot]
        while waiting and len(batch) < most() and held + keys[waiting[0].slot] <= total:
            held += keys[waiting[0].slot]
            batch.append(waiting.popleft())
        yield batch


def _turned(targets: Iterable[str], source: str) -> list[str]:
    """Return targets in an order that differs from source to source, so that not all begin with the same."""
    ordered = sorted(targets)
    turn = zlib.crc32(source.encode()) % len(ordered)
    return ordered[turn:] + ordered[:turn]


@dataclass
class Watch:
    """Looks after the nodes while keys move: how late they answer, and what memory the targets have left."""

    migration: Migration
    client: Client
    nodes: Sequence[str]
    targets: Sequence[str]
    stack: ExitStack

    def __post_init__(self) -> None:
        self._probes = {n: Probes(self.migration.limits) for n in self.nodes}
        self._links = {n: self.stack.enter_context(self.client.link(n)) for n in self.nodes}
        self._memory_at = self._judged_at = 0.0
        self._turns_at = time.monotonic()
        self._given: Mapping[str, int] = {}

    def settle(self) -> None:
        """Learn how fast the nodes usually answer."""
        for _probe in range(10):
            self._probe()
        for probes in self._probes.values():
            probes.settle()
        self._memory()

    def look(self) -> None:
        """Probe once; from time to time slow down what clients suffer from. Raises GateNotPassed or NoAnswer."""
        self._probe()
        now = time.monotonic()
        if now - self._judged_at > JUDGE_EVERY:
            self._judged_at = now
            slow = {name for name, probes in self._probes.items() if probes.suffers}
            for name in slow or self.nodes:
                for pace in self.migration.paces(name):
                    pace.judge(suffers=bool(slow))
        if now - self._turns_at > TURNS_EVERY:
            given, before = self.migration.given_by_place(), self._given
            spent = now - self._turns_at
            self.migration.judge_turns({p: (n - before.get(p, 0)) / spent for p, n in given.items()})
            self._given, self._turns_at = given, now
        if now - self._memory_at > MEMORY_EVERY:
            self._memory()

    def _probe(self) -> None:
        for name, link in self._links.items():
            begun = time.monotonic()
            link.ask("PING")
            self._probes[name].add(time.monotonic() - begun)

    def _memory(self) -> None:
        self._memory_at = time.monotonic()
        reserve = self.migration.limits.memory_reserve
        for name in self.targets:
            info = answers.pairs(text(self._links[name].ask("INFO", "memory")))
            limit, used = int(info.get("maxmemory", 0)), int(info.get("used_memory", 0))
            if limit and used > limit * (1 - reserve) and info.get("maxmemory_policy") == "noeviction":
                seen = f"{format_size(used)} of {format_size(limit)} used"
                remedy = "raise maxmemory, or add a shard, and run again: what has moved stays moved"
                raise GateNotPassed(f"{name} keeps {reserve:.0%} of its memory free", seen, remedy, name)
