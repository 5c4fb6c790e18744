"""Sets of slots, and which of them move."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import slots as s

MASKS = st.sets(st.integers(0, s.SLOTS - 1), max_size=40).map(s.mask_of_slots)


@given(MASKS)
def test_ranges_are_the_set(mask: int) -> None:
    assert s.mask_of(s.ranges_of(mask)) == mask == s.mask_of_slots(s.slots_of(mask))


def test_text_is_short() -> None:
    assert s.text_of(s.mask_of(((0, 5460), (5500, 5500)))) == "0-5460,5500"
    assert s.text_of(s.mask_of_slots(range(0, 40, 2))) == "0,2,4,6,8,10,+14"


@pytest.mark.parametrize("shards", [1, 3, 7, 100, 1000])
def test_even_ranges_cover_all(shards: int) -> None:
    ranges = s.even_ranges(shards)
    assert s.mask_of(ranges) == s.ALL
    assert max(b - a for a, b in ranges) - min(b - a for a, b in ranges) <= 1


@st.composite
def holdings(draw: st.DrawFn) -> tuple[dict[str, int], list[str]]:
    """All slots on some shards, of which some stay, and empty ones that join."""
    edges = sorted(draw(st.sets(st.integers(1, s.SLOTS - 1), max_size=12)))
    owners = draw(st.lists(st.integers(0, 7), min_size=len(edges) + 1, max_size=len(edges) + 1))
    held = {f"s{n}": 0 for n in range(8)}
    for first, last, owner in zip([0, *edges], [*(e - 1 for e in edges), s.SLOTS - 1], owners, strict=True):
        held[f"s{owner}"] |= s.mask_of(((first, last),))
    staying = sorted(draw(st.sets(st.sampled_from(sorted(held)), min_size=1)))
    return {n: m for n, m in held.items() if m or n in staying}, staying


def after(held: dict[str, int], moves: tuple[s.Move, ...]) -> dict[str, int]:
    now = dict(held)
    for move in moves:
        assert not move.slots & ~now[move.source], "only what the source has is moved"
        now[move.source] &= ~move.slots
        now[move.target] |= move.slots
    return now


@given(holdings())
def test_by_count_is_even_for_the_fewest_moves(case: tuple[dict[str, int], list[str]]) -> None:
    held, staying = case
    moves = s.balance(held, staying, threshold=0)
    now = after(held, moves)
    assert not any(now[n] for n in now if n not in staying)
    counts = [now[n].bit_count() for n in staying]
    assert sum(counts) == s.SLOTS
    if moves:
        assert max(counts) - min(counts) <= 1
        each, over = divmod(s.SLOTS, len(staying))
        before = sorted((held[n].bit_count() for n in staying), reverse=True)
        least = sum(max(0, c - each - (n < over)) for n, c in enumerate(before))
        least += sum(m.bit_count() for n, m in held.items() if n not in staying)
        assert sum(m.slots.bit_count() for m in moves) == least
        assert len({(m.source, m.target) for m in moves}) == len(moves) <= len(held) - 1


@given(holdings(), st.integers(0, 2**32))
def test_any_part_done_leaves_the_rest(case: tuple[dict[str, int], list[str]], seed: int) -> None:
    """A kill after any part of each move: the next moves are the rest of them, between the same pairs."""
    held, staying = case
    moves = s.balance(held, staying, threshold=0)
    parts = tuple(s.Move(m.source, m.target, s._cut(m.slots, seed % (m.slots.bit_count() + 1))) for m in moves)
    rest = s.balance(after(held, parts), staying, threshold=0)
    left = {(m.source, m.target): m.slots.bit_count() for m in moves}
    for part in parts:
        left[part.source, part.target] -= part.slots.bit_count()
    found = {(m.source, m.target): m.slots.bit_count() for m in rest}
    if rest:  # within one slot of each other nothing moves any more
        assert found == {pair: count for pair, count in left.items() if count}


WEIGHTS = {slot: 50 + (slot * 7919) % 100 for slot in range(s.SLOTS)}


@given(holdings(), st.sampled_from([1.0, 2.0, 5.0]))
def test_by_weight_is_even_for_the_least_volume(case: tuple[dict[str, int], list[str]], threshold: float) -> None:
    held, staying = case
    moves = s.balance(held, staying, WEIGHTS, threshold)
    now = after(held, moves)
    assert not any(now[n] for n in now if n not in staying)
    loads = {n: float(sum(WEIGHTS[x] for x in s.slots_of(now[n]))) for n in held}
    assert s.uneven(loads, staying) <= threshold
    mean = sum(WEIGHTS.values()) / len(staying)
    before = {n: sum(WEIGHTS[x] for x in s.slots_of(held[n])) for n in held}
    least = sum(w - (mean if n in staying else 0) for n, w in before.items() if n not in staying or w > mean)
    volume = sum(WEIGHTS[x] for m in moves for x in s.slots_of(m.slots))
    assert volume <= 1.01 * least + max(WEIGHTS.values()) * len(held)
    assert s.balance(now, staying, WEIGHTS, threshold) == ()


def test_a_heavy_slot_does_not_wander() -> None:
    """One slot has more than a shard's share: nothing gets better by moving it."""
    held = {f"s{n}": s.mask_of((r,)) for n, r in enumerate(s.even_ranges(3))}
    weights = {0: 1000, 6000: 10, 12000: 10}
    moves = s.balance(held, list(held), weights)
    assert s.balance(after(held, moves), list(held), weights) == ()
    assert sum(m.slots >> 0 & 1 for m in moves) == 0
