# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sessions over HTTP, in this process's memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from market_support import AUTHORIZED, TOKEN
from starlette.testclient import TestClient

from market_api.api import Api
from market_api.sessions import MemorySessions, SessionsFull
from market_api.settings import Settings
from market_api.store import MemoryStore
from market_api.ttls import read_ttls


@pytest.fixture(name="client")
def _client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(Api(settings, MemoryStore(10)).application(), headers=AUTHORIZED) as client:
        yield client


def test_from_creation_to_the_end(client: TestClient) -> None:
    made = client.post("/sessions", json={"data": {"user": "anna"}})
    assert made.status_code == 201
    name = made.json()["name"]
    for answer in (client.get(f"/sessions/{name}"), client.post(f"/sessions/{name}/touch")):
        assert answer.json() == {"name": name, "data": {"user": "anna"}, "lifetime": 3600}
    assert client.delete(f"/sessions/{name}").status_code == 204
    assert client.get(f"/sessions/{name}").status_code == 404
    assert "/sessions/{name}/touch" in client.get("/metrics").text


@pytest.mark.parametrize("call", ["POST /sessions", "GET /sessions/x", "POST /sessions/x/touch", "DELETE /sessions/x"])
def test_all_of_it_needs_the_token(settings: Settings, call: str) -> None:
    method, _, path = call.partition(" ")
    with TestClient(Api(settings, MemoryStore(10)).application()) as client:
        assert client.request(method, path).status_code == 401


@pytest.mark.parametrize("body", [[], {"data": []}, {"data": "anna"}, {"data": {"a": "x" * 5000}}])
def test_bad_data_is_refused(client: TestClient, body: object) -> None:
    answer = client.post("/sessions", json=body)
    assert answer.status_code == 422
    assert "remedy" in answer.json()["error"]


@pytest.mark.parametrize("name", ["x", "*", "a" * 44, "%00" * 43])
def test_what_is_no_name_is_not_looked_for(client: TestClient, name: str) -> None:
    assert client.get(f"/sessions/{name}").status_code == 404


def test_it_ends_when_nobody_touches_it() -> None:
    now = 0.0
    sessions = MemorySessions(2, read_ttls("sessions:*=10s,*=1s"), lambda: now)

    async def scene() -> None:
        nonlocal now
        one = await sessions.create({})
        now = 9.0
        assert await sessions.read(one.name) == one
        assert await sessions.touch(one.name) == one
        now = 18.0
        assert await sessions.touch(one.name) == one
        other = await sessions.create({})
        with pytest.raises(SessionsFull):
            await sessions.create({})
        now = 28.0
        assert await sessions.read(one.name) is None
        assert await sessions.touch(one.name) is None
        third = await sessions.create({})  # those that have ended make room
        assert len({one.name, other.name, third.name}) == 3

    asyncio.run(scene())


def test_a_redis_that_was_never_there_is_degraded_and_no_error() -> None:
    env = {"MARKET_API_TOKEN": TOKEN, "MARKET_REDIS_MODE": "standalone", "MARKET_REDIS_NODES": "127.0.0.1:1"}
    api = Api(Settings.from_env({**env, "MARKET_SESSION_DEADLINE": "200ms"}), MemoryStore(10))
    with TestClient(api.application(), headers=AUTHORIZED) as client:
        assert client.post("/quotes", json={"symbol": "ZZ", "price": 3}).status_code == 201
        assert client.get("/quotes/ZZ").json()["price"] == 3
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["degraded"], answer.json()["redis"]) == (200, True, "away")
        refused = client.post("/sessions", json={})
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert "market_redis_up 0.0" in client.get("/metrics").text
