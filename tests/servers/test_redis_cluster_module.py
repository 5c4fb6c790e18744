"""The module `redis_cluster` on real servers: created, grown while one is in maintenance and silent, judged."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

import pytest
from support import redis_servers
from support.redis_servers import PASSWORD
from support.redis_world import World, world

from ansible_collections.steelyard.stack.plugins.action.redis_cluster import seen_of
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.health import ok_to_stop
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ADMIN, ClusterSpec
from ansible_collections.steelyard.stack.plugins.modules import redis_cluster

pytestmark = [pytest.mark.redis_local, pytest.mark.timeout(300)]
KEYS = 20_000


@pytest.fixture(autouse=True)
def _program(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        redis_servers.program()
    except RuntimeError as missing:
        redis_servers.skip_or_fail(str(missing))

    class Lease(contextlib.nullcontext[Any]):
        def renew(self) -> None:
            pass

    monkeypatch.setattr(redis_cluster, "working_lease", lambda *_: Lease(Lease()))


class Calls:
    """Calls of the module, as the action makes them."""

    def __init__(self, made: World, numbers: Collection[int], maintenance: Collection[int] = ()) -> None:
        states = {n: "maintenance" if n in maintenance else "present" for n in numbers}
        raw = [{**made.instances[n].as_dict(), "state": state} for n, state in states.items()]
        self.wanted = ClusterSpec.from_dict(
            {"name": "test", "mode": "cluster", "instances": raw, "node_timeout": 2, "balance_by": "bytes"}
        )
        self.notes = made.notes

    def ask(self, operation: str, **more: Any) -> dict[str, Any]:
        defaults = {n: o.get("default") for n, o in redis_cluster.ARGUMENTS.items()}
        secret = {"payload": pack([{"passwords": {ADMIN: PASSWORD}}]), "lease": {"cluster": "test", "run": "r1"}}
        given = {"operation": operation, "cluster": self.wanted.as_dict(), **secret, **more}
        return redis_cluster.answer({**defaults, **given}, False, self.notes)

    def plan(self) -> Plan:
        return make_plan(self.wanted, seen_of(self.ask("read"), self.wanted))

    def converge(self, budget: float = 10.0) -> list[str]:
        """Plan, do it, and plan again: nothing is left. Returns what was done."""
        left = self.plan()
        assert not left.refusals, left.as_table()
        done: list[str] = []
        while left.steps:
            found = self.ask("apply", plan=left.summary(), budget=budget)
            done += found["applied"]
            left = left.only(found["remaining"])
        assert self.notes.list() == ()
        assert self.plan().steps == ()
        return done


def test_created_grown_and_judged() -> None:
    with world(8) as made:
        first = Calls(made, range(6))
        assert first.ask("read")["clustered"] is False
        assert first.converge() == ["create/test"]
        assert first.ask("health")["verdict"] == {"ok": True, "findings": []}
        made.fill(KEYS)
        nodes = seen_of(first.ask("read"), first.wanted)
        assert sum(sum(n.slot_keys.values()) for n in nodes) == KEYS
        assert all(80 * KEYS / 3 < sum(n.slot_bytes.values()) < 400 * KEYS / 3 for n in nodes[:3])

        made.servers[5].kill()
        silent = Calls(made, range(8), maintenance=(5,))
        assert any(i.startswith("move/") for i in silent.converge(budget=1.0))
        verdict = silent.ask("health")["verdict"]
        assert verdict["ok"], verdict

        nodes = seen_of(silent.ask("read"), silent.wanted)
        leads = next(n for n in nodes if n.answers and n.role == "master")
        follows = next(n for n in nodes if n.answers and n.role == "replica")
        assert not ok_to_stop(silent.wanted, nodes, leads.name).ok
        assert ok_to_stop(silent.wanted, nodes, follows.name).ok
        with pytest.raises(GateNotPassed, match="does not answer"):
            Calls(made, range(8)).ask("health")

        made.servers[5].start()
        made.settle()
        Calls(made, range(8)).converge()
        made.assert_whole(KEYS)
