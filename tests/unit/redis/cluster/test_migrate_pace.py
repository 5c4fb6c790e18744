"""How much is moved at once, without a server."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.migrate import batches
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import (
    KEY_WEIGHT,
    LEAST_KEYS,
    Limits,
    Listed,
    Pace,
    Probes,
    calls,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.stream import Move

SIZES = st.lists(st.integers(0, 200_000), min_size=1, max_size=50)


@given(st.lists(SIZES, max_size=10), st.integers(1, 1_000_000))
def test_every_key_is_carried_once_and_calls_keep_their_bound(slots: list[list[int]], allowance: int) -> None:
    listed = [Listed(n, [f"{n}:{i}".encode() for i in range(len(sizes))], sizes) for n, sizes in enumerate(slots)]
    made = list(calls(listed, lambda: allowance))
    carried = [name for call in made for piece in call for name in piece.names]
    assert carried == [name for one in listed for name in one.names]
    for call in made:
        keys = sum(len(p.names) for p in call)
        assert keys == 1 or sum(p.weight for p in call) <= allowance
    assert all(
        p.bytes == sum(listed[p.slot].sizes[listed[p.slot].names.index(n)] for n in p.names) for c in made for p in c
    )


def test_pace_learns_the_length_of_a_call() -> None:
    pace = Pace(Limits(block=0.004))
    for _ in range(50):
        pace.took(1_000_000, 0.002)
    assert 1_900_000 < pace.allowance < 2_100_000
    for _ in range(50):
        pace.took(1_000_000, 1.0)
    assert pace.allowance == LEAST_KEYS * KEY_WEIGHT


def test_it_rests_while_clients_suffer_and_only_then() -> None:
    pace = Pace(Limits())
    assert pace.rest(0.01) == 0
    for _ in range(20):
        pace.judge(suffers=True)
    assert 0.08 < pace.rest(0.01) < 0.1
    for _ in range(20):
        pace.judge(suffers=False)
    assert pace.rest(0.01) == 0


def test_clients_suffer_by_many_slow_probes_not_by_one() -> None:
    probes = Probes(Limits(slow_probe=0.025, slower=4))
    for _ in range(20):
        probes.add(0.001)
    probes.settle()
    for n in range(50):
        probes.add(0.5 if n == 7 else 0.001)
    assert not probes.suffers
    for _ in range(5):
        probes.add(0.5)
    assert probes.suffers


def test_batches_are_in_the_order_of_slots_and_keep_both_bounds() -> None:
    keys = {s: s for s in range(100)}
    made = list(batches([Move(s, "a", "b") for s in range(99, -1, -1)], keys, lambda: 8, total=300))
    assert [m.slot for batch in made for m in batch] == list(range(100))
    assert all(len(b) <= 8 and (len(b) == 1 or sum(keys[m.slot] for m in b) <= 300) for b in made)
