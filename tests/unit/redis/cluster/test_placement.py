"""Placement against every other placement there is, on small clusters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.properties import examples

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.placement import Seat, choose_leaders, place

SHARDS = ["a", "b", "c"]


@st.composite
def seatings(draw: st.DrawFn) -> tuple[list[Seat], int]:
    """Six or seven instances on hosts and zones, some in a shard already; and how many copies there are to be."""
    copies, zones = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    hosts = draw(st.lists(st.integers(0, 4), min_size=6, max_size=7))
    leaders = draw(st.permutations(range(len(hosts))))[: draw(st.integers(0, 3))]
    seats = []
    for n, host in enumerate(hosts):
        leads = n in leaders
        shard = SHARDS[leaders.index(n)] if leads else draw(st.sampled_from(["", *SHARDS[: len(leaders)]]))
        seats.append(Seat(f"h{host}:{n}", f"h{host}", f"z{host % zones}", shard, leads))
    return seats, copies


def cost(seats: Sequence[Seat], goes: Sequence[str], copies: int) -> tuple[int, ...]:
    """What is weighed, heaviest first: copies on one host, lacking copies, crowded zones, syncs."""
    hosts = Counter((shard, s.host) for s, shard in zip(seats, goes, strict=True))
    zones = Counter((shard, s.zone) for s, shard in zip(seats, goes, strict=True))
    sizes = Counter(goes)
    most = -(-copies // len({s.zone for s in seats}))
    levels = sum(min(copy, copies) for shard in SHARDS for copy in range(sizes[shard]))
    return (
        sum(n - 1 for n in hosts.values()), levels, sum(max(0, n - most) for n in zones.values()),
        sum(s.shard not in ("", shard) for s, shard in zip(seats, goes, strict=True)),
    )  # fmt: skip


@settings(max_examples=examples(150))
@given(seatings())
def test_no_placement_is_better(case: tuple[list[Seat], int]) -> None:
    seats, copies = case
    fresh = frozenset(s for s in SHARDS if not any(seat.shard == s and seat.leads for seat in seats))
    placed = place(seats, SHARDS, fresh, copies)
    goes = [next(shard for shard in SHARDS if seat.name in placed.members[shard]) for seat in seats]
    stays = [n for n, s in enumerate(seats) if s.leads]
    every = (g for g in product(SHARDS, repeat=len(seats)) if all(g[n] == seats[n].shard for n in stays))
    assert cost(seats, goes, copies) == min(cost(seats, g, copies) for g in every)


@settings(max_examples=examples(150))
@given(seatings())
def test_no_leaders_are_better(case: tuple[list[Seat], int]) -> None:
    """Nothing puts fewer beyond half of the leaders on a host or in a zone."""
    seats, copies = case
    fresh = frozenset(s for s in SHARDS if not any(seat.shard == s and seat.leads for seat in seats))
    members = place(seats, SHARDS, fresh, copies).members
    assume(all(members.values()))
    by_name = {s.name: s for s in seats}
    zones = len({s.zone for s in seats})

    def beyond(names: Sequence[str]) -> int:
        """Return how many leaders are beyond the one of three that a host, or a zone of three, may have."""
        places = [Counter(by_name[n].host for n in names)]
        places += [Counter(by_name[n].zone for n in names)] if zones >= 3 else []
        return sum(count - 1 for place_counts in places for count in place_counts.values())

    found = choose_leaders(seats, members, fresh)
    assert beyond([found[s] for s in SHARDS]) == min(map(beyond, product(*(members[shard] for shard in SHARDS))))


def test_leaders_stay_where_they_are_spread() -> None:
    seats = [Seat(f"h{n}", f"h{n}", "", SHARDS[n % 3], n >= 3) for n in range(6)]
    assert choose_leaders(seats, {s: [f"h{n}", f"h{n + 3}"] for n, s in enumerate(SHARDS)}, frozenset()) == {
        "a": "h3", "b": "h4", "c": "h5",
    }  # fmt: skip
