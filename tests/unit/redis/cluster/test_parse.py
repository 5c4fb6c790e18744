"""Answers captured from real servers (tests/fixtures/redis/cluster/<version>), and lines that no server here would write."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.redis import answers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import (
    disagreement,
    owners,
    ranges,
    spread,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import SLOTS, Node

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures" / "redis" / "cluster"
VERSIONS = sorted(p.name for p in FIXTURES.iterdir() if p.is_dir())
WHERE = {"name": "redis1:7000", "host": "redis1", "address": "10.0.0.1", "port": 7000}


def captured(version: str, name: str) -> Node:
    texts = [(FIXTURES / version / f"{name}.{part}.txt").read_text() for part in ("info", "nodes", "cluster_info")]
    return parse.node(WHERE, parse.Answers(*texts))


def test_two_versions_are_captured() -> None:
    assert VERSIONS == ["7.0", "8.0"]


@pytest.mark.parametrize("version", VERSIONS)
class TestCaptured:
    def test_healthy_master(self, version: str) -> None:
        node = captured(version, "healthy_master")
        assert (node.version[:3], node.role, node.error) == (version, MASTER, "")
        assert (node.cluster_state, node.known_nodes, len(node.view)) == ("ok", 6, 6)
        assert node.keys > 600 and node.used_memory > 1_000_000 and node.offset > 0
        assert node.myself is not None and node.myself.slots == ((0, 5460),)
        assert len(owners(node.view)) == SLOTS
        assert [p.role for p in node.view].count(REPLICA) == 3
        assert disagreement([node]) == ""

    def test_healthy_replica(self, version: str) -> None:
        node = captured(version, "healthy_replica")
        assert (node.role, node.link_up, node.syncing) == (REPLICA, True, False)
        assert node.myself is not None and node.myself.master_id and node.offset > 0

    def test_fresh(self, version: str) -> None:
        node = captured(version, "fresh")
        assert (node.known_nodes, node.current_epoch, node.keys) == (1, 0, 0)
        assert node.cluster_state == "fail" and node.myself is not None and node.myself.slots == ()

    def test_open_slots(self, version: str) -> None:
        source, target = captured(version, "open_source"), captured(version, "open_target")
        assert source.myself is not None and target.myself is not None
        assert source.myself.migrating == {
            5: target.id,
            7: next(p.id for p in source.view if p.slots[:1] == ((10922, 16383),)),
        }
        assert target.myself.importing == {5: source.id}
        assert source.myself.slots == ((0, 5460),)
        assert source.myself.hostname == "redis0.example"

    def test_handshake(self, version: str) -> None:
        node = captured(version, "handshake")
        assert any("handshake" in p.flags for p in node.view)
        assert "meeting" in disagreement([node])

    def test_dead_replica_and_master(self, version: str) -> None:
        node = captured(version, "replica_dead")
        assert [p.hostname for p in node.view if p.failed] == ["redis5.example"]
        node = captured(version, "master_dead")
        assert {p.hostname for p in node.view if p.failed} == {"redis5.example", "redis2.example"}
        assert node.cluster_state == "fail"
        assert "failed" in disagreement([node])


def test_lines_of_other_forms() -> None:
    text = (
        "a1 fd00::7:7000@17000 myself,master - 0 0 3 connected 0 5-9\n"
        "b2 10.0.0.2:7000@17000,redis2.example,shard-id=0ff slave,fail? a1 1 2 3 disconnected\n"
        "c3 10.0.0.3:7000@17000,,tls-port=0,shard-id=0ff master,nofailover - 1 2 4 connected\n"
        "d4 :0@0 master,noaddr - 1 2 0 disconnected\n"
        "e5 :7000@17000 noflags - 0 0 0 connected\n"
    )
    one, two, three, four, five = parse.nodes(text)
    assert (one.address, one.port, one.slots) == ("fd00::7", 7000, ((0, 0), (5, 9)))
    assert (two.hostname, two.role, two.failed, two.master_id) == ("redis2.example", REPLICA, True, "a1")
    assert (three.hostname, three.flags) == ("", ("nofailover",))
    assert (four.address, four.port, four.flags) == ("", 0, ("noaddr",))
    assert (five.flags, five.role, five.port) == ((), MASTER, 7000)
    assert parse.my_id(text) == "a1"


@pytest.mark.parametrize("line", ["nonsense", "a1 10.0.0.1:7000 master - 0 0 1 connected", "a b c d e f g"])
def test_what_is_no_line_is_said(line: str) -> None:
    with pytest.raises(ValueError, match="not a line"):
        parse.nodes(line)


def test_loading_is_an_error() -> None:
    node = parse.node(WHERE, parse.Answers("redis_version:7.0.15\nrole:master\nloading:1\nloading_loaded_perc:34.6\n"))
    assert node.error == "it is still loading its data (35 %)"
    assert not node.answers


def test_valkey_tells_both_versions() -> None:
    info = "redis_version:7.2.4\nserver_name:valkey\nvalkey_version:9.1.2\nrole:master\n"
    node = parse.node(WHERE, parse.Answers(info, commands=frozenset({"cluster|migrateslots"})))
    assert (node.server, node.version, node.atomic_migration) == ("valkey", "9.1.2", True)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("WRONGPASS invalid username-password pair", "it refuses the user or password"),
        ("NOAUTH Authentication required.", "it wants a user and password"),
        ("NOPERM User x has no permissions", "the user may not run this command"),
        ("LOADING", "it is still loading its data"),
        ("Connection refused", "Connection refused"),
        ("", "no answer"),
    ],
)
def test_why_a_node_is_silent(error: str, said: str) -> None:
    node = parse.silent(WHERE, error)
    assert node.error == said and not node.answers and node.id == ""


def test_a_replica_that_syncs() -> None:
    info = (
        "role:slave\nmaster_link_status:down\nmaster_sync_in_progress:1\nslave_repl_offset:12\nmaster_repl_offset:99\n"
    )
    node = parse.node(WHERE, parse.Answers(info))
    assert (node.role, node.link_up, node.syncing, node.offset) == (REPLICA, False, True, 12)


def test_keys_of_all_databases() -> None:
    assert (
        answers.keys_of(answers.pairs("db0:keys=3,expires=0\ndb12:keys=4,expires=1\ndb0_distrib_strings_sizes:1=3\n"))
        == 7
    )


@given(st.sets(st.integers(0, SLOTS - 1)))
def test_ranges_and_back(slots: set[int]) -> None:
    assert set(spread(ranges(slots))) == slots
    assert all(b[0] - a[1] > 1 for a, b in zip(ranges(slots), ranges(slots)[1:], strict=False))


@pytest.mark.parametrize("version", VERSIONS)
def test_differences_are_named(version: str) -> None:
    from dataclasses import replace

    node = captured(version, "healthy_master")
    assert "epoch" in disagreement([node, replace(node, name="x", current_epoch=99)])
    fewer = replace(node, name="x", view=node.view[1:])
    assert "members" in disagreement([node, fewer])
    moved = tuple(replace(p, slots=((0, 0),)) if p.slots else p for p in node.view)
    assert "owners" in disagreement([node, replace(node, name="x", view=moved)])
    assert "does not answer" in disagreement([node, parse.silent(WHERE, "Connection refused")])
