"""Replicated clusters on real servers and Sentinels: created, grown, shrunk, switched over, failed over, killed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from support import redis_servers
from support.redis_watched import Calls, watched

from ansible_collections.steelyard.stack.plugins.modules import redis_cluster

pytestmark = [pytest.mark.redis_local, pytest.mark.timeout(300)]
KEYS = 5_000


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


def test_created_grown_and_shrunk() -> None:
    with watched(3, 3, created=False) as made:
        first = Calls(made)
        assert first.ask("read")["clustered"] is False
        assert first.converge() == [f"create/{first.wanted.name}"]
        assert first.ask("health")["verdict"] == {"ok": True, "findings": []}
        made.fill(0, KEYS)

        made.add(1)
        made.watch(2, None)
        grown = Calls(made)
        done = grown.converge()
        assert [i.split("/")[0] for i in done] == ["attach", "watch", "watch"]
        assert {len(v.others) for v in made.state().views} == {4}
        assert made.state().servers[3].keys == KEYS

        shrunk = Calls(made, states={1: "leaving"}, watcher_states={0: "leaving", 1: "leaving"})
        done = shrunk.converge()
        assert [i.split("/")[0] for i in done] == ["forget"] * 3
        rest = Calls(made, servers=(0, 2, 3), sentinels=(2, 3, 4))
        assert rest.ask("health")["verdict"] == {"ok": True, "findings": []}
        assert {(len(v.others), len(v.replicas)) for v in made.state(rest.wanted).views} == {(2, 2)}


def test_switchover() -> None:
    with watched() as made:
        made.fill(0, KEYS)
        calls = Calls(made)
        assert calls.converge(switchover_to=made.name(2)) == [f"switchover/{made.name(2)}"]
        assert made.leader() == 2
        assert calls.ask("health")["verdict"] == {"ok": True, "findings": []}
