"""Real clients of a Redis Cluster, or of a primary that Sentinels name, in a process of their own, that count what they
were promised.

    with clients(port) as load:
        ...                       # the cluster is changed meanwhile
    load.result.failed            # calls that raised; a redirection that the library follows is none
    load.result.missing           # writes that were acknowledged and are not there at the end

A call that raised may have been done or not: such keys are not looked for at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import redis
from redis.cluster import PRIMARY, ClusterNode
from redis.sentinel import Sentinel
from support.redis_servers import LOOPBACK, PASSWORD, USER

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Counted:
    """What clients saw; times are milliseconds."""

    ok: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    written: int = 0
    missing: list[str] = field(default_factory=list)
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0
    rate: float = 0.0


@dataclass
class Load:
    """The clients while they run; `result` is there afterwards."""

    process: subprocess.Popen[str]
    result: Counted = field(default_factory=Counted)

    def end(self) -> Counted:
        """Tell them to end, let them read everything back, and return what they counted."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=300)
        self.result = Counted(**json.loads(out.strip().splitlines()[-1]))
        return self.result


@contextlib.contextmanager
def clients(
    port: int, *, rate: float = 400, threads: int = 2, filled: int = 0, address: str = LOOPBACK, watched: str = "",
    user: str = USER, password: str = PASSWORD,
) -> Iterator[Load]:  # fmt: skip
    """Clients around a block: `rate` calls a second in all; they also read the keys of `fill` (`key:%09d`).

    `watched` is the name of a replicated cluster: at `port` is one of its Sentinels then.
    """
    words = [address, str(port), str(rate), str(threads), str(filled), user, watched]
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__)), *words], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "REDIS_PASSWORD": password, "PYTHONPATH": str(ROOT / "tests")},
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()  # they are connected
    load = Load(process)
    try:
        yield load
        load.end()
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


class Cluster(redis.RedisCluster):
    """redis-py's client, which up to 8.1.0 fails when an ASK names a node that it has not heard of yet."""

    def get_node(self, host=None, port=None, node_name=None):  # type: ignore[no-untyped-def]
        found = super().get_node(host, port, node_name)  # type: ignore[no-untyped-call]
        if found is None and node_name:
            address, _, number = node_name.rpartition(":")
            found = ClusterNode(address, int(number), PRIMARY)  # type: ignore[no-untyped-call]
            self.nodes_manager.create_redis_connections([found])  # type: ignore[no-untyped-call]
        return found


def cluster_at(place: tuple[str, int], user: str) -> Any:
    """A client of a Redis Cluster."""
    # A MOVED tells of one slot; asking for all of them anew is what would be measured.
    return Cluster(host=place[0], port=place[1], username=user, password=os.environ["REDIS_PASSWORD"],
                   socket_timeout=10, reinitialize_steps=0)  # fmt: skip


class Primary(redis.Redis):
    """redis-py's client, which calls once more when it was sent away, and no more than that.

    The library's own retry, up to 8.1.0, connects to the same server again, and asks no Sentinel.
    """

    def execute_command(self, *args, **options):  # type: ignore[no-untyped-def]
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ConnectionError:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


def primary_of(place: tuple[str, int], user: str, name: str) -> Any:
    """A client of the primary that Sentinels name."""
    sign = {"username": user, "password": os.environ["REDIS_PASSWORD"], "socket_timeout": 5}
    library: Any = Sentinel
    asked = library([place], sentinel_kwargs=sign, **sign)
    known = [place, *((s["ip"], s["port"]) for s in asked.sentinels[0].sentinel_sentinels(name))]
    return library(known, sentinel_kwargs=sign, **sign).master_for(name, redis_class=Primary)


class Client(threading.Thread):
    """One of them: writes keys of its own, each once, and reads others."""

    def __init__(
        self, number: int, pause: float, filled: int, stop: threading.Event, place: tuple[str, int], user: str,
        watched: str,
    ) -> None:  # fmt: skip
        super().__init__(daemon=True)
        self.number, self.pause, self.filled, self.stop = number, pause, filled, stop
        self.redis = primary_of(place, user, watched) if watched else cluster_at(place, user)
        self.random = random.Random(number)
        self.acknowledged: list[str] = []
        self.times: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        due, count = time.monotonic(), 0
        while not self.stop.is_set():
            count += 1
            if self.filled and count % 2:
                self._timed(lambda: self.redis.get(f"key:{self.random.randrange(self.filled):09d}"))
            else:
                name = f"w:{self.number}:{count}"
                if self._timed(lambda name=name: self.redis.set(name, name)):
                    self.acknowledged.append(name)
            due += self.pause
            self.stop.wait(max(0.0, due - time.monotonic()))

    def _timed(self, call) -> bool:  # type: ignore[no-untyped-def]
        begun = time.monotonic()
        try:
            answer = call()
        except Exception as err:  # noqa: BLE001 - any error is what we count
            self.errors.append(f"{type(err).__name__}: {err}"[:200])
            return False
        self.times.append(time.monotonic() - begun)
        if answer is None:
            self.errors.append("a key that was there is not")
        return answer is not None

    def missing(self) -> list[str]:
        """Names that were acknowledged and are gone, or have another value."""
        lost = []
        for start in range(0, len(self.acknowledged), 500):
            part = self.acknowledged[start : start + 500]
            found = getattr(self.redis, "mget_nonatomic", self.redis.mget)(part)
            lost += [n for n, value in zip(part, found, strict=True) if value != n.encode()]
        return lost


def main(address: str, port: str, rate: str, threads: str, filled: str, user: str = USER, watched: str = "") -> None:
    """Run until SIGTERM, then read everything back and print what was counted."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    pause = int(threads) / float(rate)
    place = (address, int(port))
    workers = [Client(n, pause, int(filled), stop, place, user, watched) for n in range(int(threads))]
    begun = time.monotonic()
    for worker in workers:
        worker.start()
    print("ready", flush=True)
    while not stop.wait(0.2):
        pass
    for worker in workers:
        worker.join()
    spent = time.monotonic() - begun
    times = sorted(1000 * t for w in workers for t in w.times) or [0.0]
    errors = [e for w in workers for e in w.errors]
    result = Counted(
        ok=len(times), failed=len(errors), errors=errors[:20], written=sum(len(w.acknowledged) for w in workers),
        missing=[n for w in workers for n in w.missing()][:20], p50=times[len(times) // 2],
        p99=times[min(len(times) - 1, int(len(times) * 0.99))], worst=times[-1], rate=len(times) / spent,
    )  # fmt: skip
    print(json.dumps(asdict(result)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
