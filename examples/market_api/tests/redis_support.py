# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real Redis servers on loopback, each test's own: one, a primary that Sentinels watch, or a Redis Cluster.

The program is what STEELYARD_REDIS_SERVER names, else redis-server, valkey-server or redis-check-rdb (the same program
under another name) from PATH. Without one these tests are skipped; with STEELYARD_REQUIRE_REDIS set they fail.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from redis.crc import key_slot

LOOPBACK = "127.0.0.1"
DEADLINE = 60.0
BUS_OFFSET = 10000
USER, PASSWORD = "market", "the word of the application"
ADMIN, ADMIN_PASSWORD = "admin", "the word of the tests"
SLOTS = 16384

# What the README tells operators to allow, and no more.
RULES = "~market:* &market:* +@read +@write +@connection +@pubsub +@scripting -@dangerous +cluster|slots"
SENTINEL_RULES = "&* -@all +@connection -@dangerous +command +subscribe +ping +sentinel|masters +sentinel|replicas"

SERVER = """\
port {port}
bind {LOOPBACK} -::1
dir {directory}
logfile {directory}/log
save ""
repl-diskless-sync-delay 0
user default off
user {ADMIN} on >"{ADMIN_PASSWORD}" ~* &* +@all
"""
DATA = """\
user {USER} on >"{PASSWORD}" {RULES}
masteruser {ADMIN}
masterauth "{ADMIN_PASSWORD}"
appendonly yes
appendfsync always
"""


