# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How much to move at once. Pure: no Ansible, no I/O, no clock.

A MIGRATE blocks its source until the target has taken every key of it, so what a client of the source may wait is what
one call takes. How long that is depends on keys and bytes: `weight` counts both. The pace learns the speed of its pair
of nodes from its own calls, and makes calls of a stated length; where probes of the nodes answer late, it rests
between calls, up to nine tenths of the time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil
from statistics import median

KEY_WEIGHT = 3000
"""What one key costs beside its bytes, in bytes: DUMP, RESTORE and DEL of an empty one take about as long as carrying
these (measured on Redis 7.0 and 8.0 on one machine)."""

LEAST_KEYS = 130
"""A call has at least room for so many empty keys: where calls are slow because the machine is busy, smaller ones would
only be more."""
CALLS = 15
"""What the last so many calls took counts."""
PROBES = 50
FEWEST = 10
LOWEST_SHARE = 0.1


@dataclass(frozen=True)
class Limits:
    """Bounds of a migration. Seconds and bytes.

    `block` is what one call may hold up a source; `slow_probe` is the p95 of a PING from which on clients are taken
    to suffer, and `slower` how many times its usual value that must be; `target_streams` is how many sources may give
    to one target at once; `open_slots` how many slots one stream has open; `page` how many keys are listed at once;
    keys from `big_key_bytes` on are moved only where `big_keys` is `move`.
    """

    block: float = 0.001
    slow_probe: float = 0.025
    slower: float = 4.0
    target_streams: int = 3
    open_slots: int = 96
    page: int = 1000
    big_key_bytes: int = 64 * 1024 * 1024
    big_keys: str = "refuse"
    migrate_timeout: float = 2.0
    memory_reserve: float = 0.05


@dataclass(frozen=True)
class Piece:
    """Keys of one slot that one MIGRATE carries; `largest` is the size of the largest, in bytes."""

    slot: int
    names: Sequence[bytes]
    bytes: int
    largest: int
    replace: bool = False

    @property
    def weight(self) -> int:
        """What it costs to carry, in bytes."""
        return KEY_WEIGHT * len(self.names) + self.bytes


@dataclass(frozen=True)
class Listed:
    """Keys found in one slot, and their sizes in the same order."""

    slot: int
    names: Sequence[bytes]
    sizes: Sequence[int]
    replace: bool = False

    def pieces(self, allowance: Callable[[], int]) -> Iterator[Piece]:
        """Cut into pieces of about the same weight, at most what is allowed when each is made; a key alone may weigh
        more.
        """
        ends = list(accumulate(size + KEY_WEIGHT for size in self.sizes))
        start = before = 0
        while start < len(ends):
            most, weight = allowance(), ends[-1] - before
            if weight > most:
                most = ceil(weight / ceil(weight / most))
            stop = max(bisect_right(ends, before + most), start + 1)
            sizes = self.sizes[start:stop]
            yield Piece(self.slot, self.names[start:stop], sum(sizes), max(sizes), self.replace)
            start, before = stop, ends[stop - 1]


def calls(listed: Iterable[Listed], allowance: Callable[[], int]) -> Iterator[list[Piece]]:
    """Put pieces together to calls of the weight that is allowed."""
    call: list[Piece] = []
    weight = 0
    for one in listed:
        for piece in one.pieces(allowance):
            if call and weight + piece.weight > allowance():
                yield call
                call, weight = [], 0
            call.append(piece)
            weight += piece.weight
    if call:
        yield call


class Pace:
    """What one source may give at once; `allowance` is a weight."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._speeds: deque[float] = deque(maxlen=CALLS)
        self.allowance = 100 * KEY_WEIGHT
        self.share = 1.0

    def took(self, weight: int, seconds: float) -> None:
        """Learn from a call: it moved this weight in this time.

        The middle one of the last speeds counts: a call during which the machine did something else looks slow, and
        replies that were fetched late and together look quick, without either being so.
        """
        self._speeds.append(weight / max(seconds, 1e-6))
        wanted = median(self._speeds) * self._limits.block
        self.allowance = int(min(max(wanted, LEAST_KEYS * KEY_WEIGHT), 2 * self.allowance))

    def rest(self, seconds: float) -> float:
        """Return how long to rest after a call that took so long."""
        return seconds * (1 / self.share - 1)

    def judge(self, suffers: bool) -> None:
        """Work less of the time while clients suffer, more when they no longer do."""
        self.share = max(LOWEST_SHARE, self.share * 0.7) if suffers else min(1.0, self.share + 0.2)


class Probes:
    """The last answers of one node to a PING, in seconds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seen: deque[float] = deque(maxlen=PROBES)
        self._usual = 0.0

    def add(self, seconds: float) -> None:
        self._seen.append(seconds)

    @property
    def p95(self) -> float:
        """What one of twenty took longer than; single hiccups, a disk's or our own, say nothing."""
        ordered = sorted(self._seen)
        return ordered[int(len(ordered) * 0.95) - 1] if len(ordered) >= FEWEST else 0.0

    def settle(self) -> None:
        """Take what was seen until now as usual."""
        self._usual = self.p95
        self._seen.clear()

    @property
    def suffers(self) -> bool:
        """Whether clients of this node wait much longer than usual."""
        return self.p95 > max(self._limits.slow_probe, self._limits.slower * self._usual)
