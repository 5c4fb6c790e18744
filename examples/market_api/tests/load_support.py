# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clients that use sessions and quotes of several instances while Redis changes, and count what they saw."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import httpx
from market_support import AUTHORIZED, Running

PATIENCE = 20.0


@dataclass
class Counted:
    """`failed` are requests that were not answered as they should be; `kept` are sessions by the time they were made."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    kept: list[tuple[float, str]] = field(default_factory=list)
    slowest: float = 0.0


class Client(threading.Thread):
    """One of them: makes a session at one instance, reads and touches it at the next, reads and posts quotes."""

    def __init__(self, number: int, instances: Sequence[Running]) -> None:
        super().__init__(daemon=True)
        self.number, self.urls, self.seen = number, [instance.url for instance in instances], Counted()
        self.stopped = threading.Event()
        self.http = httpx.Client(headers=AUTHORIZED, timeout=PATIENCE, trust_env=False)

    def run(self) -> None:
        count = 0
        while not self.stopped.is_set():
            one, other = self.urls[count % len(self.urls)], self.urls[(count + 1) % len(self.urls)]
            count += 1
            born = time.monotonic()
            made = self.ask("POST", f"{one}/sessions", 201, {"data": {"client": self.number, "count": count}})
            if made is not None:
                name = made.json()["name"]
                self.seen.kept.append((born, name))
                self.ask("GET", f"{other}/sessions/{name}", 200)
                self.ask("POST", f"{one}/sessions/{name}/touch", 200)
            symbol = f"LOAD{self.number}-{count % 50}"
            self.ask("POST", f"{one}/quotes", 201, {"symbol": symbol, "price": count})
            self.ask("GET", f"{one}/quotes/{symbol}", 200)

    def ask(self, method: str, url: str, status: int, body: object = None) -> httpx.Response | None:
        begun = time.monotonic()
        try:
            answer = self.http.request(method, url, json=body)
        except httpx.HTTPError as err:
            self.seen.failed.append(f"{method} {url}: {type(err).__name__} {err}")
            return None
        finally:
            self.seen.slowest = max(self.seen.slowest, time.monotonic() - begun)
        self.seen.answered += 1
        if answer.status_code == status:
            return answer
        self.seen.failed.append(f"{method} {url}: {answer.status_code} {answer.text[:200]}")
        return None


@contextlib.contextmanager
def load(instances: Sequence[Running], count: int = 4) -> Iterator[Counted]:
    """Clients around a block; what they counted, all together, is there afterwards."""
    total = Counted()
    clients = [Client(number, instances) for number in range(count)]
    for client in clients:
        client.start()
    try:
        yield total
    finally:
        for client in clients:
            client.stopped.set()
        for client in clients:
            client.join(2 * PATIENCE)
            total.answered += client.seen.answered
            total.failed += client.seen.failed
            total.kept += client.seen.kept
            total.slowest = max(total.slowest, client.seen.slowest)


def lost(instance: Running, names: Sequence[str]) -> list[str]:
    """The sessions among these that are not there."""
    with httpx.Client(headers=AUTHORIZED, timeout=PATIENCE, trust_env=False) as http:
        return [name for name in names if http.get(f"{instance.url}/sessions/{name}").status_code != 200]
