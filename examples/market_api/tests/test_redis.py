# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The API with real Redis servers: what clients see while they fail over, move slots and go away."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from load_support import Counted, load, lost
from market_support import AUTHORIZED, TOKEN, Running, Start, eventually, starter
from redis_support import (
    PASSWORD,
    USER,
    Server,
    Servers,
    certificates,
    has_slot,
    move_slot,
    servers,
    slot_of,
    wait_for,
)

from market_api import topology
from market_api.settings import Settings

SESSION = {"data": {"user": "anna"}}
HTTP = httpx.Client(headers=AUTHORIZED, timeout=20, trust_env=False)
FEW_TICKS = "TICK:1"  # the generator makes quotes of this one; tests post others


@pytest.fixture(name="redis")
def _redis(tmp_path: Path) -> Iterator[Servers]:
    with servers(tmp_path / "redis") as room:
        yield room


@pytest.fixture(name="secret", scope="module")
def _secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    secret = tmp_path_factory.mktemp("secret") / "password"
    secret.touch(mode=0o600)
    secret.write_text(PASSWORD + "\n")
    return secret


Pair = tuple[Server, Running, Running]


@pytest.fixture(name="pair", scope="module")
def _pair(tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Iterator[Pair]:
    """One server, and two instances that keep what they read for long."""
    with servers(tmp_path_factory.mktemp("pair")) as room, starter() as start:
        (server,) = room.add(1)
        own = {"MARKET_LOCAL_TTL": "10m", "MARKET_TTLS": "sessions:*=30s,quotes:*=60s,*=5m"}
        one, other = (started(start, "standalone", [server], secret, **own) for _ in range(2))
        channel = "market:forget:1"
        wait_for("both listen", lambda: dict(server.admin().pubsub_numsub(channel))[channel] == 2)
        yield server, one, other


def started(start: Start, mode: str, nodes: list[Server], secret: Path, **own: str) -> Running:
    places = ",".join(node.place for node in nodes)
    instance = start(
        "api",
        MARKET_REDIS_MODE=mode,
        MARKET_REDIS_NODES=places,
        MARKET_REDIS_USER=USER,
        MARKET_REDIS_PASSWORD_FILE=str(secret),
        MARKET_SYMBOLS=FEW_TICKS,
        **own,
    )
    eventually("Redis is up for it", lambda: ready(instance)["redis"] == "up")
    return instance


def ready(instance: Running) -> dict[str, object]:
    answer = HTTP.get(f"{instance.url}/readyz")
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()
    return found


def post(instance: Running, symbol: str, price: float) -> None:
    body = {"symbol": symbol, "price": price}
    assert HTTP.post(f"{instance.url}/quotes", json=body).status_code == 201


def price(instance: Running, symbol: str) -> float | None:
    answer = HTTP.get(f"{instance.url}/quotes/{symbol}")
    return float(answer.json()["price"]) if answer.status_code == 200 else None


def metric(instance: Running, line: str) -> float:
    """The value of a metric, given as it is written; 0 where there is none."""
    text = HTTP.get(f"{instance.url}/metrics").text
    found = re.findall(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
    return float(found[0]) if found else 0.0


def failures(instance: Running) -> dict[str, float]:
    """Calls that were given up, by reason."""
    text = HTTP.get(f"{instance.url}/metrics").text
    found = re.findall(r'^market_redis_failures_total\{reason="(\w+)"\} (\S+)$', text, re.MULTILINE)
    return {reason: float(value) for reason, value in found}


def test_a_write_is_seen_by_all_and_what_they_knew_is_forgotten(pair: Pair) -> None:
    server, one, other = pair
    post(one, "SHARED", 1)
    known = 'market_cache_hits_total{level="%s"}'
    before = {level: metric(other, known % level) for level in ("local", "shared")}
    for _ in range(4):
        assert price(other, "SHARED") == 1
    after = {level: metric(other, known % level) - before[level] for level in before}
    assert after == {"local": 3, "shared": 1}
    post(one, "SHARED", 2)
    eventually("the other has forgotten 1", lambda: price(other, "SHARED") == 2)
    assert 0 < server.admin().pttl("market:1:quotes:SHARED") <= 60_000
    assert metric(one, "market_redis_calls_limit") == 20
    assert failures(one) == failures(other) == {}
    assert PASSWORD not in HTTP.get(f"{one.url}/metrics").text


def test_an_earlier_quote_never_replaces_a_later_one(pair: Pair) -> None:
    _, one, other = pair
    now = time.time()
    for instance, when, value in ((one, now, 2), (other, now - 5, 1)):
        body = {"symbol": "ORDER", "price": value, "time": when}
        assert HTTP.post(f"{instance.url}/quotes", json=body).status_code == 201
    assert (price(one, "ORDER"), price(other, "ORDER")) == (2, 2)


def test_what_is_no_quote_of_ours_is_a_miss(pair: Pair) -> None:
    server, one, other = pair
    post(one, "ODD", 1)
    for text in ("", "now", "9e99 {}", '1 {"symbol": "OTHER", "price": 1, "source": "", "sequence": 1}'):
        server.admin().set("market:1:quotes:ODD", text)
        server.admin().publish("market:forget:1", "what is this?")
        assert price(one, "ODD") == 1
        assert price(other, "ODD") in (None, 1)  # it has no such quote itself


def test_sessions_live_from_touch_to_touch(pair: Pair) -> None:
    server, one, other = pair
    made = HTTP.post(f"{one.url}/sessions", json=SESSION).json()
    assert (made["data"], made["lifetime"]) == (SESSION["data"], 30)
    place, key, admin = f"{other.url}/sessions/{made['name']}", f"market:1:sessions:{made['name']}", server.admin()

    admin.pexpire(key, 5000)
    assert HTTP.get(place).json()["data"] == SESSION["data"]
    assert admin.pttl(key) <= 5000
    assert HTTP.post(f"{place}/touch").json()["data"] == SESSION["data"]
    assert admin.pttl(key) > 25_000
    admin.pexpire(key, 1)
    eventually("it has ended", lambda: HTTP.get(place).status_code == 404)
    assert HTTP.post(f"{place}/touch").status_code == 404
    for _ in range(2):
        assert HTTP.delete(place).status_code == 204


def test_without_redis_it_is_degraded_and_ready_and_pays_what_it_owes(
    start: Start, redis: Servers, secret: Path
) -> None:
    (server,) = redis.add(1)
    short = {"MARKET_SESSION_DEADLINE": "500ms"}
    one, other = (started(start, "standalone", [server], secret, **short) for _ in range(2))
    made = HTTP.post(f"{one.url}/sessions", json=SESSION).json()
    post(one, "KEPT", 1)
    assert price(other, "KEPT") == 1

    server.kill()
    post(one, "KEPT", 2)
    assert price(one, "KEPT") == 2
    assert {key: ready(one)[key] for key in ("ready", "degraded", "redis")} == {
        "ready": True,
        "degraded": True,
        "redis": "away",
    }
    answer = HTTP.get(f"{one.url}/sessions/{made['name']}")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["seen"] == "connection"
    assert metric(one, 'market_redis_retries_total{reason="connection"}') > 0
    assert failures(one)["connection"] > 0
    begun = time.monotonic()
    for _ in range(50):
        assert price(one, "KEPT") == 2
    assert time.monotonic() - begun < 5  # nobody waits for a Redis that is known to be away

    server.start()
    eventually("it is up again", lambda: ready(one)["redis"] == "up" and not ready(one)["degraded"])
    eventually("the other reads what was owed", lambda: price(other, "KEPT") == 2)
    assert HTTP.get(f"{one.url}/sessions/{made['name']}").status_code == 200


def test_tls_is_checked_and_a_wrong_password_is_no_reason_to_try_again(
    start: Start, redis: Servers, secret: Path, tmp_path: Path
) -> None:
    ca, lines = certificates(tmp_path)
    server = redis.add_tls(*lines)
    own = {"MARKET_REDIS_TLS": "on", "MARKET_REDIS_CA_FILE": str(ca)}
    trusting = started(start, "standalone", [server], secret, **own)
    assert HTTP.post(f"{trusting.url}/sessions", json=SESSION).status_code == 201

    places = {"MARKET_REDIS_MODE": "standalone", "MARKET_REDIS_NODES": server.place, "MARKET_REDIS_TLS": "on"}
    places["MARKET_SESSION_DEADLINE"] = "2s"
    strange = start("api", MARKET_REDIS_USER=USER, MARKET_REDIS_PASSWORD_FILE=str(secret), **places)
    answer = HTTP.post(f"{strange.url}/sessions", json=SESSION)
    assert (answer.status_code, answer.json()["error"]["seen"]) == (503, "connection")  # who signed it is not known

    places["MARKET_REDIS_CA_FILE"] = str(ca)
    wrong = start("api", MARKET_REDIS_USER=USER, MARKET_REDIS_PASSWORD="another", **places)
    answer = HTTP.post(f"{wrong.url}/sessions", json=SESSION)
    assert (answer.status_code, answer.json()["error"]["seen"]) == (503, "denied")
    assert metric(wrong, 'market_redis_retries_total{reason="denied"}') == 0


def test_a_reshard_is_seen_by_no_client(start: Start, redis: Servers, secret: Path) -> None:
    nodes = redis.cluster(3)
    patient = {"MARKET_CACHE_DEADLINE": "5s"}  # so that none is given up because the machine is busy
    instances = [started(start, "cluster", nodes[:1], secret, **patient) for _ in range(2)]
    made = [HTTP.post(f"{instances[0].url}/sessions", json=SESSION).json()["name"] for _ in range(25)]
    new = redis.join(nodes)  # no client has heard of it
    with load(instances) as counted:
        for name in made:
            # Asked for while the slot is open and the key is on its other side already.
            place = f"{instances[1].url}/sessions/{name}"
            move_slot(slot_of(f"market:1:sessions:{name}"), nodes, new, lambda at=place: found(at))
        move_slot(slot_of("market:1:quotes:TICK"), nodes, new)
    assert counted.failed == []
    assert counted.answered > 50
    assert lost(instances[1], [*made, *(name for _, name in counted.kept)]) == []
    for instance in instances:
        assert failures(instance) == {}
        assert metric(instance, 'market_redis_retries_total{reason="redirections"}') == 0
    assert new.admin().dbsize() >= len(made)


def found(place: str) -> None:
    for _ in range(3):
        assert HTTP.get(place).status_code == 200


def test_asking_goes_with_its_command_however_many_connections_are_open(redis: Servers) -> None:
    nodes = redis.cluster(3)
    new = redis.join(nodes)
    settings = Settings.from_env(
        {
            "MARKET_API_TOKEN": TOKEN,
            "MARKET_REDIS_MODE": "cluster",
            "MARKET_REDIS_NODES": nodes[0].place,
            "MARKET_REDIS_USER": USER,
            "MARKET_REDIS_PASSWORD": PASSWORD,
        }
    ).redis
    assert settings is not None
    keys = [f"market:{number}" for number in range(2)]

    async def ask(there: str, moving: str) -> list[bytes | None]:
        async with topology.clients(settings) as found:
            await asyncio.gather(*(found.writer.get(there) for _ in range(4)))  # so many connections to the new one
            return [await found.writer.get(moving) for _ in range(4)]

    for key in keys:
        owner = next(node for node in nodes if has_slot(node, slot_of(key)))
        owner.admin().set(key, key)
    seen: list[bytes | None] = []
    move_slot(slot_of(keys[0]), nodes, new)
    move_slot(slot_of(keys[1]), nodes, new, lambda: seen.extend(asyncio.run(ask(*keys))))
    assert seen == [keys[1].encode()] * 4


def test_a_failover_in_a_cluster_is_seen_by_no_client(start: Start, redis: Servers, secret: Path) -> None:
    nodes = redis.cluster(3)
    replica = redis.replica(nodes, of=nodes[1])
    instances = [
        started(start, "cluster", nodes[:2], secret, MARKET_REDIS_READ=reads) for reads in ("primary", "replicas")
    ]
    with load(instances) as counted:
        kill_under_load(nodes[1], [replica])
    judge(counted, instances)


def test_a_failover_by_sentinels_is_seen_by_no_client(start: Start, redis: Servers, secret: Path) -> None:
    data, sentinels = redis.watched("sessions")
    own = {"MARKET_REDIS_MASTER": "sessions", "MARKET_REDIS_READ": "replicas"}
    instances = [started(start, "sentinel", sentinels, secret, **own) for _ in range(2)]
    with load(instances) as counted:
        kill_under_load(data[0], data[1:])
    judge(counted, instances)
    assert sum(int(s.admin().info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]) for s in data[1:]) > 5


def kill_under_load(primary: Server, replicas: list[Server]) -> None:
    """Kill a primary that has sessions, and wait until one of its replicas gets more of them."""
    wait_for("sessions are made", lambda: primary.admin().dbsize() > 10)
    primary.kill()

    def promoted() -> list[Server]:
        return [server for server in replicas if server.admin().role()[0] == "master"]

    wait_for("a replica is primary", lambda: bool(promoted()))
    before = promoted()[0].admin().dbsize()
    wait_for("sessions are made there", lambda: promoted()[0].admin().dbsize() > before + 10)


def judge(counted: Counted, instances: list[Running]) -> None:
    """Every request was answered; all sessions are there but for those that died with the primary."""
    # Replication is asynchronous: what was acknowledged in the last moment before the kill may be lost.
    assert [line for line in counted.failed if ": 404 " not in line] == []
    assert len(counted.failed) <= 8
    assert len(lost(instances[0], [name for _, name in counted.kept])) <= 4
    assert len(counted.kept) > 5
    assert counted.slowest < 12
    for instance in instances:
        eventually("Redis is up for it", lambda at=instance: ready(at)["redis"] == "up")
        assert sum(failures(instance).get(reason, 0) for reason in ("denied", "refused", "memory")) == 0
        instance.process.send_signal(signal.SIGTERM)
        _, said = instance.stop()
        assert "Traceback" not in said, said
        assert PASSWORD not in said
