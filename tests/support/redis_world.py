"""A Redis Cluster of real servers for tests: made, filled, changed by the executor itself, and looked at closely."""

from __future__ import annotations

import binascii
import contextlib
import json
import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from support.redis_servers import PASSWORD, USER, Server, Servers, servers

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import (
    disagreement,
    owners,
    ranges,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import Limits
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import SLOTS, Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Access, Link
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

ACCESS = Access(USER, PASSWORD)
NOISE = 1 << 16


class World:
    """Servers as the instances of one cluster, by number."""

    def __init__(self, room: Servers, count: int, **options: Any) -> None:
        self.room = room
        self.servers: list[Server] = []
        self.client = Client(ACCESS, ())
        self.add(count, **options)

    def add(self, count: int, **options: Any) -> None:
        """Start more of them."""
        self.servers += self.room.add(count, **options)
        self.instances = tuple(Instance("test", f"r{s.port}", s.address, s.port) for s in self.servers)
        self.client.close()
        self.client = Client(ACCESS, self.instances)

    def name(self, number: int) -> str:
        """The instance's name."""
        return self.instances[number].name

    @property
    def notes(self) -> UndoNotes:
        """Undo notes under the servers' own directory."""
        return UndoNotes(str(self.room.directory / "undo"))

    def applier(self, steps: Sequence[Step], limits: Limits | None = None) -> Applier:
        """A new executor, as each call of the module has."""
        spec = ClusterSpec("test", "cluster", self.instances, node_timeout=2.0)
        return Applier(self.client, spec, (), steps, notes=self.notes, limits=limits)

    def do(self, *steps: Step, budget: float = 10.0, limits: Limits | None = None) -> list[str]:
        """Do steps, each in as many calls as it needs; return what they said in between."""
        said: list[str] = []
        left = list(steps)
        while left:
            waiting = self.applier(left, limits).execute(left[0], budget)
            if waiting is None:
                left.pop(0)
            else:
                said.append(waiting)
        return said

    def create(self, masters: int, replicas: int = 0) -> None:
        """One cluster of the first instances: masters, then their replicas."""
        names = [self.name(n) for n in range(masters * (1 + replicas))]
        parts = {names[m]: [[m * SLOTS // masters, (m + 1) * SLOTS // masters - 1]] for m in range(masters)}
        copies = {names[n]: names[n % masters] for n in range(masters, len(names))}
        self.do(step("create", "test", masters=parts, replicas=copies))

    def join(self, number: int, master: int | None = None) -> None:
        """Let another in, as a replica where a master is given."""
        self.do(step("meet", self.name(number), name=self.name(number)))
        if master is not None:
            self.do(step("replicate", self.name(number), replica=self.name(number), master=self.name(master)))

    def moves(self, sources: Sequence[int], target: int, share: float) -> list[Step]:
        """Steps that move a share of each source's slots to the target."""
        nodes = self.nodes()
        view = owners(nodes[sources[0]].view)
        found = []
        for source in sources:
            own = [s for s, owner in view.items() if owner == nodes[source].id]
            args = {"source": self.name(source), "target": self.name(target)}
            chosen = [list(r) for r in ranges(own[: int(len(own) * share)])]
            found.append(step("move_slots", f"{source}-{target}", **args, slots=chosen))
        return found

    def nodes(self) -> list[Node]:
        """What all say now."""
        return list(self.client.read())

    def settle(self, deadline: float = 30.0) -> None:
        """Wait until those that answer agree and serve."""
        dead = {p.id for n in self.nodes() if n.answers for p in n.view if p.failed}
        wait_until(
            lambda: disagreement([n for n in self.nodes() if n.answers and n.known_nodes > 1], dead=dead),
            lambda reason: not reason, deadline, "the cluster agrees",
        )  # fmt: skip

    def fill(self, count: int, size: int = 100) -> None:
        """Write `key:%09d` with values of this size, straight to their masters."""
        nodes = {n.id: i for i, n in enumerate(self.nodes())}
        by_slot = {s: nodes[o] for s, o in owners(self.nodes()[0].view).items()}
        fill([(s.address, s.port) for s in self.servers], by_slot, count, size)

    def assert_whole(self, keys: int | None = None) -> None:
        """No open slot, every slot owned, no key on a node that does not own its slot, and as many keys as there were."""
        self.settle()
        masters = [n for n in self.nodes() if n.answers and n.role == "master" and n.known_nodes > 1]
        open_slots = {n.name: (n.myself.migrating, n.myself.importing) for n in masters if n.myself}
        assert all(marks == ({}, {}) for marks in open_slots.values()), open_slots
        view = owners(masters[0].view)
        assert len(view) == SLOTS
        for node in masters:
            foreign = [s for s, owner in view.items() if owner != node.id]
            strays = {s: n for s, n in self.client.slot_keys(node.name, foreign).items() if n}
            assert not strays, f"{node.name} has keys of slots that are not its own: {strays}"
        if keys is not None:
            assert sum(n.keys for n in masters) == keys


@contextlib.contextmanager
def world(count: int, **options: Any) -> Iterator[World]:
    """Servers around a block."""
    with servers() as room:
        made = World(room, count, **options)
        try:
            yield made
        finally:
            made.client.close()


def step(verb: str, subject: str, **args: Any) -> Step:
    """A step as a plan has it."""
    return Step(f"{verb}/{subject}", verb, subject, args=args)


def fill(places: Sequence[tuple[str, int]], by_slot: dict[int, int], count: int, size: int) -> None:
    """Write keys in large pipelines; `by_slot` says which place a slot is at.

    Values are noise, as what is packed or encrypted: a letter repeated 10,000 times would cross as 130 bytes.
    """
    sockets = [socket.create_connection(place) for place in places]
    for one in sockets:
        one.sendall(f'AUTH {USER} "{PASSWORD}"\r\n'.encode())
        assert one.recv(100) == b"+OK\r\n"
    waiting: list[list[bytes]] = [[] for _ in places]
    noise = random.Random(1).randbytes(NOISE + size)

    def flush(place: int) -> None:
        data, due = b"".join(waiting[place]), 5 * len(waiting[place])
        waiting[place].clear()
        writer = threading.Thread(target=sockets[place].sendall, args=(data,))
        writer.start()
        while due > 0:
            due -= len(sockets[place].recv(1 << 20))
        writer.join()

    for number in range(count):
        name = b"key:%09d" % number
        place = by_slot[binascii.crc_hqx(name, 0) % SLOTS]
        start = number % NOISE
        value = noise[start : start + size]
        waiting[place].append(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n" % (len(name), name, size, value))
        if len(waiting[place]) * (size + 50) > 4_000_000:
            flush(place)
    for place in range(len(places)):
        flush(place)
        sockets[place].close()


class Engine:
    """The executor in a process of its own, which can be killed at the nth time that it sends something."""

    def __init__(
        self, made: World, steps: Sequence[Step], kill_at: int = 0, limits: dict[str, Any] | None = None
    ) -> None:
        order = {
            "instances": [i.as_dict() for i in made.instances], "steps": [s.as_dict() for s in steps],
            "notes": str(made.room.directory / "undo"), "kill_at": kill_at, "limits": limits or {},
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
        self.output, _ = self.process.communicate(timeout=600)
        return self.process.returncode


def killing(number: int) -> Callable[[Link, Any], None]:
    """A `Link.send` that kills its process the nth time."""
    import itertools
    import os
    import signal

    original, count = Link.send, itertools.count(1)

    def send(self: Link, commands: Any) -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, commands)

    return send


def main() -> int:
    """Do the steps that stdin says; to be killed."""
    from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError

    order = json.load(sys.stdin)
    if order["kill_at"]:
        Link.send = killing(order["kill_at"])  # type: ignore[method-assign, assignment]
    instances = tuple(Instance.from_dict(i) for i in order["instances"])
    left = [Step.from_dict(s) for s in order["steps"]]
    spec = ClusterSpec("test", "cluster", instances, node_timeout=2.0)
    client = Client(ACCESS, instances)
    limits = Limits(**order["limits"])
    applier = Applier(client, spec, (), left, notes=UndoNotes(order["notes"]), limits=limits)
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
