"""The module `redis_cluster` against a fake cluster: what it reads, does, and puts back, whatever happens."""

from __future__ import annotations

import contextlib
import ssl
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.redis_cases import seen_of, wanted_of
from support.redis_fake import WANDERING, FakeClient, lent

from ansible_collections.steelyard.stack.plugins.module_utils import service, services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import (
    GateNotPassed,
    Locked,
    Refused,
)
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack, unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import access, wire
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import measure
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    ADMIN,
    REQUIREMENTS,
    ClusterSpec,
    Secrets,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.modes import mode_of
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes
from ansible_collections.steelyard.stack.plugins.modules import redis_cluster

FINISH = Step("finish/5", "finish_slots", "5",
              args={"slots": {"5": {"source": "redis1:7000", "target": "redis1:7000"}}})  # fmt: skip
HANDOVER = Step("handover/s/redis4:7000", "handover", "redis4:7000", args={"replica": "redis4:7000"})


class Lease:
    """The lease of the run; `lost` is after how many steps another run has it."""

    def __init__(self) -> None:
        self.lost = 99
        self.entered = 0

    def __call__(self, service: str, argument: Any) -> Any:
        assert (service, argument["cluster"]) == ("redis", "sessions")
        return self

    def __enter__(self) -> Lease:
        self.entered += 1
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def renew(self) -> None:
        self.lost -= 1
        if self.lost < 0:
            raise Locked("the run holds the cluster's lease", "another", "", "redis sessions")


