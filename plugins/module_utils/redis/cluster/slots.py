# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which slots move from which shard to which, so that the shards that stay carry the same. Pure, values in and out.

A set of slots is an int, bit n for slot n: unions, differences and counts of all 16384 cost microseconds.

By count the number of moves is the least possible: who leaves gives all, and of n slots on k shards each ends with
n // k or one more, the ones more going to those that have them already. By weight (keys or bytes) the volume is that
least amount too, but for the size of the last slot of each pair. Pairs of givers and takers follow the staircase of the
north-west corner rule, whose remainder after any part of the moves is its own solution: a plan made after a kill
goes on with the same pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import SLOTS, SlotRange

ALL = (1 << SLOTS) - 1
_PASSES = 6
"""By weight a second look may better what the first left; one that betters nothing ends it."""


@dataclass(frozen=True)
class Move:
    """Slots that go from one shard to another."""

    source: str
    target: str
    slots: int


@lru_cache(maxsize=8192)
def mask_of(ranges: tuple[SlotRange, ...]) -> int:
    """Return the set of the slots in these ranges."""
    mask = 0
    for first, last in ranges:
        mask |= ((1 << (last - first + 1)) - 1) << first
    return mask


def mask_of_slots(slots: Iterable[int]) -> int:
    """Return the set of these slots."""
    mask = 0
    for slot in slots:
        mask |= 1 << slot
    return mask


def ranges_of(mask: int) -> tuple[SlotRange, ...]:
    """Return the contiguous ranges of a set, in order."""
    found = []
    while mask:
        first = (mask & -mask).bit_length() - 1
        shifted = mask >> first
        length = ((shifted + 1) & ~shifted).bit_length() - 1
        found.append((first, first + length - 1))
        mask &= ~(((1 << length) - 1) << first)
    return tuple(found)


def slots_of(mask: int) -> list[int]:
    """Return the slots of a set, in order."""
    return [slot for first, last in ranges_of(mask) for slot in range(first, last + 1)]


def text_of(mask: int, most: int = 6) -> str:
    """Return a set as people write it: `0-5460,5500`; of more than `most` ranges the first ones and how many more."""
    ranges = ranges_of(mask)
    said = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges[:most])
    return said + (f",+{len(ranges) - most}" if len(ranges) > most else "")


