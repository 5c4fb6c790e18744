# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from collections.abc import Iterator

import pytest
from market_support import AUTHORIZED, TOKEN
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from market_api import ticks
from market_api.api import Api
from market_api.settings import Settings
from market_api.store import MemoryStore
from market_api.web import MAX_BODY


@pytest.fixture(name="api")
def _api(settings: Settings) -> Api:
    return Api(settings, MemoryStore(settings.max_symbols))


@pytest.fixture(name="client")
def _client(api: Api) -> Iterator[TestClient]:
    with TestClient(api.application()) as client:
        yield client


def test_alive_and_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"alive": True}
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "phase": "ready", "feeds": {"generator": "up"}}


def test_alive_but_not_ready_before_the_start_and_while_stopping(api: Api) -> None:
    client = TestClient(api.application())
    assert client.get("/readyz").json()["phase"] == "starting"
    assert client.get("/readyz").status_code == 503
    with client:
        api.lifecycle.drain()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.json()["phase"]) == (503, "draining")
        assert answer.headers["connection"] == "close"
        assert client.get("/healthz").status_code == 200


def test_whoami_says_who_answers() -> None:
    env = {"MARKET_API_TOKEN": TOKEN, "STEELYARD_HOST": "api1", "STEELYARD_RELEASE": "r-2", "STEELYARD_CONFIG": "c0de"}
    with TestClient(Api(Settings.from_env(env), MemoryStore(10)).application(), base_url="http://x:8000") as client:
        found = client.get("/whoami").json()
    assert (found["host"], found["port"], found["instance"]) == ("api1", 8000, "api1:8000")
    assert (found["release"], found["config"]) == ("r-2", "c0de")


def test_without_workers_the_generator_fills_the_store(client: TestClient) -> None:
    found = client.get("/quotes", params={"symbols": "AAPL"}).json()["quotes"]
    assert [quote["symbol"] for quote in found] == ["AAPL"]
    assert client.get("/quotes/MSFT").json()["source"] == "generator"
    assert len(client.get("/quotes").json()["quotes"]) == 2


def test_posting_needs_the_token(client: TestClient) -> None:
    quote = {"symbol": "ZZ", "price": 3}
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}, {"authorization": ""}):
        answer = client.post("/quotes", json=quote, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert TOKEN not in answer.text
    assert client.get("/quotes/ZZ").status_code == 404
    assert client.post("/quotes", json=quote, headers=AUTHORIZED).json() == {"accepted": 1}
    assert client.get("/quotes/ZZ").json()["price"] == 3


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b'{"symbol": "ZZ"}', 422),
        (b'[{"symbol": "ZZ", "price": 1}, {}]', 422),
        (b" " * (MAX_BODY + 1), 413),
        (b'{"symbol": "ZZ", "price": NaN}', 422),
    ],
)
def test_bad_bodies_are_refused_whole(client: TestClient, content: bytes, status: int) -> None:
    answer = client.post("/quotes", content=content, headers=AUTHORIZED)
    assert answer.status_code == status
    assert {"rule", "seen", "remedy"} <= answer.json()["error"].keys()
    assert client.get("/quotes/ZZ").status_code == 404


def test_a_full_store_says_so(settings: Settings) -> None:
    with TestClient(Api(settings, MemoryStore(2)).application()) as client:
        answer = client.post("/quotes", json={"symbol": "ZZ", "price": 1}, headers=AUTHORIZED)
        assert answer.status_code == 507


@pytest.mark.parametrize("query", ["after=x", "after=-1", "wait=31", "wait=nan"])
def test_bad_numbers_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/quotes/AAPL?{query}").status_code == 422


def test_waiting_for_the_next_quote(client: TestClient) -> None:
    now = client.get("/quotes/AAPL").json()
    following = client.get("/quotes/AAPL", params={"after": now["time"], "wait": 10}).json()
    assert following["time"] > now["time"]
    assert client.get("/quotes/AAPL", params={"after": 1e12, "wait": 0.05}).status_code == 204


def test_a_waiting_client_is_answered_when_the_process_stops(api: Api, client: TestClient) -> None:
    assert client.portal is not None
    client.portal.call(api.lifecycle.drain)
    assert client.get("/quotes/AAPL", params={"after": 1e12, "wait": 30}).status_code == 204