class Bench:
    """The module with a fake cluster of three shards, and what it may touch."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        wanted = wanted_of({"hosts": [1, 2, 3, 4, 5, 6]})
        seen: dict[Any, dict[str, Any]] = {
            1: {"slots": "0-5460"}, 2: {"slots": "5461-10922"}, 3: {"slots": "10923-16383"}, 4: {"of": 1},
            5: {"of": 2}, 6: {"of": 3},
        }  # fmt: skip
        self.client = FakeClient(wanted, {k: {**v, "cluster_state": "ok"} for k, v in seen.items()})
        self.lease = Lease()
        self.notes = UndoNotes(str(folder))
        row = replace(mode_of(wanted), opened=lambda *_: lent(self.client))
        monkeypatch.setattr(redis_cluster, "mode_of", lambda _: row)
        monkeypatch.setattr(redis_cluster, "working_lease", self.lease)

    def ask(self, operation: str, *, dry: bool = False, **more: Any) -> dict[str, Any]:
        params = {n: o.get("default") for n, o in redis_cluster.ARGUMENTS.items()}
        held = {"cluster": "sessions", "run": "r1", "token": 1}
        given = {"operation": operation, "cluster": self.client.wanted.as_dict(), "lease": held, "payload": pack([{}])}
        return redis_cluster.answer({**params, **given, **more}, dry, self.notes)

    def apply(self, *steps: Step, **more: Any) -> dict[str, Any]:
        return self.ask("apply", plan=Plan("redis", "sessions", steps).summary(), **more)

    def wandering(self) -> set[str]:
        return {s[WANDERING] for s in self.client.settings.values()}


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path / "undo", monkeypatch)


def test_what_is_read_comes_back_whole(bench: Bench) -> None:
    found = bench.ask("read")
    nodes = tuple(Node.from_dict(raw) for raw in unpack(found["nodes"]))
    assert nodes == bench.client.read()
    assert (found["clustered"], found["changed"], found["unfinished"]) == (True, False, [])
    assert found["members"][3] == {
        "name": "redis4:7000", "role": "replica", "of": "redis1:7000", "slots": 0, "keys": 0, "used_memory": 0,
        "version": "8.0.2", "state": "ok", "error": "",
    }  # fmt: skip
    assert found["members"][0]["slots"] == 5461


def test_who_is_in_no_cluster_is_not_clustered(bench: Bench) -> None:
    for said in bench.client.seen.values():
        said.clear()
        said["out"] = True
    assert bench.ask("read")["clustered"] is False


def test_steps_are_done_and_settings_put_back(bench: Bench) -> None:
    bench.client.seen[1]["migrating"] = {5: 2}
    found = bench.apply(FINISH)
    assert (found["applied"], found["remaining"], found["silent"]) == (["finish/5"], [], [])
    assert ("redis1:7000", "CONFIG", "SET", WANDERING, "no") in bench.client.asked
    assert bench.wandering() == {"yes"}
    assert bench.notes.list() == ()


def test_settings_stay_between_two_calls_of_one_run(bench: Bench) -> None:
    assert bench.apply(FINISH, HANDOVER, budget=0.0)["remaining"] == [HANDOVER.id]
    assert "no" in bench.wandering()
    assert len(bench.ask("read")["unfinished"]) == 3
    calls = 0
    while bench.apply(HANDOVER, budget=1.0)["remaining"]:
        calls += 1
        assert calls < 5
    assert bench.wandering() == {"yes"}
    assert bench.notes.list() == ()
    assert bench.client.seen[4]["slots"] == "0-5460"


def test_settings_are_put_back_when_a_step_fails(bench: Bench) -> None:
    bench.client.refuses["CLUSTER FAILOVER"] = "You should send CLUSTER FAILOVER to a replica"
    with pytest.raises(GateNotPassed) as failed:
        bench.apply(FINISH, HANDOVER)
    assert failed.value.partial["applied"] == ["finish/5"]
    assert failed.value.partial["remaining"] == [HANDOVER.id]
    assert bench.wandering() == {"yes"}


def test_settings_are_left_to_whoever_has_the_lease(bench: Bench) -> None:
    bench.lease.lost = 1
    with pytest.raises(Locked):
        bench.apply(FINISH, HANDOVER)
    assert "no" in bench.wandering()


def test_put_back_does_what_a_killed_run_did_not(bench: Bench) -> None:
    bench.apply(FINISH, HANDOVER, budget=0.0)
    entered = bench.lease.entered
    assert bench.ask("put_back", dry=True) == {"changed": True, "silent": []}
    assert "no" in bench.wandering()
    assert bench.ask("put_back") == {"changed": True, "silent": []}
    assert bench.wandering() == {"yes"}
    assert bench.ask("put_back") == {"changed": False, "silent": []}
    assert bench.lease.entered == entered + 1


def test_who_is_silent_keeps_its_note(bench: Bench) -> None:
    bench.apply(FINISH, HANDOVER, budget=0.0)
    bench.client.seen[3]["error"] = "timeout"
    assert bench.ask("put_back") == {"changed": True, "silent": ["redis3:7000"]}
    assert len(bench.notes.list()) == 1


def test_a_dry_run_does_nothing(bench: Bench) -> None:
    assert bench.apply(FINISH, dry=True) == {"changed": True, "applied": [], "remaining": ["finish/5"]}
    assert bench.client.asked == []


@pytest.mark.parametrize("operation", ["apply", "put_back"])
def test_nothing_is_changed_without_a_lease(bench: Bench, operation: str) -> None:
    with pytest.raises(Refused, match="under its lease"):
        bench.ask(operation, lease=None, plan=Plan("redis", "sessions", (FINISH,)).summary())


@pytest.mark.parametrize("operation", ["plan", "ok_to_stop"])
def test_the_rest_is_the_actions(bench: Bench, operation: str) -> None:
    with pytest.raises(Refused, match="is the action's"):
        bench.ask(operation)


def test_health_fails_with_what_to_do(bench: Bench) -> None:
    assert bench.ask("health")["verdict"] == {"ok": True, "findings": []}
    bench.client.seen[6]["error"] = "timeout"
    with pytest.raises(GateNotPassed, match=r"redis6:7000 does not answer: timeout.*Remedy: bring it back"):
        bench.ask("health")
    found = bench.ask("health", required=False)
    assert found["verdict"]["ok"] is False
    assert "redis6:7000" in found["summary"]


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Exception, match=r"redis is on the coordinator .*site\.yml"):
        wire.require_library(None)


@pytest.mark.parametrize(("by", "keys", "sizes"), [("slots", 0, 0), ("keys", 3, 0), ("bytes", 3, 1050)])
def test_slots_are_measured_where_they_are_balanced_by_it(bench: Bench, by: str, keys: int, sizes: int) -> None:
    wanted = ClusterSpec.from_dict({**bench.client.wanted.as_dict(), "balance_by": by})
    bench.client.keys = {("redis1:7000", 7): 10, ("redis1:7000", 9): 1, ("redis2:7000", 6000): 3}
    found = measure.measured(bench.client, wanted, bench.client.read())  # type: ignore[arg-type]
    assert sum(len(n.slot_keys) for n in found) == keys
    assert found[0].slot_keys == ({7: 10, 9: 1} if keys else {})
    assert found[0].slot_bytes == ({7: 1000, 9: 100} if sizes else {})


def test_who_does_not_answer_is_not_measured(bench: Bench) -> None:
    wanted = ClusterSpec.from_dict({**bench.client.wanted.as_dict(), "balance_by": "bytes"})
    nodes = bench.client.read()
    bench.client.seen[1]["error"] = "timeout"
    assert measure.measured(bench.client, wanted, nodes)[0] == nodes[0]  # type: ignore[arg-type]


def test_secrets_open_the_servers_and_leave_no_file() -> None:
    wanted = ClusterSpec.from_dict({**wanted_of({"hosts": [1, 2, 3]}).as_dict(), "tls": True})
    secrets = Secrets({ADMIN: "verwaltung"}, "certificate", "key", "authority")
    with access.opened(wanted, secrets) as client:
        tls = client.access.tls
        assert (client.access.user, client.access.password) == (ADMIN, "verwaltung")
        assert tls is not None
        assert [Path(p).read_text() for p in (tls.ca, tls.certificate, tls.key)] == ["authority", "certificate", "key"]
        with pytest.raises(ssl.SSLError):  # it is read, and is none
            ssl.create_default_context(cafile=tls.ca)
    assert not Path(tls.key).exists()


def test_missing_secrets_are_refused_by_name() -> None:
    wanted = wanted_of({"hosts": [1, 2, 3]})
    with pytest.raises(Refused, match="password of the user steelyard"), access.opened(wanted, Secrets()):
        pass
    tls = ClusterSpec.from_dict({**wanted.as_dict(), "tls": True})
    with pytest.raises(Refused, match="authority"), access.opened(tls, Secrets({ADMIN: "x"})):
        pass


def test_hosts_with_redis_get_its_client_and_others_none() -> None:
    variables = {
        "redis_clusters": {
            "cache": {
                "mode": "standalone",
                "admin_password": "verwaltung-verwahrt-im-tresor",
                "replication_password": "nachbildung-verwahrt-im-tresor",
            }
        }
    }
    hosts = (Host("redis1", frozenset({"redis"}), variables), Host("api1", frozenset({"api"}), variables))
    fleet = Fleet(hosts)
    assert services.wanted("client_environment", fleet, hosts[0]) == sorted(REQUIREMENTS)
    assert services.wanted("client_environment", fleet, hosts[1]) == []
    assert service.Service("x", lambda _: []).requirements == ()


def test_the_bases_variable_takes_what_is_stated_in_place_of_ours() -> None:
    """The role's own expression, evaluated as Ansible does."""
    from ansible.parsing.dataloader import DataLoader
    from ansible.template import Templar, trust_as_template

    own = yaml.safe_load((Path(__file__).parents[4] / "roles/base/vars/main.yml").read_text())
    names = ("__base_client_stated", "__base_client_environment")
    texts = {n: own[n].replace("lookup('steelyard.stack.wanted', 'client_environment')", "theirs") for n in names}
    assert "theirs" in texts["__base_client_environment"]

    def found(*stated: str) -> Any:
        variables = {"theirs": list(REQUIREMENTS), "base_client_environment": list(stated)}
        variables |= {n: trust_as_template(t) for n, t in texts.items()}
        return Templar(DataLoader(), variables=variables).template(variables["__base_client_environment"])

    assert found() == list(REQUIREMENTS)
    assert found("redis[hiredis]==7.0.0") == ["redis[hiredis]==7.0.0", "hiredis==3.5.0"]
    assert found("redis-py-cluster==2.1.3") == ["redis-py-cluster==2.1.3", *REQUIREMENTS]


def test_nodes_of_a_case_are_what_a_read_returns() -> None:
    """The fake shows what the planner's cases show."""
    wanted = wanted_of({"hosts": [1, 2, 3]})
    seen: dict[Any, Any] = {1: {"slots": "0-16383"}, 2: {"of": 1}, 3: {"error": "timeout"}}
    with contextlib.closing(FakeClient(wanted, seen)) as client:
        assert list(client.read()) == seen_of(seen, wanted)
