"""Replicated clusters of real servers and Sentinels on loopback, with the ACL users that the role gives them.

A world has servers and Sentinels by number; `Calls` calls the module `redis_cluster` as its action does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.redis_servers import LOOPBACK, PASSWORD, Server, Servers, free_ports, program
from support.redis_tls import certificates, tls_lines

from ansible_collections.steelyard.stack.plugins.action.redis_cluster import seen_of
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import acl
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    ADMIN,
    REPLICATION,
    REPLICATOR,
    SENTINEL,
    Cluster,
    ClusterSpec,
    Instance,
    Secrets,
    Sentinel,
    SentinelInstance,
    User,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server as Seen
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Access, Link, Tls
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until
from ansible_collections.steelyard.stack.plugins.modules import redis_cluster

NAME, APP = "watched", "app"
DOWN_AFTER = 2.0
SECRETS = Secrets(dict.fromkeys((ADMIN, REPLICATOR, SENTINEL, APP), PASSWORD))
COMMON = """\
bind {address} -::1
dir {directory}
logfile {directory}/log
daemonize no
"""
SERVER = """\
protected-mode yes
save ""
appendonly no
repl-diskless-sync-delay 0
repl-backlog-size 16mb
masteruser {user}
masterauth "{password}"
replica-announce-ip {address}
"""


def stated(quorum: int = 2) -> Cluster:
    """The cluster as an inventory would state it."""
    users = (User(APP, ("+@all", "-@dangerous"), ("~*",), ("&*",)),)
    return Cluster(NAME, REPLICATION, users=users, sentinel=Sentinel("redis", quorum=quorum), secrets=SECRETS)


@dataclass
class Replicating(Server):
    """A server with our users; `of` is whose replica it starts as."""

    cluster: bool = False
    of: tuple[str, int] | None = None
    tls: Tls | None = None

    def text(self) -> str:
        lines = [COMMON.format(**self._words()), SERVER.format(**self._words())]
        lines += [f"replicaof {self.of[0]} {self.of[1]}"] if self.of else []
        listens = tls_lines(self.tls, self.port)
        return "\n".join([*lines, *listens, *self.settings, *acl.server_lines(stated())]) + "\n"

    def _words(self) -> dict[str, Any]:
        return {
            "port": self.port, "address": self.address, "directory": self.directory, "user": REPLICATOR,
            "password": PASSWORD,
        }  # fmt: skip


@dataclass
class Watching(Replicating):
    """A Sentinel; `of` is the primary that it is told to watch at its first start, None for none."""

    quorum: int = 2

    def text(self) -> str:
        told = [f"sentinel sentinel-user {SENTINEL}", f'sentinel sentinel-pass "{PASSWORD}"']
        if self.of:
            told += [f"sentinel monitor {NAME} {self.of[0]} {self.of[1]} {self.quorum}", *self._told()]
        lines = [COMMON.format(**self._words()), "protected-mode no", *tls_lines(self.tls, self.port)]
        lines += [*acl.sentinel_lines(stated()), *told]
        return "\n".join(lines) + "\n"

    def _told(self) -> list[str]:
        told: dict[str, object] = {
            "down-after-milliseconds": round(DOWN_AFTER * 1000),
            "failover-timeout": 20000,
            "parallel-syncs": 1,
        }
        told |= {"auth-user": SENTINEL, "auth-pass": f'"{PASSWORD}"'}
        return [f"sentinel {what} {NAME} {value}" for what, value in told.items()]

    def argv(self) -> list[str]:
        return [program(), str(self.config), "--sentinel"]


class Watched:
    """Servers and Sentinels of one cluster, by number; each is on a host of its own."""

    def __init__(self, room: Servers, tls: Tls | None = None) -> None:
        self.room = room
        self.tls = tls
        self.servers: list[Replicating] = []
        self.sentinels: list[Watching] = []

    def add(self, count: int, of: int | None = None, **options: Any) -> None:
        """Start so many servers, as replicas of one of them where that is said."""
        self._start([Replicating(p, self._home(p), of=self._place(of), tls=self.tls, **options)
                     for p in free_ports(count)])  # fmt: skip

    def watch(self, count: int, primary: int | None = 0, quorum: int = 2) -> None:
        """Start so many Sentinels."""
        self._start([Watching(p, self._home(p), of=self._place(primary), tls=self.tls, quorum=quorum)
                     for p in free_ports(count)])  # fmt: skip

    def _home(self, port: int) -> Path:
        return self.room.directory / str(port)

    def _place(self, number: int | None) -> tuple[str, int] | None:
        return None if number is None else (LOOPBACK, self.servers[number].port)

    def _start(self, new: Sequence[Replicating]) -> None:
        for one in new:
            one.start()
            self.room.all.append(one)
            if isinstance(one, Watching):
                self.sentinels.append(one)
            else:
                self.servers.append(one)

    def name(self, number: int) -> str:
        """A server's name in the inventory."""
        return self.servers[number].name

    @property
    def notes(self) -> UndoNotes:
        """Undo notes under the servers' own directory."""
        return UndoNotes(str(self.room.directory / "undo"))

    @property
    def secrets(self) -> Secrets:
        """What the inventory keeps in its vault."""
        if self.tls is None:
            return SECRETS
        files = [Path(p).read_text(encoding="utf-8") for p in (self.tls.certificate, self.tls.key, self.tls.ca)]
        return Secrets(SECRETS.passwords, *files)

    def synced(self) -> int:
        """How often any server has copied all data."""
        with self.client() as client:
            infos = [client.ask(n, "INFO", "stats").decode() for n in client.servers]
        return sum(int(i.split("sync_full:")[1].split()[0]) for i in infos)

    def spec(
        self, servers: Collection[int] | None = None, sentinels: Collection[int] | None = None, *, quorum: int = 2,
        states: dict[int, str] | None = None, watcher_states: dict[int, str] | None = None, **more: Any,
    ) -> ClusterSpec:  # fmt: skip
        """The wanted cluster: of these servers and Sentinels, or all; without any Sentinel none is wanted."""
        numbers = range(len(self.servers)) if servers is None else servers
        watching = range(len(self.sentinels)) if sentinels is None else sentinels
        said, told = states or {}, watcher_states or {}
        instances = tuple(
            Instance(NAME, f"r{s.port}", s.address, s.port, "", said.get(n, "present"))
            for n, s in enumerate(self.servers) if n in numbers
        )  # fmt: skip
        watchers = tuple(
            SentinelInstance(NAME, f"r{s.port}", s.address, s.port, "", told.get(n, "present"))
            for n, s in enumerate(self.sentinels) if n in watching
        )  # fmt: skip
        sentinel = Sentinel("redis", 0, quorum, DOWN_AFTER, 20.0, 1, watchers) if watchers else None
        primary = more.pop("primary", instances[0].host)
        more.setdefault("tls", self.tls is not None)
        return ClusterSpec(NAME, REPLICATION, instances, primary=primary, sentinel=sentinel, **more)

    @contextlib.contextmanager
    def client(self, spec: ClusterSpec | None = None) -> Iterator[ReplicationClient]:
        """A client of all of them."""
        wanted = spec or self.spec()
        watchers = wanted.sentinel.instances if wanted.sentinel else ()
        client = ReplicationClient(Access(ADMIN, PASSWORD, self.tls), wanted.instances, watchers, NAME)
        try:
            yield client
        finally:
            client.close()

    def state(self, spec: ClusterSpec | None = None) -> State:
        """What all say now."""
        with self.client(spec) as client:
            return client.state()

    def primaries(self) -> list[Seen]:
        """Who takes itself for a primary."""
        return [s for s in self.state().servers if s.leads]

    def number_of(self, name: str) -> int:
        """The number of a server by its name or place."""
        return next(n for n, s in enumerate(self.servers) if name in (s.name, f"{s.address}:{s.port}"))

    def leader(self, sentinels: Collection[int] | None = None) -> int:
        """The number of the primary on which all Sentinels agree; raises AssertionError where they do not."""
        found = {v.leader for n, v in enumerate(self.state().views) if sentinels is None or n in sentinels}
        assert len(found) == 1, found
        return self.number_of(found.pop())

    def settled(self, leader: int, deadline: float = 40.0) -> None:
        """Wait until there is one primary, all others follow it, and all Sentinels say so."""
        place = f"{LOOPBACK}:{self.servers[leader].port}"

        def look() -> str:
            state = self.state()
            strays = [s.name for s in state.servers if s.answers and s.place != place and s.master != place]
            views = [v.name for v in state.views if v.answers and v.leader != place]
            down = [s.name for s in state.servers if s.answers and not s.link_up]
            return f"strays {strays}, views {views}, down {down}" if strays or views or down else ""

        wait_until(look, lambda said: not said, deadline, "all follow one primary")

    def fill(self, number: int, count: int, size: int = 100) -> None:
        """Write `key:%09d` to a server."""
        with self.client() as client:
            for start in range(0, count, 2000):
                names = range(start, min(count, start + 2000))
                client.ask_all(self.name(number), [("SET", f"key:{n:09d}", b"x" * size) for n in names])


