"""Replicated clusters on real servers and Sentinels: created, grown, shrunk, switched over, failed over, killed."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from support import redis_servers
from support.redis_clients import Load, clients
from support.redis_servers import LOOPBACK
from support.redis_watched import APP, NAME, Calls, Engine, Watched, watched

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import resume
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.switchover import Switchover
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until
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


def load_of(made: Watched, **options: Any) -> contextlib.AbstractContextManager[Load]:
    """Clients that ask the Sentinels who leads, as an application does."""
    return clients(made.sentinels[-1].port, watched=NAME, user=APP, filled=KEYS, rate=300, **options)


def assert_kept(load: Load, failed: bool = False) -> None:
    """Every acknowledged write is there; unless `failed`, no call failed."""
    assert load.result.missing == []
    assert load.result.written > 100
    assert failed or load.result.errors == []


def test_switched_over_under_load() -> None:
    with watched() as made:
        made.fill(0, KEYS)
        calls, copied = Calls(made), made.synced()
        with load_of(made) as load:
            assert calls.converge(switchover_to=made.name(2)) == [f"switchover/{made.name(2)}"]
            assert made.leader() == 2
            assert calls.converge(switchover_to="r" + made.name(0).split(":")[1]) == [f"switchover/{made.name(0)}"]
            assert made.leader() == 0
        assert_kept(load)
        assert made.synced() == copied, "nobody had to copy all data"
        assert load.result.worst < 4000, "longer than writes are held back"
        assert {s.priority for s in made.state().servers} == {100}
        assert calls.ask("health")["verdict"] == {"ok": True, "findings": []}


def test_who_leads_leaves_or_rests_under_load() -> None:
    with watched() as made:
        made.fill(0, KEYS)
        with load_of(made) as load:
            resting = Calls(made, states={0: "maintenance"})
            assert [i.split("/")[0] for i in resting.converge()] == ["switchover"]
            assert made.leader() == 1
            assert resting.ask("health")["verdict"]["ok"]
            made.add(1)
            done = Calls(made, states={0: "maintenance", 1: "leaving"}).converge()
            assert [i.split("/")[0] for i in done] == ["attach", "switchover", "forget"]
            assert made.leader() == 2
        assert_kept(load)


def test_a_dead_primary_is_replaced_and_taken_back() -> None:
    with watched() as made:
        calls = Calls(made)
        with load_of(made) as load:
            made.servers[0].kill()
            dead = calls.plan()
            assert [r.rule for r in dead.refusals] == ["the primary answers"], dead.as_table()
            wait_until(lambda: {v.leader for v in made.state().views}, lambda seen: len(seen) == 1 and not any(
                p.endswith(f":{made.servers[0].port}") for p in seen), 30, "the Sentinels replace it")  # fmt: skip
            leads = made.leader()
            assert leads != 0
            assert not calls.ask("health", required=False)["verdict"]["ok"]
            made.servers[0].start_again()
            back = calls.plan()
            assert [s.id for s in back.steps] == [f"attach/{made.name(0)}"], back.as_table()
            assert "was primary" in back.as_table()
            calls.apply(back)
            assert made.leader() == leads
            assert [made.number_of(s.name) for s in made.primaries()] == [leads]
            assert calls.plan().steps == ()
        assert load.result.written > 100
        assert calls.ask("health")["verdict"]["ok"]


def test_a_switchover_that_fails_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(self: Switchover, old: Any, new: Any, end: float) -> None:
        raise GateNotPassed(f"{new.name} gets all writes in time", "12 bytes are missing")

    monkeypatch.setattr(Switchover, "_wait_for_all", late)
    with watched() as made:
        made.fill(0, KEYS)
        calls = Calls(made)
        with load_of(made) as load:
            plan = calls.plan(switchover_to=made.name(1))
            with pytest.raises(GateNotPassed, match="12 bytes are missing"):
                calls.apply(plan)
        assert_kept(load)
        assert made.leader() == 0
        assert made.notes.list() == ()
        assert {s.priority for s in made.state().servers} == {100}
        assert [s.id for s in resume(plan, calls.wanted, calls.read()).steps] == [f"switchover/{made.name(1)}"]


def test_drifted_servers_and_sentinels_come_back() -> None:
    """One follows a replica, one Sentinel watches nobody any more, another was told other settings."""
    with watched(3, 4) as made:
        made.fill(0, KEYS)
        calls = Calls(made, quorum=3)
        with made.client() as client:
            client.ask(made.name(2), "REPLICAOF", LOOPBACK, str(made.servers[1].port))
            client.ask(made.sentinels[0].name, "SENTINEL", "REMOVE", NAME)
            client.ask(made.sentinels[1].name, "SENTINEL", "SET", NAME, "down-after-milliseconds", "9000")
        copied = made.synced()
        done = calls.converge()
        assert [i.split("/")[0] for i in done] == ["attach", "watch", "tune", "tune", "tune"]
        assert made.synced() == copied, "a replica of a replica has the same data: no copy"
        assert {tuple(v.settings.values()) for v in made.state().views} == {(3, 2000, 20000, 1)}
        made.settled(0)


def test_with_tls() -> None:
    with watched(2, 3, created=False, tls=True) as made:
        calls = Calls(made)
        assert calls.converge() == [f"create/{NAME}"]
        made.fill(0, KEYS)
        assert calls.converge(switchover_to=made.name(1)) == [f"switchover/{made.name(1)}"]
        assert made.leader() == 1
        assert calls.ask("health")["verdict"] == {"ok": True, "findings": []}


KILLS = [
    "CONFIG SET replica-priority", "CLIENT PAUSE 1200", "CLIENT PAUSE 2", f"SENTINEL FAILOVER {NAME} COORD",
    "MULTI", "CLIENT UNPAUSE",
]  # fmt: skip


@pytest.mark.parametrize("at", KILLS)
def test_killed_in_the_middle_of_a_switchover(at: str) -> None:
    """Wherever the engine dies, no acknowledged write is lost, and the same plan is finished by the next run."""
    with watched() as made:
        made.fill(0, KEYS)
        calls = Calls(made)
        with load_of(made) as load:
            plan = calls.plan(switchover_to=made.name(1))
            engine = Engine(calls, plan, 1, at)
            assert engine.wait() == -9, engine.output
            calls.ask("put_back")
            left = resume(plan, calls.wanted, calls.read())
            calls.apply(left)
            made.settled(1)
            assert made.leader() == 1
        assert_kept(load)
        assert made.notes.list() == ()
        assert {s.priority for s in made.state().servers} == {100}
        assert calls.ask("health")["verdict"]["ok"]


@pytest.mark.parametrize("at", ["CLIENT PAUSE 2", "MULTI"])
def test_killed_in_the_middle_of_a_switchover_and_never_run_again(at: str) -> None:
    """The Sentinels finish, or it is as before; writes go on by themselves, and none is lost."""
    with watched() as made:
        made.fill(0, KEYS)
        calls = Calls(made)
        with load_of(made) as load:
            engine = Engine(calls, calls.plan(switchover_to=made.name(1)), 1, at)
            assert engine.wait() == -9, engine.output
            wait_until(lambda: len(made.primaries()), lambda n: n == 1, 40, "one primary")
            leads = made.number_of(made.primaries()[0].name)
            made.settled(leads)
        assert_kept(load, failed=True)
        print(at, leads, load.result)


def test_without_sentinels() -> None:
    with watched(3, 0, created=False) as made:
        calls = Calls(made)
        assert calls.converge() == [f"create/{NAME}"]
        made.fill(0, KEYS)
        assert calls.converge(switchover_to=made.name(1)) == [f"switchover/{made.name(1)}"]
        assert [s.name for s in made.primaries()] == [made.name(1)]
        assert calls.ask("health")["verdict"] == {"ok": True, "findings": []}
        leaving = Calls(made, states={1: "leaving"})
        assert [i.split("/")[0] for i in leaving.converge()] == ["switchover", "forget"]
        leads = made.number_of(made.primaries()[0].name)
        rest = Calls(made, servers=(0, 2))
        made.servers[leads].kill()
        assert [r.rule for r in rest.plan().refusals] == ["the primary answers"]
        assert [i.split("/")[0] for i in rest.apply(rest.plan(repair=True))] == ["promote"]
        made.servers[leads].start_again()
        assert [i.split("/")[0] for i in rest.converge()] == ["attach"]
