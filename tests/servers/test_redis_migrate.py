"""The migration engine on real servers: grow under load, killed everywhere, servers killed, keys on both sides."""

from __future__ import annotations

import random

import pytest
from support import redis_servers
from support.redis_clients import clients
from support.redis_world import Engine, World, step, world

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import Limits

pytestmark = [pytest.mark.redis_local, pytest.mark.timeout(300)]
KEYS = 30_000


@pytest.fixture(autouse=True)
def _program() -> None:
    try:
        redis_servers.program()
    except RuntimeError as missing:
        redis_servers.skip_or_fail(str(missing))


def test_grow_under_load_without_an_error() -> None:
    with world(8) as made:
        made.create(3, replicas=1)
        made.fill(KEYS)
        with clients(made.servers[0].port, filled=KEYS) as load:
            made.join(6)
            made.join(7, master=6)
            made.do(*made.moves([0, 1, 2], 6, 0.25))
        assert load.result.errors == []
        assert load.result.missing == []
        assert load.result.written > 100
        made.assert_whole(KEYS + load.result.written)


def test_killed_anywhere_and_run_again() -> None:
    """Thirty times, at another of its messages each time, back and forth between two masters, while clients write."""
    chance = random.Random(4)
    with world(4) as made:
        made.create(3)
        made.fill(KEYS)
        made.join(3)
        with clients(made.servers[0].port, filled=KEYS, rate=200) as load:
            killed = 0
            for turn in range(30):
                ends = ([0], 3) if turn % 2 == 0 else ([3], 0)
                steps = made.moves(*ends, 0.5 if turn % 2 == 0 else 1.0)
                engine = Engine(made, steps, kill_at=chance.randrange(60, 400))
                killed += engine.wait() == -9
                again = Engine(made, steps)
                assert again.wait() == 0, again.output
        assert killed >= 20
        assert load.result.errors == []
        assert load.result.missing == []
        made.assert_whole(KEYS + load.result.written)


@pytest.mark.parametrize("victim", ["source", "target"])
def test_a_server_dies_midway_and_comes_back(victim: str) -> None:
    with world(4, appendonly=True) as made:
        made.create(3)
        made.fill(KEYS)
        made.join(3)
        steps = made.moves([0, 1, 2], 3, 0.25)
        engine = Engine(made, steps, limits={"page": 20})
        server = made.servers[0 if victim == "source" else 3]
        _wait_for_keys(made, 3, 500)
        server.kill()
        assert engine.wait() == 1, engine.output
        server.start()
        made.settle()
        made.do(*steps)
        made.assert_whole(KEYS)


def test_finishes_what_others_left_open() -> None:
    with world(3) as made:
        made.create(3)
        made.fill(KEYS)
        ids = [n.id for n in made.nodes()]
        ask = made.client.ask
        ask(made.name(1), "CLUSTER", "SETSLOT", 5, "IMPORTING", ids[0])
        ask(made.name(0), "CLUSTER", "SETSLOT", 5, "MIGRATING", ids[1])
        ask(made.name(1), "CLUSTER", "SETSLOT", 6, "IMPORTING", ids[0])  # lost its other half
        ask(made.name(0), "CLUSTER", "SETSLOT", 7, "MIGRATING", ids[2])
        ask(made.name(1), "CLUSTER", "SETSLOT", 9, "IMPORTING", ids[0])  # an import that never came
        ends = {5: (0, 1), 6: (0, 1), 7: (0, 2), 9: (0, 0)}
        named = {str(s): {"source": made.name(a), "target": made.name(b)} for s, (a, b) in ends.items()}
        made.do(step("finish_slots", "5-9", slots=named))
        made.assert_whole(KEYS)
        view = {s: p.id for p in made.nodes()[0].view for a, b in p.slots for s in range(a, b + 1)}
        assert [view[s] for s in (5, 6, 7, 9)] == [ids[1], ids[1], ids[2], ids[0]]


def _key_in(slot: int) -> str:
    from redis.crc import key_slot

    return next(f"k{n}" for n in range(1_000_000) if key_slot(f"k{n}".encode()) == slot)


def _on_both(made: World, slot: int, here: str, there: str) -> str:
    """A key with these values on instance 0, the owner, and on 1, as an interrupted MIGRATE leaves it."""
    name, ids = _key_in(slot), [n.id for n in made.nodes()]
    made.client.ask(made.name(0), "SET", name, here)
    made.client.ask(made.name(1), "CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
    made.client.ask_all(made.name(1), [("ASKING",), ("SET", name, there)])
    return name


def test_a_key_on_both_sides_with_the_same_value_is_carried() -> None:
    with world(3) as made:
        made.create(3)
        name = _on_both(made, 3, "same", "same")
        made.do(*made.moves([0], 1, 0.01))
        assert made.client.ask(made.name(1), "GET", name) == b"same"
        made.assert_whole(1)


def test_a_key_that_differs_is_reported_and_kept() -> None:
    with world(3) as made:
        made.create(3)
        name = _on_both(made, 3, "one", "two")
        steps = made.moves([0], 1, 0.01)
        with pytest.raises(GateNotPassed, match=rf"slot 3: 1 key.*{name}"):
            made.do(*steps)
        assert made.client.ask(made.name(0), "GET", name) == b"one"
        assert made.client.ask_all(made.name(1), [("ASKING",), ("GET", name)])[1] == b"two"
        made.client.ask_all(made.name(1), [("ASKING",), ("DEL", name)])
        made.do(*steps)
        assert made.client.ask(made.name(1), "GET", name) == b"one"
        made.assert_whole(1)


def test_big_keys_by_policy() -> None:
    with world(3) as made:
        made.create(3)
        made.fill(1000)
        name = _key_in(4)
        made.client.ask(made.name(0), "SET", name, "x" * 2_000_000)
        steps = made.moves([0], 1, 0.01)
        with pytest.raises(Refused, match=r"2 MiB|1\.9 MiB"):
            made.do(*steps, limits=Limits(big_key_bytes=1_000_000))
        made.do(*steps, limits=Limits(big_key_bytes=1_000_000, big_keys="move"))
        made.assert_whole(1001)


def test_a_target_without_memory_is_refused_with_numbers() -> None:
    with world(3) as made:
        made.create(3)
        made.fill(KEYS, 1000)
        made.client.ask(made.name(1), "CONFIG", "SET", "maxmemory", "14mb")
        with pytest.raises(GateNotPassed, match=r"used.*to come.*maxmemory 14"):
            made.do(*made.moves([0], 1, 0.5))
        made.assert_whole(KEYS)


def _wait_for_keys(made: World, number: int, least: int) -> None:
    from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

    wait_until(lambda: made.nodes()[number].keys, lambda n: n >= least, 60, "keys have moved")