@contextlib.contextmanager
def watched(servers: int = 3, sentinels: int = 3, *, created: bool = True, tls: bool = False) -> Iterator[Watched]:
    """A replicated cluster around a block; with `created` the first server leads it."""
    room = Servers(Path(tempfile.mkdtemp(prefix="redis-tests-")))
    made = Watched(room, certificates(room.directory / "tls") if tls else None)
    try:
        made.add(1)
        made.add(servers - 1, of=0 if created else None)
        if sentinels:
            made.watch(sentinels, 0 if created else None)
        if created:
            wait_until(lambda: _known(made), bool, 30, "all know each other")
        yield made
    finally:
        room.end()


def _known(made: Watched) -> bool:
    views = made.state().views
    full = all(
        len(v.replicas) == len(made.servers) - 1 and len(v.others) == len(made.sentinels) - 1 and not v.reachable
        for v in views
    )
    return full and all(s.link_up for s in made.state().servers)


class Calls:
    """Calls of the module `redis_cluster`, as its action makes them; the lease is the test's."""

    def __init__(self, made: Watched, wanted: ClusterSpec | None = None, **more: Any) -> None:
        self.made = made
        self.wanted = wanted or made.spec(**more)

    def ask(self, operation: str, **more: Any) -> dict[str, Any]:
        """Call it; raises SteelyardError."""
        defaults = {n: o.get("default") for n, o in redis_cluster.ARGUMENTS.items()}
        secret = {"payload": pack([self.made.secrets.as_dict()]), "lease": {"cluster": NAME, "run": "r1"}}
        given = {"operation": operation, "cluster": self.wanted.as_dict(), **secret, **more}
        return redis_cluster.answer({**defaults, **given}, False, self.made.notes)

    def read(self) -> State:
        """What a read answers, as the action reads it back."""
        found: State = seen_of(self.ask("read"), self.wanted)
        return found

    def plan(self, **options: Any) -> Plan:
        """The plan."""
        return make_plan(self.wanted, self.read(), **options)

    def apply(self, plan: Plan, budget: float = 10.0) -> list[str]:
        """Do a plan in as many calls as it needs; return the ids of its steps."""
        assert not plan.refusals, plan.as_table()
        left, done, waited = plan, [], 0.0
        while left.steps:
            begun = time.monotonic()
            found = self.ask("apply", plan=left.summary(), budget=budget, waited=waited)
            done += found["applied"]
            waited = 0.0 if found["applied"] else waited + time.monotonic() - begun
            left = left.only(found["remaining"])
        return done

    def converge(self, budget: float = 10.0, **options: Any) -> list[str]:
        """Plan, do it, and plan again: nothing is left, nor any note. Returns what was done."""
        done = self.apply(self.plan(**options), budget)
        assert self.made.notes.list() == ()
        again = self.plan(**options)
        assert (again.steps, again.refusals) == ((), ()), again.as_table()
        return done