def program() -> str:
    """The server's program; without one the test is skipped, or failed where one is required."""
    names = ("redis-server", "valkey-server", "redis-check-rdb")
    found = os.environ.get("STEELYARD_REDIS_SERVER") or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        reason = "no redis-server on this machine: `make servers` brings one, or set STEELYARD_REDIS_SERVER"
        if os.environ.get("STEELYARD_REQUIRE_REDIS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, each with its bus port."""
    found: list[int] = []
    first, last = 30000, 32000
    start = (os.getpid() * 53 + time.time_ns() // 1000) % (last - first)
    for offset in range(last - first):
        port = first + (start + offset) % (last - first)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind((LOOPBACK, port))
            two.bind((LOOPBACK, port + BUS_OFFSET))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"not {count} free ports between {first} and {last}")


@dataclass
class Server:
    """One process, server or Sentinel; `lines` end its configuration, which it may rewrite."""

    port: int
    directory: Path
    lines: Sequence[str] = ()
    sentinel: bool = False
    tls: bool = False
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    def start(self) -> Server:
        """Start it, and wait until it answers and has loaded its data."""
        config = self.directory / "redis.conf"
        if not config.exists():
            self.directory.mkdir(mode=0o700, parents=True)
            text = SERVER if self.sentinel else SERVER + DATA
            names = {**globals(), "port": 0 if self.tls else self.port, "directory": self.directory}
            config.write_text("\n".join([text.format(**names), *self.lines, ""]))
        # The program under another name is a server only when it is called one.
        name = self.directory / "redis-server"
        if not name.is_symlink():
            name.symlink_to(program())
        argv = [str(name), str(config), *(["--sentinel"] if self.sentinel else [])]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        wait_for(f"{self.place} answers", lambda: bool(self.admin().ping()), self.log)
        return self

    def admin(self) -> redis.Redis:
        """A client that may do everything."""
        options = {"ssl": True, "ssl_cert_reqs": "none"} if self.tls else {}
        return redis.Redis(
            LOOPBACK, self.port, username=ADMIN, password=ADMIN_PASSWORD, protocol=2, decode_responses=True, **options
        )

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(20)
            self.process = None

    def log(self) -> str:
        with contextlib.suppress(OSError):
            return (self.directory / "log").read_text(errors="replace")[-1500:]
        return "it wrote no log"


def wait_for(what: str, probe: Callable[[], bool], more: Callable[[], str] = str) -> None:
    """Wait until the probe says yes; an error of Redis is a no."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with contextlib.suppress(redis.RedisError, OSError):
            if probe():
                return
        time.sleep(0.05)
    pytest.fail(f"not within {DEADLINE:g} s: {what}\n{more()}")


@dataclass
class Servers:
    """The servers of one test."""

    directory: Path
    all: list[Server] = field(default_factory=list)

    def add(self, count: int, *lines: str, sentinel: bool = False, tls: bool = False) -> list[Server]:
        """Start so many more."""
        new = [Server(p, self.directory / str(p), lines, sentinel, tls) for p in free_ports(count)]
        self.all += new
        return [server.start() for server in new]

    def cluster(self, masters: int) -> list[Server]:
        """A Redis Cluster of masters alone; returns them when all agree."""
        nodes = self.add(masters, "cluster-enabled yes", "cluster-node-timeout 2000")
        share = -(-SLOTS // masters)
        for number, node in enumerate(nodes):
            first = number * share
            node.admin().execute_command("CLUSTER ADDSLOTSRANGE", first, min(first + share, SLOTS) - 1)
        for node in nodes[1:]:
            self.meet(nodes[0], node)
        wait_for("the cluster is ok", lambda: all(is_ok(node, masters) for node in nodes))
        return nodes

    def add_tls(self, *lines: str) -> Server:
        """Start one that listens for TLS alone."""
        (port,) = free_ports(1)
        self.all.append(Server(port, self.directory / str(port), [*lines, f"tls-port {port}"], tls=True))
        return self.all[-1].start()

    def replica(self, nodes: list[Server], of: Server) -> Server:
        """A replica of one of a cluster's masters, when it follows."""
        new = self.join(nodes)
        new.admin().execute_command("CLUSTER REPLICATE", of.admin().execute_command("CLUSTER MYID"))
        wait_for("it follows", lambda: new.admin().role()[3] == "connected")
        return new

    def join(self, nodes: list[Server]) -> Server:
        """Another master, without slots, known to all."""
        (new,) = self.add(1, "cluster-enabled yes", "cluster-node-timeout 2000")
        self.meet(nodes[0], new)
        wait_for("all know it", lambda: all(is_ok(node, len(nodes) + 1) for node in [*nodes, new]))
        return new

    def meet(self, node: Server, other: Server) -> None:
        node.admin().execute_command("CLUSTER MEET", LOOPBACK, other.port)

    def watched(self, name: str, replicas: int = 2) -> tuple[list[Server], list[Server]]:
        """A primary with replicas, and three Sentinels that all see each other; the primary is first."""
        (primary,) = self.add(1)
        servers = [primary, *self.add(replicas, f"replicaof {LOOPBACK} {primary.port}")]
        sentinels = self.add(
            3,
            f'user {USER} on >"{PASSWORD}" {SENTINEL_RULES}',
            f"sentinel sentinel-user {ADMIN}",
            f'sentinel sentinel-pass "{ADMIN_PASSWORD}"',
            f"sentinel monitor {name} {LOOPBACK} {primary.port} 2",
            f"sentinel auth-user {name} {ADMIN}",
            f'sentinel auth-pass {name} "{ADMIN_PASSWORD}"',
            f"sentinel down-after-milliseconds {name} 1000",
            f"sentinel failover-timeout {name} 10000",
            f"sentinel parallel-syncs {name} 1",
            sentinel=True,
        )

        def agreed(sentinel: Server) -> bool:
            seen = sentinel.admin().sentinel_masters()[name]
            return (seen["num-slaves"], seen["num-other-sentinels"]) == (replicas, 2)

        wait_for("Sentinels know all", lambda: all(agreed(sentinel) for sentinel in sentinels))
        wait_for("replicas follow", lambda: primary.admin().info("replication")["connected_slaves"] == replicas)
        return servers, sentinels

    def end(self) -> None:
        for server in self.all:
            server.kill()


def is_ok(node: Server, known: int) -> bool:
    seen = node.admin().execute_command("CLUSTER INFO")
    return seen["cluster_state"] == "ok" and int(seen["cluster_known_nodes"]) == known


def slot_of(key: str) -> int:
    return int(key_slot(key.encode()))


def move_slot(slot: int, nodes: list[Server], target: Server, between: Callable[[], object] = str) -> None:
    """Move a slot, which one of `nodes` has, key by key, as a reshard does; `between` runs after each key."""
    if has_slot(target, slot):
        return  # it was moved for the sake of another of its keys
    source = next(node for node in nodes if has_slot(node, slot))
    giving, taking = source.admin(), target.admin()
    by, to = (admin.execute_command("CLUSTER MYID") for admin in (giving, taking))
    taking.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", by)
    giving.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", to)
    while keys := giving.execute_command("CLUSTER GETKEYSINSLOT", slot, 1):
        words = ("MIGRATE", LOOPBACK, target.port, "", 0, 5000, "AUTH2", ADMIN, ADMIN_PASSWORD, "KEYS", *keys)
        giving.execute_command(*words)
        between()
    taking.execute_command("CLUSTER SETSLOT", slot, "NODE", to)
    giving.execute_command("CLUSTER SETSLOT", slot, "NODE", to)


def has_slot(node: Server, slot: int) -> bool:
    """Whether a master says that a slot is its own."""
    admin = node.admin()
    name, ranges = admin.execute_command("CLUSTER MYID"), admin.execute_command("CLUSTER SLOTS")
    return any(first <= slot <= last and primary[2] == name for first, last, primary, *_ in ranges)


def certificates(directory: Path) -> tuple[Path, list[str]]:
    """An authority's file, and the lines of a server whose certificate is for 127.0.0.1."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine to make certificates with")
    ca, key, cert, ca_key = (directory / name for name in ("ca.crt", "redis.key", "redis.crt", "ca.key"))
    new = [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    subprocess.run(
        [*new, "-subj", "/CN=an authority of the tests", *usage, "-keyout", str(ca_key), "-out", str(ca)],
        check=True,
        capture_output=True,
    )
    signed = ["-CA", str(ca), "-CAkey", str(ca_key), "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    plain = ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(
        [*new, "-subj", "/CN=redis", *signed, *plain, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
    )
    files = [f"tls-cert-file {cert}", f"tls-key-file {key}", f"tls-ca-cert-file {ca}", "tls-auth-clients no"]
    return ca, files


@contextlib.contextmanager
def servers(directory: Path) -> Iterator[Servers]:
    """Servers that end with the block."""
    program()
    room = Servers(directory)
    try:
        yield room
    finally:
        room.end()
