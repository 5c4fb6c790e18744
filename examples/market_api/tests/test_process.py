# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Real processes: what a balancer, a client and a service manager see of them."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import anyio
import websockets
from market_support import AUTHORIZED, HTTP, TOKEN, Running, Start, environment, eventually, free_port

HEAD = (
    "POST /quotes HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n"
    "content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
)


def test_sigterm_finishes_the_request_under_way(start: Start) -> None:
    api = start("api", MARKET_DRAIN="1s")
    body = json.dumps({"symbol": "SLOW", "price": 1}).encode()
    with socket.create_connection(("127.0.0.1", api.port), 10) as slow:
        slow.sendall(HEAD.format(token=TOKEN, length=len(body)).encode() + body[:5])
        eventually("the slow request is under way", lambda: in_progress(api) == 2)
        api.process.send_signal(signal.SIGTERM)
        eventually("not ready", lambda: HTTP.get(f"{api.url}/readyz").status_code == 503)
        answer = HTTP.get(f"{api.url}/quotes")  # still served while it drains
        assert answer.status_code == 200
        assert answer.headers["connection"] == "close"
        eventually("the port is closed", lambda: not accepts(api.port))
        assert api.process.poll() is None
        slow.sendall(body[5:])
        received = b"".join(iter(lambda: slow.recv(4096), b""))
    assert received.startswith(b"HTTP/1.1 201 ")
    assert received.endswith(b'{"accepted":1}')
    status, said = api.stop()
    assert status == -signal.SIGTERM
    assert "Traceback" not in said
    assert TOKEN not in said


def in_progress(api: Running) -> float:
    """How many requests are being answered, the one that asks included."""
    text = HTTP.get(f"{api.url}/metrics").text
    return float(re.findall(r"^http_requests_in_progress (\S+)$", text, re.MULTILINE)[0])


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def test_sigterm_closes_websockets_with_going_away(start: Start) -> None:
    api = start("api", MARKET_DRAIN="300ms")

    async def scene() -> tuple[int | None, list[str]]:
        async with websockets.connect(f"ws://127.0.0.1:{api.port}/ws?symbols=AAPL", proxy=None) as client:
            await client.recv()
            await client.send('{"type": "ping", "id": "a"}')
            seen = [json.loads(await client.recv()) for _ in range(3)]
            api.process.send_signal(signal.SIGTERM)
            with anyio.fail_after(10):
                async for _ in client:
                    pass
            return client.close_code, [message["type"] for message in seen]

    code, kinds = asyncio.run(scene())
    assert code == 1001
    assert "pong" in kinds
    assert api.stop()[0] == -signal.SIGTERM


def test_a_second_sigterm_changes_nothing(start: Start) -> None:
    api = start("api", MARKET_DRAIN="500ms")
    for _ in range(3):
        api.process.send_signal(signal.SIGTERM)
        eventually("not ready", lambda: HTTP.get(f"{api.url}/readyz").status_code == 503)
    assert api.stop()[0] == -signal.SIGTERM


def test_the_api_takes_its_quotes_from_workers_and_serves_without_them(start: Start) -> None:
    port = free_port()
    worker = start("worker", port=port, MARKET_TICK_INTERVAL="50ms", MARKET_SYMBOLS="AAPL:190")
    api = start("api", MARKET_FEEDS=f"{worker.url},http://127.0.0.1:{free_port()}", MARKET_FEED_INTERVAL="50ms")
    eventually("a quote of the worker", lambda: HTTP.get(f"{api.url}/quotes/AAPL").status_code == 200)
    assert sorted(HTTP.get(f"{api.url}/readyz").json()["feeds"].values()) == ["down", "up"]

    worker.process.send_signal(signal.SIGTERM)
    assert worker.stop()[0] == -signal.SIGTERM
    eventually("the feed is down", lambda: feed_states(api) == {"down"})
    kept = HTTP.get(f"{api.url}/quotes/AAPL")
    assert (kept.status_code, HTTP.get(f"{api.url}/readyz").status_code) == (200, 200)

    start("worker", port=port, MARKET_TICK_INTERVAL="50ms", MARKET_SYMBOLS="AAPL:190")
    later = lambda: HTTP.get(f"{api.url}/quotes/AAPL").json()["time"] > kept.json()["time"]  # noqa: E731
    eventually("quotes of the worker's next process", later)


def feed_states(api: Running) -> set[str]:
    return set(HTTP.get(f"{api.url}/readyz").json()["feeds"].values())


def test_a_worker_with_another_token_is_a_feed_that_is_down(start: Start) -> None:
    worker = start("worker", MARKET_API_TOKEN="another-token-0123456789")
    api = start("api", MARKET_FEEDS=worker.url, MARKET_FEED_INTERVAL="50ms")
    eventually("asked", lambda: 'status="401"' in HTTP.get(f"{worker.url}/metrics").text)
    assert feed_states(api) == {"down"}


def test_several_processes_count_together(start: Start, tmp_path: Path) -> None:
    api = start("api", "--workers", "2", PROMETHEUS_MULTIPROC_DIR=str(tmp_path / "metrics"))

    def counted() -> int:
        text = HTTP.get(f"{api.url}/metrics").text
        found = re.findall(r'^http_requests_total\{.*path="/healthz".*\} (\S+)$', text, re.MULTILINE)
        return int(float(found[0])) if found else 0

    for _ in range(40):
        assert HTTP.get(f"{api.url}/healthz").status_code == 200
    assert counted() == 40
    api.process.send_signal(signal.SIGTERM)
    status, said = api.stop()
    assert status == 0
    assert "Traceback" not in said


def test_what_the_balancer_says_of_the_client_is_believed(start: Start) -> None:
    api = start("api")
    headers = {"x-forwarded-for": "203.0.113.9", "x-forwarded-proto": "https", "host": "market.example"}
    found = HTTP.get(f"{api.url}/whoami", headers=headers).json()
    assert (found["client"], found["scheme"], found["requested"]) == ("203.0.113.9", "https", "market.example")
    assert "server" not in HTTP.get(f"{api.url}/healthz", headers=AUTHORIZED).headers


def test_bad_settings_end_the_process_with_the_reason() -> None:
    command = [sys.executable, "-m", "market_api", "api"]
    done = subprocess.run(
        command, env=environment(MARKET_DRAIN="soon"), capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "MARKET_DRAIN" in done.stderr
    assert "Remedy" in done.stderr
    assert "Traceback" not in done.stderr
