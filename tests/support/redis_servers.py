"""Real redis-server processes on loopback, for tests and measurements; each test ends those that it started.

`tests/servers` uses them. STEELYARD_REDIS_SERVER names the program (default: the one that `make servers` brings, then
redis-server, then valkey-server, from PATH). Tests that only need addresses take `endpoints()`, so that they can be
pointed at servers elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BUS_OFFSET = 10000
USER, PASSWORD = "steelyard", "admin word of the tests"
LOOPBACK = "127.0.0.1"

CONFIG = """\
port {port}
bind {address} -::1
dir {directory}
logfile {directory}/log
daemonize no
protected-mode no
save ""
appendonly {appendonly}
appendfsync everysec
cluster-enabled {cluster}
cluster-node-timeout {node_timeout}
cluster-announce-ip {address}
repl-diskless-sync-delay 0
maxmemory-policy noeviction
latency-tracking yes
user default on nopass ~* &* +@all -@dangerous +cluster +info
user {user} on #{digest} ~* &* +@all
masteruser {user}
masterauth "{password}"
"""


def program() -> str:
    """The server's program; raises RuntimeError, with what to install, when there is none."""
    named = os.environ.get("STEELYARD_REDIS_SERVER")
    places = os.pathsep.join((str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")))
    found = named or shutil.which("redis-server", path=places) or shutil.which("valkey-server", path=places)
    if not found:
        raise RuntimeError("these tests need a redis-server: run `make servers`, or set STEELYARD_REDIS_SERVER")
    return found


def skip_or_fail(reason: str) -> None:
    """Skip a test for want of a server; where STEELYARD_REQUIRE_REDIS is set, as in CI, fail it."""
    import pytest

    if os.environ.get("STEELYARD_REQUIRE_REDIS"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_ports(count: int, first: int = 21000, last: int = 29000) -> list[int]:
    """Ports that nobody listens on, each with its bus port (port + 10000)."""
    found: list[int] = []
    start = first + (os.getpid() * 37 + time.time_ns() // 1000) % (last - first)
    for offset in range(last - first):
        port = first + (start - first + offset) % (last - first)
        with contextlib.suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind((LOOPBACK, port))
            two.bind((LOOPBACK, port + BUS_OFFSET))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError(f"not {count} free ports between {first} and {last}")


@dataclass
class Server:
    """One process; `settings` are further lines of its configuration."""

    port: int
    directory: Path
    settings: Sequence[str] = ()
    cluster: bool = True
    appendonly: bool = False
    node_timeout: int = 2000
    address: str = LOOPBACK
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """As in an inventory: one host a server."""
        return f"r{self.port}:{self.port}"

    @property
    def config(self) -> Path:
        """Its configuration file; it holds a password and is private."""
        return self.directory / "redis.conf"

    def text(self) -> str:
        """Its configuration."""
        text = CONFIG.format(
            port=self.port, address=self.address, directory=self.directory, user=USER, password=PASSWORD,
            digest=hashlib.sha256(PASSWORD.encode()).hexdigest(), cluster="yes" if self.cluster else "no",
            appendonly="yes" if self.appendonly else "no", node_timeout=self.node_timeout,
        )  # fmt: skip
        if not self.cluster:
            text = "\n".join(line for line in text.splitlines() if not line.startswith("cluster-")) + "\n"
        return text + "\n".join(self.settings) + "\n"

    def argv(self) -> list[str]:
        """What is run."""
        return [program(), str(self.config)]

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.config.touch(mode=0o600)
        self.config.write_text(self.text(), encoding="utf-8")
        self.start_again()

    def start_again(self) -> None:
        """Start it with the configuration that it has, as it rewrote it, and wait until it listens."""
        argv = self.argv()
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), timeout=1):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{argv} does not listen:\n{self.log()[-2000:]}")

    def kill(self) -> None:
        """SIGKILL, as a machine that loses its power."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, as its unit is stopped."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(20)
        self.process = None

    def pause(self) -> None:
        """Let it stand still, as a machine that hangs; `go_on` ends that."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """End a pause."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What it wrote."""
        path = self.directory / "log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def cpu_seconds(self) -> float:
        """CPU time it has used, user and system."""
        assert self.process is not None
        return process_cpu(self.process.pid)


def process_cpu(pid: int) -> float:
    """CPU time of a process so far, from the kernel, in seconds."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


class Servers:
    """All servers of one test, under one temporary directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.all: list[Server] = []

    def add(self, count: int = 1, **options: object) -> list[Server]:
        """Start so many more."""
        new = [Server(p, self.directory / str(p), **options) for p in free_ports(count)]  # type: ignore[arg-type]
        for server in new:
            server.start()
            self.all.append(server)
        return new

    def end(self) -> None:
        """Kill them all and remove what they wrote."""
        for server in self.all:
            server.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    """Servers that end with the block."""
    room = Servers(Path(tempfile.mkdtemp(prefix="redis-tests-")))
    try:
        yield room
    finally:
        room.end()