def test_metrics_name_routes_not_addresses(client: TestClient) -> None:
    for path in ("/quotes/AAPL", "/quotes/MSFT", "/no/such/thing"):
        client.get(path)
    client.request("FROB", "/quotes")
    text = client.get("/metrics").text
    assert 'http_requests_total{method="GET",path="/quotes/{symbol}",status="200"} 2.0' in text
    assert 'http_requests_total{method="GET",path="other",status="404"} 1.0' in text
    assert 'http_requests_total{method="other",path="/quotes",status="405"} 1.0' in text
    assert 'http_request_duration_seconds_bucket{le="0.005",method="GET",path="/quotes/{symbol}"}' in text
    assert "FROB" not in text
    assert "AAPL" not in text


def test_the_websocket_streams_and_echoes_pings(client: TestClient) -> None:
    with client.websocket_connect("/ws?symbols=AAPL") as socket:
        first = socket.receive_json()
        assert [quote["symbol"] for quote in first["quotes"]] == ["AAPL"]
        assert "websocket_connections 1.0" in client.get("/metrics").text
        socket.send_json({"type": "ping", "id": 7})
        answers = [socket.receive_json() for _ in range(4)]
        assert {"type": "pong", "id": 7} in answers
        assert any(answer["type"] == "quotes" for answer in answers)
    text = client.get("/metrics").text
    assert "websocket_connections 0.0" in text


@pytest.mark.parametrize("message", ["", "{", "[]", '{"type": "buy"}', '{"type": "ping", "x": "' + "x" * 5000 + '"}'])
def test_other_messages_are_answered_with_the_rule(settings: Settings, message: str) -> None:
    quiet = Api(settings, MemoryStore(10))
    with TestClient(quiet.application()) as client, client.websocket_connect("/ws?symbols=NONE") as socket:
        assert socket.receive_json() == {"type": "quotes", "quotes": []}
        socket.send_text(message)
        assert socket.receive_json()["type"] == "error"


def test_bytes_are_no_message(client: TestClient) -> None:
    with client.websocket_connect("/ws?symbols=NONE") as socket:
        socket.receive_json()
        socket.send_bytes(b"\x00")
        assert socket.receive_json()["type"] == "error"


def test_a_quiet_websocket_has_a_heartbeat() -> None:
    settings = Settings.from_env({"MARKET_API_TOKEN": TOKEN, "MARKET_HEARTBEAT": "50ms"})
    api = Api(settings, MemoryStore(10))
    with TestClient(api.application()) as client, client.websocket_connect("/ws?symbols=NONE") as socket:
        socket.receive_json()
        assert socket.receive_json() == {"type": "heartbeat"}


def test_websockets_are_closed_with_going_away_and_then_refused(api: Api, client: TestClient) -> None:
    with client.websocket_connect("/ws?symbols=NONE") as socket:
        socket.receive_json()
        assert client.portal is not None
        client.portal.call(api.lifecycle.drain)
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == 1001
    with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
        pass
    assert denied.value.status_code == 503


def test_more_websockets_than_allowed_are_refused() -> None:
    settings = Settings.from_env({"MARKET_API_TOKEN": TOKEN, "MARKET_MAX_WEBSOCKETS": "1"})
    with TestClient(Api(settings, MemoryStore(10)).application()) as client, client.websocket_connect("/ws"):
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws"):
            pass
        assert denied.value.status_code == 503


def test_the_worker_gives_ticks_to_who_has_the_token(settings: Settings) -> None:
    with TestClient(ticks.create_app(settings)) as client:
        assert client.get("/readyz").status_code == 200
        assert client.get("/ticks").status_code == 401
        found = client.get("/ticks", headers=AUTHORIZED).json()
        assert {tick["symbol"] for tick in found["ticks"]} == {"AAPL", "MSFT"}
        again = {"since": found["sequence"] + 1_000_000, "epoch": found["epoch"]}
        assert client.get("/ticks", params=again, headers=AUTHORIZED).json()["ticks"] == []
        assert client.get("/ticks", params={"since": "x"}, headers=AUTHORIZED).status_code == 422