class Engine:
    """A plan applied in a process of its own, which can be killed at the nth time that it sends something."""

    def __init__(self, calls: Calls, plan: Plan, kill_at: int = 0, at: str = "") -> None:
        """`at`: count only what begins with these words."""
        order = {
            "wanted": calls.wanted.as_dict(), "steps": [s.as_dict() for s in plan.steps], "kill_at": kill_at,
            "notes": str(calls.made.room.directory / "undo"), "at": at,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order))
        self.process.stdin.close()
        self.process.stdin = None

    def wait(self) -> int:
        """Wait for its end: 0 done, 1 an expected error, -9 killed."""
        self.output, _ = self.process.communicate(timeout=300)
        return self.process.returncode


def killing(number: int, at: str) -> Any:
    """A `Link.send` that kills its process the nth time that it sends what begins with these words."""
    original, count = Link.send, itertools.count(1)

    def send(self: Link, commands: Any) -> None:
        lines = [" ".join(str(w) for w in command) for command in commands]
        if any(line.startswith(at) for line in lines) and next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, commands)

    return send


def main() -> int:
    """Do the steps that stdin says; to be killed."""
    order = json.load(sys.stdin)
    if order["kill_at"]:
        Link.send = killing(order["kill_at"], order["at"])  # type: ignore[method-assign]
    wanted = ClusterSpec.from_dict(order["wanted"])
    left = [Step.from_dict(s) for s in order["steps"]]
    watchers = wanted.sentinel.instances if wanted.sentinel else ()
    client = ReplicationClient(Access(ADMIN, PASSWORD), wanted.instances, watchers, NAME, PASSWORD)
    applier = Applier(client, wanted, left, notes=UndoNotes(order["notes"]))
    try:
        while left:
            if applier.execute(left[0], 10.0) is None:
                left.pop(0)
    except SteelyardError as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