def even_ranges(shards: int) -> tuple[SlotRange, ...]:
    """Return all slots in as many contiguous ranges, which differ by one slot at most."""
    edges = [SLOTS * n // shards for n in range(shards + 1)]
    return tuple((a, b - 1) for a, b in pairwise(edges))


def quotas(counts: Mapping[str, int], staying: Sequence[str]) -> dict[str, int]:
    """Return how many slots each staying shard ends with: within one of each other, for the fewest moves.

    Among equals the first in `staying` have one more, so that the answer does not change while moves are under way.
    """
    each, over = divmod(sum(counts.values()), len(staying))
    rich = [s for s in staying if counts[s] > each]
    more = {*rich[:over], *[s for s in staying if counts[s] <= each][: max(0, over - len(rich))]}
    return {s: each + (s in more) for s in staying}


def uneven(loads: Mapping[str, float], staying: Sequence[str]) -> float:
    """Return by how many percent of the mean the shard farthest from it is off."""
    mean = sum(loads[s] for s in staying) / len(staying)
    return 100 * max(abs(loads[s] - mean) for s in staying) / mean if mean else 0.0


def balance(
    held: Mapping[str, int],
    staying: Sequence[str],
    weights: Mapping[int, int] | None = None,
    threshold: float = 2.0,
    rebalance: bool = True,
) -> tuple[Move, ...]:
    """Return the moves after which only `staying` shards have slots, and the same of them (or of their weight).

    Nothing moves while all are within `threshold` percent of the mean (by count, at least one slot) and no shard
    joins (is empty) or leaves; without `rebalance` nothing moves unless one does.
    """
    changes = any(not held[s] for s in staying) or any(held[s] for s in held if s not in staying)
    if not changes and not rebalance:
        return ()
    if weights and any(weights.values()):
        return _by_weight(held, staying, weights, threshold, changes)
    counts = {shard: slots.bit_count() for shard, slots in held.items()}
    total = sum(counts.values())
    if not changes and all(abs(counts[s] - total / len(staying)) <= _slack(total, staying, threshold) for s in staying):
        return ()
    return _by_count(held, staying, counts)


def _slack(total: int, staying: Sequence[str], threshold: float) -> float:
    return max(1.0, total / len(staying) * threshold / 100)


def _by_count(held: Mapping[str, int], staying: Sequence[str], counts: Mapping[str, int]) -> tuple[Move, ...]:
    goal = quotas(counts, staying)
    left = dict(held)
    room = {s: goal[s] - counts[s] for s in staying if counts[s] < goal[s]}
    moves = []
    for giver in sorted(held, key=lambda s: s in staying):  # who leaves comes first; else in the order given
        spare = counts[giver] - goal.get(giver, 0)
        while spare > 0:
            taker = next(iter(room))
            number = min(spare, room[taker])
            slots = _cut(left[giver], number)
            moves.append(Move(giver, taker, slots))
            left[giver] &= ~slots
            spare -= number
            room[taker] -= number
            if not room[taker]:
                del room[taker]
    return tuple(moves)


def _cut(mask: int, number: int) -> int:
    """Return that many slots of a set, in few ranges: whole ones while they fit, then one end of the smallest other."""
    ranges = sorted(ranges_of(mask), key=lambda r: (r[0] - r[1], r[0]))  # longest first
    taken: list[SlotRange] = []
    for first, last in ranges:
        if last - first + 1 <= number:
            taken.append((first, last))
            number -= last - first + 1
    if number:
        first, last = next(r for r in reversed(ranges) if r not in taken and r[1] - r[0] + 1 > number)
        taken.append((last - number + 1, last))
    return mask_of(tuple(taken))


def _by_weight(
    held: Mapping[str, int], staying: Sequence[str], weights: Mapping[int, int], threshold: float, changes: bool
) -> tuple[Move, ...]:
    """Pass until nothing gets better, and return the sum of the passes: planning again would find nothing either."""
    now = dict(held)
    for _turn in range(_PASSES):
        before = uneven(_loads(now, staying, weights), staying)
        if not changes and before <= threshold:
            break
        after = _pass(now, staying, weights, threshold)
        if not changes and uneven(_loads(after, staying, weights), staying) > max(threshold, 0.9 * before):
            break
        now, changes = after, False
    moves = []
    for giver in sorted(held, key=lambda s: s in staying):
        for taker in staying:
            slots = held[giver] & now[taker]
            if slots and giver != taker:
                moves.append(Move(giver, taker, slots))
    return tuple(moves)


def _loads(held: Mapping[str, int], shards: Iterable[str], weights: Mapping[int, int]) -> dict[str, float]:
    return {shard: float(sum(weights.get(s, 0) for s in slots_of(held[shard]))) for shard in shards}


def _pass(
    held: Mapping[str, int], staying: Sequence[str], weights: Mapping[int, int], threshold: float
) -> dict[str, int]:
    now, load = dict(held), _loads(held, held, weights)
    mean = sum(load.values()) / len(staying)
    # Exact sums would scatter slots: stop so near that what all givers keep is half of the threshold for one taker.
    near = mean * threshold / 200 / len(held)
    takers = [s for s in staying if load[s] + near < mean or not now[s]]
    for giver in sorted(held, key=lambda s: s in staying):
        keep = mean if giver in staying else 0.0
        while takers and load[giver] - keep > near:
            taker = takers[0]
            spare, room = load[giver] - keep, mean - load[taker]
            slots, weight = _pick(now[giver], weights, min(spare, room), near, keep_one=giver in staying)
            _give(now, load, giver, taker, slots, weight)
            if mean - load[taker] <= near or (room <= spare):
                takers.pop(0)
            if spare <= room or not slots:
                break
        if giver not in staying:
            _give_rest(now, load, giver, staying, weights)
    _none_empty(now, load, staying, weights)
    return now


def _give(now: dict[str, int], load: dict[str, float], giver: str, taker: str, slots: int, weight: float) -> None:
    now[giver] &= ~slots
    now[taker] |= slots
    load[giver] -= weight
    load[taker] += weight


def _pick(
    mask: int, weights: Mapping[int, int], amount: float, near: float, keep_one: bool
) -> tuple[int, float]:  # fmt: skip
    """Return slots of about that weight, contiguous from the end where they fit, and their weight.

    Slots that weigh nothing only go along between two that do.
    """
    slots = slots_of(mask)
    if keep_one:
        slots = slots[1:]
    taken: list[int] = []
    between: list[int] = []
    passed: list[tuple[int, int]] = []
    weight = 0.0
    for slot in reversed(slots):
        if amount - weight <= near:
            break
        of = weights.get(slot, 0)
        if not of:
            between.append(slot)
        elif weight + of <= amount:
            taken += [*(between if taken else ()), slot]
            between = []
            weight += of
        else:
            passed.append((of, slot))
    rest = amount - weight
    if passed and rest > near:
        of, slot = min(passed)
        if of < 2 * rest:
            taken.append(slot)
            weight += of
    return mask_of_slots(taken), weight


def _give_rest(
    now: dict[str, int], load: dict[str, float], giver: str, staying: Sequence[str], weights: Mapping[int, int]
) -> None:
    """Give what is left of a leaving shard, heaviest first, to who has least; empty slots in even stretches."""
    rest = slots_of(now[giver])
    for slot in sorted((s for s in rest if weights.get(s, 0)), key=lambda s: (-weights[s], s)):
        taker = min(staying, key=load.__getitem__)
        _give(now, load, giver, taker, 1 << slot, weights[slot])
    empty = [s for s in rest if not weights.get(s, 0)]
    for number, taker in enumerate(staying):
        part = empty[len(empty) * number // len(staying) : len(empty) * (number + 1) // len(staying)]
        _give(now, load, giver, taker, mask_of_slots(part), 0.0)


def _none_empty(
    now: dict[str, int], load: dict[str, float], staying: Sequence[str], weights: Mapping[int, int]
) -> None:
    """Give one slot to each staying shard that got none: a master without slots may turn into a replica."""
    for taker in staying:
        if not now[taker]:
            giver = max(staying, key=lambda s: now[s].bit_count())
            slot = min(slots_of(now[giver]), key=lambda s: (weights.get(s, 0), s))
            _give(now, load, giver, taker, 1 << slot, weights.get(slot, 0))
