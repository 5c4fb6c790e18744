"""Parsers, against what nginx 1.22 (Debian 12) and 1.26 (Debian 13) and their kernels printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import parse
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import (
    Server,
    members_digest,
    members_file,
)

FIXTURES = sorted((Path(__file__).parent / "fixtures").iterdir())
assert FIXTURES, "no captured output"
each_version = pytest.mark.parametrize("captured", FIXTURES, ids=lambda p: p.name)
WWW_DATA = 33


def processes(captured: Path, name: str) -> list[parse.Process]:
    raw = json.loads((captured / f"processes_{name}.json").read_text())
    return [p for r in raw if (p := parse.process(r["pid"], r["stat"], r["cmdline"])) is not None]


@each_version
def test_version(captured: Path) -> None:
    assert parse.version((captured / "version.txt").read_text()) == tuple(int(n) for n in captured.name.split("."))


@each_version
def test_stub_status(captured: Path) -> None:
    status = parse.stub_status((captured / "stub_status.txt").read_text())
    assert (status.active, status.writing, status.waiting, status.dropped) == (4, 4, 0, 0)
    assert status.requests == status.accepts == 10 if captured.name == "1.22.1" else status.requests > 10


@each_version
def test_connections_to_members(captured: Path) -> None:
    """Three slow requests and one kept connection: two to each member, of the workers' user."""
    seen = parse.connections((captured / "tcp.txt").read_text())
    places = {"a": [("10.99.0.2", 9000)], "b": [("10.99.0.3", 9000)], "c": [("10.99.0.4", 9000)]}
    assert parse.open_to(seen, places, WWW_DATA) == {"a": 2, "b": 2, "c": 0}


@each_version
def test_somebody_elses_connections_do_not_count(captured: Path) -> None:
    seen = parse.connections((captured / "tcp6.txt").read_text())
    places = {"b": [("10.99.0.3", 9000)]}
    assert parse.open_to(seen, places, WWW_DATA) == {"b": 0}
    assert parse.open_to(seen, places, None) == {"b": 1}, "an IPv4 connection on an IPv6 socket is one to that address"


def test_ipv6_connections() -> None:
    line = "   0: 0000000000000000000000000100 0:0 00000000000000000000000001000000:1F40 01 0:0 0:0 0 33 0 1"
    line = line.replace("0000000000000000000000000100 0:0", "00000000000000000000000001000000:A1A6")
    (seen,) = parse.connections(f"header\n{line}\n")
    assert (seen.remote, seen.port, seen.state, seen.uid) == ("::1", 8000, 1, 0x21)


@pytest.mark.parametrize(
    ("state", "count"),
    [("01", 1), ("02", 1), ("03", 1), ("08", 1), ("04", 0), ("05", 0), ("06", 0), ("09", 0), ("0B", 0), ("0A", 0)],
)
def test_only_connections_that_nginx_has_not_closed_count(state: str, count: int) -> None:
    text = f"header\n 0: 0100007F:0001 0200630A:1F40 {state} 0:0 00:0 0 33 0 1 1\n"
    assert parse.open_to(parse.connections(text), {"a": [("10.99.0.2", 8000)]}, WWW_DATA) == {"a": count}


@each_version
@pytest.mark.parametrize(
    ("name", "workers", "old", "generations"),
    [("healthy", 2, 0, 0), ("after_reload", 2, 1, 1), ("after_two_reloads", 2, 1, 1)],
)
def test_processes(captured: Path, name: str, workers: int, old: int, generations: int) -> None:
    found = processes(captured, name)
    kinds = [p.kind for p in found]
    assert (kinds.count("master"), kinds.count("worker"), kinds.count("old")) == (1, workers, old)
    master = next(p.pid for p in found if p.kind == "master")
    assert {p.parent for p in found if p.kind != "master"} == {master}
    assert parse.old_generations(found) == generations


def test_generations_are_counted_up() -> None:
    found = [parse.Process(n, 1, "old") for n in range(5)] + [
        parse.Process(9, 1, "worker"),
        parse.Process(10, 1, "worker"),
    ]
    assert parse.old_generations(found) == 3


def test_other_processes_are_not_nginx() -> None:
    assert parse.process(1, "1 (sh) S 0", "sh\0-c\0nginx: worker process") is None
    assert parse.process(1, "1 (python3) S 0", "nginx: worker process") is None
    assert parse.process(1, "1 (nginx) S 0", "nginx: cache manager process") is None


@pytest.mark.parametrize("text", ["", "<html>404</html>", "Active connections: 1"])
def test_stub_status_says_what_is_no_status(text: str) -> None:
    with pytest.raises(SteelyardError, match="seven numbers"):
        parse.stub_status(text)


def test_version_says_what_is_none() -> None:
    with pytest.raises(SteelyardError):
        parse.version("command not found")


def test_members() -> None:
    text = "# by hand\n\nserver 10.0.0.1:8000 weight=2 max_fails=3 fail_timeout=1m max_conns=9 slow_start=3s backup down; # api1\nserver [2001:db8::1]:80;\n"
    assert parse.members(text) == (
        Server("10.0.0.1", 8000, True, True, 2, 3, 60, 9, ("slow_start=3s",)),
        Server("2001:db8::1", 80),
    )
    assert [s.host for s in parse.members(text)] == ["api1", ""]


def test_a_member_is_known_by_the_canonical_text_of_its_address() -> None:
    (server,) = parse.members("server [2001:0DB8:0::0001]:80;")
    assert server.endpoint == "[2001:db8::1]:80"


@pytest.mark.parametrize(
    "line",
    [
        "keepalive 3;",
        "server 10.0.0.1:80",
        "server 10.0.0.1;",
        "server;",
        "server 10.0.0.1:80; server 10.0.0.2:80;",
        "}",
    ],
)
def test_members_refuses_other_lines(line: str) -> None:
    with pytest.raises(SteelyardError):
        parse.members(line)


servers = st.builds(
    Server,
    address=st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str), port=st.integers(1, 65535),
    down=st.booleans(), backup=st.booleans(), weight=st.integers(1, 100), max_fails=st.integers(0, 9),
    fail_timeout=st.integers(1, 999), max_conns=st.integers(0, 999), host=st.sampled_from(["", "api1"]),
)  # fmt: skip


@given(st.lists(servers, max_size=6))
def test_members_read_back_what_was_written(lines: list[Server]) -> None:
    read = parse.members(members_file(lines))
    assert read == tuple(lines)
    assert [s.host for s in read] == [s.host for s in lines]


@given(st.lists(servers, min_size=1, max_size=6, unique_by=lambda s: s.endpoint), st.randoms())
def test_digest_is_of_what_counts(lines: list[Server], random: object) -> None:
    turned = list(lines)
    random.shuffle(turned)  # type: ignore[attr-defined]
    assert members_digest(turned) == members_digest(lines)
    first = lines[0]
    other = Server(**{**first.as_dict(), "extra": (), "down": not first.down})
    assert members_digest([other, *lines[1:]]) != members_digest(lines)


@pytest.mark.parametrize(
    ("header", "who"),
    [
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("10.0.0.1:80, 10.0.0.2:80", "10.0.0.2:80"),
        ("", ""),
        ("a:1 : b:2", "b:2"),
        ("unix:/run/x", "unix:/run/x"),
        ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
        ("[::ffff:10.0.0.1]:80", "10.0.0.1:80"),
    ],
)
def test_answered_by(header: str, who: str) -> None:
    assert parse.answered_by(header) == who
