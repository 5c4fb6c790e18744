"""An nginx in memory, and a scene of one balancer around it: what the executor is tested against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.cluster import do_steps
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import Client, read_balancer
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Member, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.parse import Connection, Process, answered_by
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import (
    Balancer,
    Server,
    endpoint_of,
    members_digest,
)
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes


class Killed(BaseException):
    """SIGKILL: nothing after it is run in this process, and what is on the disk stays."""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Transaction:
    """The parts of fileset's that the executor uses, over the fake's memory."""

    def __init__(self, nginx: FakeNginx, target: Mapping[str, Sequence[Server]]) -> None:
        self.nginx, self.target, self.staged = nginx, target, False
        self.interrupted = tuple(nginx.pending)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def plan(self) -> None:
        pass

    def stage(self) -> None:
        self.staged = True

    def validate(self) -> None:
        assert self.staged
        if self.nginx.invalid:
            raise SteelyardError("nginx accepts the new files", "emerg", "correct them")

    def swap(self) -> None:
        for name, servers in self.target.items():
            self.nginx.pending.setdefault(name, self.nginx.files[name])
            self.nginx.files[name] = tuple(servers)
        self.nginx.writes += 1
        if self.nginx.kill_at == "swap":
            raise Killed

    def rollback(self) -> bool:
        if self.nginx.kill_at:
            return False
        self.nginx.files.update(self.nginx.pending)
        self.nginx.pending.clear()
        return True

    def commit(self) -> None:
        self.nginx.pending.clear()


class FakeNginx(Client):
    """An nginx in memory; connections to drained members end as the clock goes on. `names` is its DNS."""

    def __init__(self, notes: UndoNotes, clock: Clock, **pools: Sequence[Server]) -> None:
        super().__init__(notes=notes)
        self.clock = clock
        self.files: dict[str, tuple[Server, ...]] = {n: tuple(s) for n, s in pools.items()}
        self.running = dict(self.files)
        self.pending: dict[str, tuple[Server, ...]] = {}
        self.sick: set[str] = set()
        self.unreached: set[str] = set()
        self.silent_at: dict[str, float] = {}
        self.names: dict[str, set[str]] = {}
        self.reloads = self.writes = self.requests = self.old = 0
        self.pids = [100, 101]
        self.invalid = self.deaf = False
        self.kill_at = ""

    def installed(self) -> bool:
        return True

    def leftovers(self) -> bool:
        return True

    def version(self) -> str:
        return "1.26.3"

    def pools(self) -> tuple[str, ...]:
        return tuple(self.files)

    def members(self, pool: str) -> tuple[Server, ...]:
        return self.files[pool]

    def transaction(self, pools: Mapping[str, Sequence[Server]]) -> Any:
        return Transaction(self, pools)

    def reload(self) -> None:
        self.reloads += 1
        if self.kill_at == "reload":
            raise Killed
        if not self.deaf:
            self.running = dict(self.files)
            self.pids = [p + 10 for p in self.pids]

    def loaded(self, pool: str) -> str:
        return members_digest(self.running[pool])

    def through(self, pool: str) -> tuple[str, str]:
        """Answer with $upstream_addr as nginx writes it: never a name, and one peer for each address of a name."""
        serving = [s for s in self.running[pool] if s.serves and s.endpoint not in self.unreached]
        peers = [endpoint_of(a, s.port) for s in serving for a in self.addresses(s.address)]
        self.requests += 1
        return (answered_by(peers[self.requests % len(peers)]), "") if peers else ("", "HTTP 502")

    def addresses(self, name: str) -> frozenset[str]:
        return frozenset(self.names[name]) if name in self.names else super().addresses(name)

    def ask(self, address: str, port: int, path: str, host: str = "") -> str:
        return "connection refused" if f"{address}:{port}" in self.sick else ""

    def processes(self) -> tuple[Process, ...]:
        old = [Process(900 + n, 1, "old") for n in range(self.old)]
        return (Process(1, 0, "master"), *(Process(p, 1, "worker") for p in self.pids), *old)

    def sockets(self) -> tuple[Connection, ...]:
        open_to = [e.rpartition(":") for e, end in self.silent_at.items() if self.clock() < end]
        return tuple(Connection(address.strip("[]"), int(port), 1, 33) for address, _colon, port in open_to)

    def worker_uid(self) -> int:
        return 33


class Scene:
    """Pools as wanted, a fake nginx with what there is, and calls of the module over them."""

    def __init__(
        self, notes: UndoNotes, *states: str, there: Sequence[int] = (1, 2),
        addresses: Mapping[int, str] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        self.clock = Clock()
        at = addresses or {}
        members = tuple(Member(f"api{n}", at.get(n, f"10.0.0.{n}"), 8000, s) for n, s in enumerate(states, 1))
        self.pool = Pool("api", "api", members, health="/readyz", **options)
        up = Pool("api", "api", tuple(Member(m.host, m.address, m.port) for m in members))
        self.nginx = FakeNginx(notes, self.clock, api=[s for n, s in enumerate(up.servers(), 1) if n in there])

    def see(self) -> Balancer:
        return read_balancer(self.nginx, "lb1", (self.pool,))

    def plan(self) -> Plan:
        return make_plan((self.pool,), (self.see(),))

    def call(self, plan: Plan, budget: float = 10.0, waited: float = 0.0) -> Any:
        applier = Applier(self.nginx, "lb1", (self.pool,), plan.steps, waited, clock=self.clock, sleep=self.clock.sleep)
        applier.require_unmoved()
        return do_steps(plan.steps, applier.execute, budget=budget, clock=self.clock)

    def lines(self) -> list[str]:
        return [f"{s.host}{' down' if s.down else ''}" for s in self.nginx.files["api"]]
