"""Answers of servers and Sentinels as they were captured, of three versions: healthy, failing over, down, failed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    REPLICATION,
    ClusterSpec,
    Instance,
    Sentinel,
    SentinelInstance,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.copies import behind, resync
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import look
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State

FIXTURES = Path(__file__).parent / "fixtures"
VERSIONS = sorted(f.name for f in FIXTURES.iterdir())
CLUSTER = "watched"


def captured(version: str, name: str) -> tuple[ClusterSpec, State]:
    """What was captured, and the inventory of those servers and Sentinels."""
    raw = yaml.safe_load((FIXTURES / version / f"{name}.yml").read_text(encoding="utf-8"))
    healthy = yaml.safe_load((FIXTURES / version / "healthy.yml").read_text(encoding="utf-8"))
    ports = {k: _port(healthy, k) for k in healthy}
    servers = {k: p for k, p in ports.items() if k.startswith("server")}
    watching = {k: p for k, p in ports.items() if k.startswith("sentinel")}
    instances = tuple(Instance(CLUSTER, f"r{p}", "127.0.0.1", p) for p in servers.values())
    views = tuple(SentinelInstance(CLUSTER, f"r{p}", "127.0.0.1", p) for p in watching.values())
    sentinel = Sentinel("redis", 0, 2, 2.0, 20.0, 1, views)
    wanted = ClusterSpec(CLUSTER, REPLICATION, instances, primary=instances[0].host, sentinel=sentinel)
    return wanted, State(
        tuple(_server(i, raw[k]) for i, k in zip(instances, servers, strict=True)),
        tuple(_view(i, raw[k]) for i, k in zip(views, watching, strict=True)),
    )


def _port(raw: dict[str, Any], key: str) -> int:
    """Of a server by its INFO; of a Sentinel by what another one says of its id."""
    if key.startswith("server"):
        return int(next(line for line in raw[key]["info"].splitlines() if line.startswith("tcp_port")).split(":")[1])
    others = [parse.fields(o) for k in raw if k.startswith("sentinel") for o in raw[k]["sentinels"]]
    return int(next(o["port"] for o in others if o["runid"] == raw[key]["id"]))


def _where(one: Any) -> dict[str, Any]:
    return {"name": one.name, "host": one.host, "address": one.address, "port": one.port}


def _server(one: Instance, raw: dict[str, Any]) -> Any:
    if "error" in raw:
        return parse.silent_server(_where(one), raw["error"])
    return parse.server(_where(one), parse.ServerAnswers(raw["info"], raw["role"], parse.fields(raw["config"])))


def _view(one: SentinelInstance, raw: dict[str, Any]) -> Any:
    lists = {k: [parse.fields(o) for o in raw[k]] for k in ("replicas", "sentinels")}
    said = parse.SentinelAnswers(raw["info"], raw["id"], parse.fields(raw["master"]), quorum=raw["quorum"], **lists)
    return parse.sentinel(_where(one), said)


@pytest.mark.parametrize("version", VERSIONS)
def test_healthy(version: str) -> None:
    wanted, state = captured(version, "healthy")
    picture = look(wanted, state)
    assert (picture.leader.name, picture.leader.by) == (wanted.instances[0].name, "sentinels")
    first = state.servers[0]
    assert first.leads
    assert f"{first.server}-{first.version}" == version
    assert {f.place for f in first.followers} == {s.place for s in state.servers[1:]}
    assert (first.keys, first.backlog_size, first.priority, first.min_replicas) == (100, 16 * 1024 * 1024, 100, 0)
    assert not first.persistence
    for replica in state.servers[1:]:
        assert (replica.role, replica.link, behind(replica, first)) == ("replica", "connected", "")
        assert resync(replica, first).full is False
    for view in state.views:
        assert view.version == first.version
        assert view.settings == {
            "quorum": 2, "down-after-milliseconds": 2000, "failover-timeout": 20000, "parallel-syncs": 1,
        }  # fmt: skip
        assert (len(view.replicas), len(view.others), view.reachable, view.failing_over) == (2, 2, "", False)
        assert all(one.alive for one in (*view.replicas, *view.others))
    plan = make_plan(wanted, state)
    assert (plan.steps, plan.refusals) == ((), ()), plan.as_table()


@pytest.mark.parametrize("version", VERSIONS)
def test_failing_over(version: str) -> None:
    wanted, state = captured(version, "failing_over")
    assert look(wanted, state).failing_over
    assert [r.rule for r in make_plan(wanted, state).refusals] == ["no failover is under way"]


@pytest.mark.parametrize("version", VERSIONS)
def test_primary_down(version: str) -> None:
    wanted, state = captured(version, "primary_down")
    dead = [s for s in state.servers if not s.answers]
    assert [s.error for s in dead] == ["Connection refused"]
    assert look(wanted, state).leader.name == dead[0].name
    assert any("o_down" in v.flags for v in state.views)
    assert {s.link for s in state.servers if s.answers and s.role == "replica"} == {"connect"}
    assert make_plan(wanted, state).refusals


@pytest.mark.parametrize("version", VERSIONS)
def test_failed_over(version: str) -> None:
    wanted, state = captured(version, "failed_over")
    dead = next(s for s in state.servers if not s.answers)
    leader = look(wanted, state).primary
    assert leader is not None
    assert leader.server.leads
    assert leader.name != dead.name
    assert all(not r.alive for v in state.views for r in v.replicas if r.place == dead.place)
    assert [r.rule for r in make_plan(wanted, state).refusals] == ["every member answers"]


def test_what_is_not_an_answer() -> None:
    where = {"name": "r:1", "host": "r", "address": "10.0.0.1", "port": 1}
    assert parse.silent_server(where, "WRONGPASS invalid").error == "it refuses the user or password"
    assert parse.silent_sentinel(where, "").error == "no answer"
    assert parse.sentinel(where, parse.SentinelAnswers()).watches is False
    assert parse.fields("no list") == {}
    loading = parse.server(where, parse.ServerAnswers("loading:1\r\nloading_loaded_perc:41.9\r\n"))
    assert loading.error == "it is still loading its data (42 %)"
