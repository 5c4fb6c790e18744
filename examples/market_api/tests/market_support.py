# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the tests share: a token, and real processes to talk to."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

import market_api

TOKEN = "a-token-for-tests-0123456789"
AUTHORIZED = {"authorization": f"Bearer {TOKEN}"}
DEADLINE = 60.0  # of what takes a second on a machine that has nothing else to do
# A connection a request, as httpx.get has it, but certificates are read once and not for each.
HTTP = httpx.Client(timeout=DEADLINE, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


@dataclass
class Running:
    """A process of ours: where it listens, and how it ends."""

    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> tuple[int, str]:
        """Wait for the end after a signal; return status and what it said."""
        said, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, said


def eventually(what: str, probe: Callable[[], bool]) -> None:
    """Wait until the probe says yes; connection errors are a no."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):
            if probe():
                return
        time.sleep(0.02)
    pytest.fail(f"not within {DEADLINE:g} s: {what}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**own: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MARKET_", "STEELYARD_"))}
    sources = str(Path(market_api.__file__).parents[1])
    return {**kept, "PYTHONPATH": sources, "MARKET_API_TOKEN": TOKEN, "PYTHONUNBUFFERED": "1", **own}


Start = Callable[..., Running]


@contextlib.contextmanager
def starter() -> Iterator[Start]:
    """Lend what starts `python -m market_api KIND`; whatever is still running after the block is killed."""
    started: list[Running] = []

    def start(kind: str, *arguments: str, port: int = 0, **own: str) -> Running:
        port = port or free_port()
        command = [sys.executable, "-m", "market_api", kind, "--port", str(port), *arguments]
        process = subprocess.Popen(
            command,
            env=environment(**own),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that its worker processes can be ended with it
        )
        running = Running(process, port)
        started.append(running)
        eventually(f"{kind} is ready", lambda: HTTP.get(f"{running.url}/readyz").status_code == 200)
        return running

    try:
        yield start
    finally:
        for running in started:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.communicate()
