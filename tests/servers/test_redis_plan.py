"""Plan and executor together on real servers: what the planner says is done, and then it says nothing more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from support import redis_servers
from support.redis_clients import clients
from support.redis_world import World, world

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec

pytestmark = [pytest.mark.redis_local, pytest.mark.timeout(300)]
KEYS = 20_000


@pytest.fixture(autouse=True)
def _program() -> None:
    try:
        redis_servers.program()
    except RuntimeError as missing:
        redis_servers.skip_or_fail(str(missing))


def converge(made: World, numbers: Collection[int], leaving: Collection[int] = (), budget: float = 10.0) -> list[str]:
    """Plan, do it, and plan again: nothing is left. Returns the ids of the steps."""
    wanted = tuple(replace(made.instances[n], state="leaving" if n in leaving else "present") for n in numbers)
    spec = ClusterSpec("test", "cluster", wanted, node_timeout=2.0)
    made.client.instances = {i.name: i for i in wanted}
    plan = make_plan(spec, made.client.read())
    assert not plan.refusals, plan.refusals
    left = list(plan.steps)
    while left:
        applier = Applier(made.client, spec, (), left, notes=made.notes)
        if applier.execute(left[0], budget) is None:
            left.pop(0)
    assert Applier(made.client, spec, notes=made.notes).put_back() == []
    assert made.notes.list() == ()
    again = make_plan(spec, made.client.read())
    assert (again.steps, again.refusals) == ((), ())
    return [s.verb for s in plan.steps]


def test_create_grow_and_shrink_under_load() -> None:
    with world(8) as made:
        assert converge(made, range(6)) == ["create"]
        made.fill(KEYS)
        with clients(made.servers[0].port, filled=KEYS, rate=200) as load:
            assert "move_slots" in converge(made, range(8), budget=2.0)
            made.assert_whole()
            assert "forget" in converge(made, range(8), leaving=(0, 6))
        assert load.result.errors == []
        assert load.result.missing == []
        made.assert_whole(KEYS + load.result.written)
