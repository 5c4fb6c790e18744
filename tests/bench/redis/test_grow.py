"""Three to four masters: our engine beside `redis-cli --cluster rebalance`, the same data and clients, one run.

Everything shares this machine's few cores: servers, clients and whoever moves. redis-cli is started only when every
node says that the cluster is up; without that wait, which is ours, it fails with CLUSTERDOWN. The servers' files are
in memory where there is /dev/shm: each change of a slot's owner has nodes fsync theirs, which on a busy disk measures
that disk. Where we may, this session goes before others on the machine while it measures, so that what they do at
the time decides little: for both sides alike.
"""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import redis_servers
from support.redis_clients import Counted, clients
from support.redis_servers import PASSWORD, USER
from support.redis_world import Engine, World, world

pytestmark = [pytest.mark.slow, pytest.mark.redis_local]
ROUNDS = int(os.environ.get("STEELYARD_BENCH_ROUNDS", "3"))
CLIENT_RATE = 500
AT_LEAST = 5.0
GROUP = Path("/proc/self/autogroup")
"""The scheduler's group of this session, with its nice value (`/autogroup-12 nice 0`), where the kernel has that."""
FIRST = "-15"


@dataclass(frozen=True)
class Figures:
    """Of one round; CPU seconds of the servers and of who moved."""

    seconds: float
    keys: int
    seen: Counted
    servers: float
    mover: float

    def __str__(self) -> str:
        rate, seen = self.keys / self.seconds, self.seen
        return (
            f"{self.seconds:6.2f} s  {self.keys} keys  {rate:8.0f} keys/s  clients p50 {seen.p50:5.2f} p99 {seen.p99:6.2f} "
            f"worst {seen.worst:6.1f} ms ({seen.ok} calls, {seen.failed} failed)  "
            f"CPU servers {self.servers:5.2f} s, mover {self.mover:5.2f} s"
        )


def ours(made: World) -> None:
    engine = Engine(made, made.moves([0, 1, 2], 3, 0.25))
    assert engine.wait() == 0, engine.output


def redis_cli(made: World) -> None:
    program = os.environ.get("STEELYARD_REDIS_CLI") or shutil.which("redis-cli")
    assert program, "redis-cli is not installed"
    place = f"127.0.0.1:{made.servers[0].port}"
    words = [
        program,
        "--user",
        USER,
        "--no-auth-warning",
        "--cluster",
        "rebalance",
        place,
        "--cluster-use-empty-masters",
    ]
    run = subprocess.run(
        words, env={**os.environ, "REDISCLI_AUTH": PASSWORD}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-500:]


def measure(monkeypatch, mover, count: int, size: int) -> Figures:  # type: ignore[no-untyped-def]
    if Path("/dev/shm").is_dir():
        monkeypatch.setattr(tempfile, "tempdir", "/dev/shm")
    with world(4, node_timeout=15000) as made:
        made.create(3)
        made.fill(count, size)
        made.join(3)
        before = sum(s.cpu_seconds() for s in made.servers)
        with clients(made.servers[0].port, filled=count, rate=CLIENT_RATE) as load:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.monotonic()
            mover(made)
            seconds = time.monotonic() - begun
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            servers = sum(s.cpu_seconds() for s in made.servers) - before
            moved = made.nodes()[3].keys
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        assert load.result.missing == []
        made.assert_whole(count + load.result.written)
        return Figures(seconds, moved, load.result, servers, cpu)


@pytest.fixture
def order() -> Iterator[str]:
    """Let this session go first, if it may; the words for the report."""
    try:
        before = GROUP.read_text(encoding="ascii").split()[-1]
        GROUP.write_text(FIRST, encoding="ascii")
    except OSError:
        yield "no session first"
        return
    yield f"this session first (nice {FIRST})"
    GROUP.write_text(before, encoding="ascii")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("count", "size"), [(2_000_000, 100), (200_000, 10_000)])
def test_grow_beside_redis_cli(monkeypatch: pytest.MonkeyPatch, order: str, count: int, size: int) -> None:
    figures: dict[str, list[Figures]] = {"steelyard": [], "redis-cli": []}
    load = Path("/proc/loadavg").read_text(encoding="utf-8").split()[0]
    for _ in range(ROUNDS):
        figures["steelyard"].append(measure(monkeypatch, ours, count, size))
        figures["redis-cli"].append(measure(monkeypatch, redis_cli, count, size))
    version = subprocess.run([redis_servers.program(), "--version"], capture_output=True, text=True, check=True).stdout
    shared = f"{os.cpu_count()} cores shared by all, {order}, load {load}"
    print(f"\n{count} keys of {size} bytes, 3 to 4 masters, {shared}, {version}", end="")
    for name, rounds in figures.items():
        for one in rounds:
            print(f"  {name:<10} {one}")
    took = {name: statistics.median(f.seconds for f in rounds) for name, rounds in figures.items()}
    cpu = {name: statistics.median(f.servers + f.mover for f in rounds) for name, rounds in figures.items()}
    p99 = {name: statistics.median(f.seen.p99 for f in rounds) for name, rounds in figures.items()}
    print(
        f"  medians: {took['redis-cli'] / took['steelyard']:.1f} times as fast, CPU {cpu['steelyard']:.1f} to "
        f"{cpu['redis-cli']:.1f} s, clients' p99 {p99['steelyard']:.1f} to {p99['redis-cli']:.1f} ms"
    )
    assert all(not f.seen.failed for f in figures["steelyard"])
    assert took["redis-cli"] >= AT_LEAST * took["steelyard"]
    assert p99["steelyard"] <= p99["redis-cli"]
