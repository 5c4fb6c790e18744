# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures: settings that work, and a real process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest
from market_support import TOKEN, Running, Start, environment, eventually, free_port

from market_api.settings import Settings


@pytest.fixture(name="settings")
def _settings() -> Settings:
    return Settings.from_env({"MARKET_API_TOKEN": TOKEN, "MARKET_SYMBOLS": "AAPL:190,MSFT:420"})


@pytest.fixture(name="start")
def _start() -> Iterator[Start]:
    """Start `python -m market_api KIND`; whatever is still running afterwards is killed."""
    started: list[Running] = []

    def start(kind: str, *arguments: str, port: int = 0, **own: str) -> Running:
        port = port or free_port()
        command = [sys.executable, "-m", "market_api", kind, "--port", str(port), *arguments]
        process = subprocess.Popen(
            command, env=environment(**own), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        running = Running(process, port)
        started.append(running)
        eventually(f"{kind} is ready", lambda: httpx.get(f"{running.url}/readyz").status_code == 200)
        return running

    yield start
    for running in started:
        if running.process.poll() is None:
            running.process.kill()
            running.process.communicate()
