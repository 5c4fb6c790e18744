# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One source's part of a migration: open slots, carry their keys, give them away. See `migrate.py`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.redis import answers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.conflicts import compare
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import (
    KEY_WEIGHT,
    Limits,
    Listed,
    Pace,
    Piece,
    calls,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slot_words import refusal, setslot, taking
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.turns import Turns
from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import text, whole
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Access, Command, ErrorReply, Link
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

SIZES = "local r = {} for i, k in ipairs(KEYS) do r[i] = redis.call('MEMORY', 'USAGE', k) or 0 end return r"
"""Asks the sizes of many keys at once; asked one by one they cost as much as moving them."""

UNKNOWN_SIZE = 1024
SAMPLED_SLOTS = 100
EXPLAINED = 0.8
"""What of a sample's mean times the keys counts: MEMORY USAGE and the server's own sum differ by what tables take."""
UNEVEN = 8
UNSIZED = 32 * 1024 * 1024
SLOWEST = 20_000_000
"""Bytes a second at which a big key is carried and taken in at the least; gives its MIGRATE its time-out."""
TRIES = 5
SLOTS_A_LISTING = 16
IN_FLIGHT = 2
"""Calls that a source has got at once: one that it does and one that waits, so that it does not wait for us. It serves
its other clients between two."""


@dataclass(frozen=True)
class Move:
    """One slot on its way, by the names of the instances.

    `owner` is false where the source has keys of a slot that is not its own: what a failover or another tool left.
    """

    slot: int
    source: str
    target: str
    owner: bool = True


@dataclass
class Tally:
    """What was moved so far; bytes as the source counted them in memory."""

    slots: int = 0
    keys: int = 0
    bytes: int = 0

    @property
    def weight(self) -> int:
        """What it cost to carry, in bytes; see `pace`."""
        return KEY_WEIGHT * self.keys + self.bytes


class Whole(Protocol):
    """What a stream needs to know of the migration that it is part of."""

    limits: Limits
    access: Access
    ids: Mapping[str, str]

    def stopped(self) -> bool:
        """Whether to end at the next occasion: the time is up, or another stream failed."""

    def announces_once(self, target: str) -> bool:
        """Whether it may take many slots in one transaction; see `slot_words.taking`."""

    def gave(self, moves: Sequence[Move]) -> None:
        """These slots are their target's now, and target and source know: tell the others."""


@dataclass
class Stream:
    """The moves of one source. `doubtful` are keys whose MIGRATE the target did not confirm: a copy of them there is
    ours, and older than what the source has.
    """

    whole: Whole
    source: str
    here: Link
    pace: Pace
    tally: Tally = field(default_factory=Tally)
    doubtful: set[bytes] = field(default_factory=set)
    conflicts: dict[int, list[bytes]] = field(default_factory=dict)
    big: dict[bytes, int] = field(default_factory=dict)
    unconfirmed: int = 0
    usual_size: int = 0

    def move(self, target: str, there: Link, batches: Iterable[Sequence[Move]], turns: Turns) -> None:
        """Move slots to one target, or as many as the time and the turns allow. Raises SteelyardError or NoAnswer.

        A batch is given away by the same words that open the next one, so that neither node waits for us in between.
        """
        empty: list[Move] = []
        for batch in batches:
            if self.whole.stopped():
                break
            if turns.one_too_many():
                self._turn(target, there, empty, ())
                empty = []
                turns.pause()
            opened, listed = self._turn(target, there, empty, batch)
            empty = self._drain(target, there, opened, listed)
        self._turn(target, there, empty, ())

    def _turn(
        self, target: str, there: Link, empty: Sequence[Move], batch: Sequence[Move]
    ) -> tuple[list[Move], list[Listed]]:
        """Give slots away of which the source counts no key, and open others; the target first, both times.

        Who is sent to the target with ASK must be let in there; and until it takes the slot for its own, the source
        must send all new keys there, which it does as long as its own mark stands.
        """
        ids = self.whole.ids
        given = taking([m.slot for m in empty if m.owner], ids[target], self.whole.announces_once(target))
        replies = there.ask_all(given + [setslot(m.slot, "IMPORTING", ids[self.source]) for m in batch])
        importing = replies[len(given) :]
        self._require_told(target, replies[: len(given)])
        for move, reply in zip(batch, importing, strict=True):
            if isinstance(reply, ErrorReply) and "already the owner" not in reply.text:
                raise GateNotPassed(f"{target} opens slot {move.slot}", reply.text, "run again", target)
        marks = [setslot(m.slot, "MIGRATING" if m.owner else "IMPORTING", ids[target]) for m in batch]
        closed = [setslot(m.slot, *(("NODE", ids[target]) if m.owner else ("STABLE",))) for m in empty]
        replies = self.here.ask_all([*closed, *marks])
        self._require_told(self.source, replies[: len(closed)])
        self.tally.slots += len(empty)
        self.whole.gave([m for m in empty if m.owner])
        opened = self._opened(batch, importing, replies[len(closed) :])
        return opened, self._list([m.slot for m in opened])

    def _require_told(self, name: str, replies: Sequence[Any]) -> None:
        seen = refusal(replies)
        if seen:
            raise StateMoved(f"{name} takes note of a slot's owner", seen, "run again", name)

    def _opened(self, batch: Sequence[Move], importing: Sequence[Any], marked: Sequence[Any]) -> list[Move]:
        opened = []
        for move, before, reply in zip(batch, importing, marked, strict=True):
            if not isinstance(reply, ErrorReply):
                opened.append(move)
            elif isinstance(before, ErrorReply) and move.owner:
                self.whole.gave([move])  # an earlier run was cut off between the two: it is the target's already
                self.tally.slots += 1
            else:
                rule = f"slot {move.slot} is {self.source}'s"
                raise StateMoved(rule, reply.text, "run again: the plan is made anew", self.source)
        return opened

    def _drain(self, target: str, there: Link, opened: Sequence[Move], listed: list[Listed]) -> list[Move]:
        """Carry keys until none is left, or time; return the slots of which the source counts none."""
        slots = [m.slot for m in opened]
        counts = dict.fromkeys(slots, 0)
        tries, least = 0, None
        while slots:
            counts = self._carry(target, there, listed, slots)
            left = sum(counts.values())
            if not left or self.whole.stopped():
                break
            tries, least = (0, left) if least is None or left < least else (tries + 1, least)
            if tries > TRIES:
                raise GateNotPassed(f"keys leave {self.source}", f"{left} key(s) stay", "look at both logs, run again")
            listed = self._list([s for s, n in counts.items() if n])
            if not listed:
                break  # what is left has to stay
        return [m for m in opened if not counts[m.slot]]

    def _list(self, slots: Sequence[int]) -> list[Listed]:
        """Return keys of these slots with their sizes; of a few slots at a time, for the source's other clients."""
        found: list[Listed] = []
        for start in range(0, len(slots), SLOTS_A_LISTING):
            part = slots[start : start + SLOTS_A_LISTING]
            replies = self.here.ask_all([self._listing(s) for s in part])
            found += self._listed([(s, _names(reply)) for s, reply in zip(part, replies, strict=True)])
        return found

    def _listing(self, slot: int) -> Command:
        stay = len(self.conflicts.get(slot, ())) + len(self.big)
        return ("CLUSTER", "GETKEYSINSLOT", slot, self.whole.limits.page + stay)

    def _listed(self, found: Iterable[tuple[int, list[bytes]]]) -> list[Listed]:
        """Return keys with their sizes; those that have to stay are left out."""
        able = []
        for slot, names in found:
            stay = {*self.conflicts.get(slot, ()), *self.big}
            may = [n for n in names if n not in stay] if stay else names
            if may:
                able.append((slot, may))
        if self.usual_size and not self.doubtful:
            return [Listed(slot, names, [self.usual_size] * len(names)) for slot, names in able]
        return list(self._sized(able))

    def measure(self, slots: Sequence[int]) -> None:
        """Find out whether sizes have to be asked for key by key.

        They need not where a sample explains what the node holds but for a rest: no key can be larger than the rest,
        and what a call of keys of the usual size takes is then near enough.
        """
        info = answers.pairs(text(self.here.ask("INFO", "memory")))
        keys, dataset = int(self.here.ask("DBSIZE")), int(info.get("used_memory_dataset", 0))
        asked = slots[:: max(1, len(slots) // SAMPLED_SLOTS)]
        pages = self.here.ask_all([("CLUSTER", "GETKEYSINSLOT", s, 4) for s in asked])
        names = [n for page in pages for n in _names(page)]
        if not names or not keys:
            return
        sizes = sorted(self._one_by_one(names))
        if sizes[-1] > min(UNEVEN * sizes[len(sizes) // 2], self.whole.limits.big_key_bytes):
            return
        mean = sum(sizes) / len(sizes)
        if dataset - EXPLAINED * mean * keys < min(UNSIZED, self.whole.limits.big_key_bytes):
            self.usual_size = int(mean)

    def _sized(self, found: Sequence[tuple[int, Sequence[bytes]]]) -> Iterator[Listed]:
        replies = self.here.ask_all([("EVAL", SIZES, len(names), *names) for _slot, names in found])
        for (slot, names), reply in zip(found, replies, strict=True):
            sizes = reply if isinstance(reply, list) else self._one_by_one(names)
            if max(sizes) >= self.whole.limits.big_key_bytes or self.doubtful:
                yield from self._apart(slot, names, sizes)
            else:
                yield Listed(slot, names, sizes)

    def _one_by_one(self, names: Sequence[bytes]) -> list[int]:
        """Ask for each size: a key that has gone since, or a user without scripts, makes the quick way fail."""
        replies = self.here.ask_all([("MEMORY", "USAGE", n) for n in names])
        return [r if isinstance(r, int) else UNKNOWN_SIZE for r in replies]

    def _apart(self, slot: int, names: Sequence[bytes], sizes: Sequence[int]) -> Iterator[Listed]:
        """Leave out what is too big, and keep those apart whose copy may be replaced."""
        limits = self.whole.limits
        keys = list(zip(names, sizes, strict=True))
        if limits.big_keys != "move":
            self.big.update((n, size) for n, size in keys if size >= limits.big_key_bytes)
        for replace in (False, True):
            chosen = [(n, size) for n, size in keys if n not in self.big and (n in self.doubtful) == replace]
            if chosen:
                yield Listed(slot, [n for n, _size in chosen], [size for _n, size in chosen], replace)

    def _carry(self, target: str, there: Link, listed: Iterable[Listed], slots: Sequence[int]) -> dict[int, int]:
        """Move these keys, a bounded call at a time; return how many the source then counts in each slot."""
        sent: deque[tuple[float, list[Piece]]] = deque()
        busy: dict[bytes, int] = {}
        last = time.monotonic()
        for call in calls(listed, lambda: self.pace.allowance):
            if self.whole.stopped():
                break
            self.here.send([self._migrate(there, piece) for piece in call])
            sent.append((time.monotonic(), call))
            if len(sent) >= (IN_FLIGHT if self.pace.share == 1.0 else 1):
                last = self._collect(target, *sent.popleft(), last, busy)
        self.here.send([("CLUSTER", "COUNTKEYSINSLOT", s) for s in slots])
        while sent:
            last = self._collect(target, *sent.popleft(), last, busy)
        counts = map(whole, self.here.receive(len(slots)))
        found = dict(zip(slots, counts, strict=True))
        if busy:
            self._settle(there, busy)
        return found

    def _migrate(self, there: Link, piece: Piece) -> Command:
        access, limits = self.whole.access, self.whole.limits
        patience = int(1000 * max(limits.migrate_timeout, piece.largest / SLOWEST))
        auth: tuple[str, ...] = ()
        if access.password:
            auth = ("AUTH2", access.user, access.password) if access.user else ("AUTH", access.password)
        replace = ("REPLACE",) if piece.replace else ()
        return ("MIGRATE", there.address, there.port, "", 0, patience, *replace, *auth, "KEYS", *piece.names)

    def _collect(self, target: str, begun: float, call: list[Piece], last: float, busy: dict[bytes, int]) -> float:
        """Take the replies of one call; return when they came."""
        replies = self.here.receive(len(call))
        now = time.monotonic()
        for piece, reply in zip(call, replies, strict=True):
            self._judge(target, piece, reply, busy)
        self.pace.took(sum(p.weight for p in call), now - max(begun, last))
        rest = self.pace.rest(now - max(begun, last))
        if rest:
            time.sleep(rest)
        return time.monotonic() if rest else now

    def _judge(self, target: str, piece: Piece, reply: Any, busy: dict[bytes, int]) -> None:
        if not isinstance(reply, ErrorReply):
            if reply == b"OK":
                self.tally.keys += len(piece.names)
                self.tally.bytes += piece.bytes
            self.doubtful.difference_update(piece.names)
            self.unconfirmed = 0
        elif "BUSYKEY" in reply.text:
            busy.update(dict.fromkeys(piece.names, piece.slot))
        elif reply.starts("IOERR"):
            # The source itself says that it still has them and owns them: what the target may have got is a copy.
            self.doubtful.update(piece.names)
            self.unconfirmed += 1
            if self.unconfirmed > TRIES:
                raise GateNotPassed(f"{target} takes keys from {self.source}", reply.text, "bring it back, run again")
        elif "OOM" in reply.text:
            raise GateNotPassed(f"{target} has memory for the keys", reply.text, "raise its maxmemory, run again")
        else:
            raise GateNotPassed(f"{target} takes keys from {self.source}", reply.text, "correct its cause, run again")

    def _settle(self, there: Link, busy: Mapping[bytes, int]) -> None:
        """Find out about keys that the target has already: the same may be replaced, others stay where they are."""
        compared = compare(self.here, there, list(busy))
        self.doubtful.update(compared.same)
        for name in compared.different:
            self.conflicts.setdefault(busy[name], []).append(name)

    def problems(self) -> list[str]:
        """Return what kept keys back, in words."""
        found = []
        for slot, names in sorted(self.conflicts.items()):
            shown = ", ".join(repr(n.decode("utf-8", "replace")) for n in names[:5])
            found.append(f"slot {slot}: {len(names)} key(s) differ on both sides: {shown}")
        return found

    def require_no_big(self) -> None:
        """Raise Refused when keys were left because they are big."""
        if not self.big:
            return
        limit = format_size(self.whole.limits.big_key_bytes)
        largest = sorted(self.big.items(), key=lambda item: -item[1])[:5]
        seen = ", ".join(f"{n.decode('utf-8', 'replace')!r} {format_size(size)}" for n, size in largest)
        remedy = "split them, or allow it with big_keys: move (both nodes stand still while one is carried)"
        raise Refused(f"no key of {limit} or more moves", f"{len(self.big)} on {self.source}: {seen}", remedy)


def _names(reply: Any) -> list[bytes]:
    if isinstance(reply, ErrorReply):
        raise reply
    return reply  # type: ignore[no-any-return]
