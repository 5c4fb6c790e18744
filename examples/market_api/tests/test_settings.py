# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path

import pytest

from market_api.settings import Settings, SettingsError

TOKEN = "0123456789abcdef"


def test_defaults_need_only_the_token() -> None:
    settings = Settings.from_env({"MARKET_API_TOKEN": TOKEN})
    assert settings.feeds == ()
    assert dict(settings.symbols)["AAPL"] == 190
    assert settings.drain == 1


def test_values_are_read_with_their_units() -> None:
    settings = Settings.from_env(
        {
            "MARKET_API_TOKEN": TOKEN,
            "MARKET_FEEDS": "http://worker1:9000/, http://[2001:db8::1]:9000",
            "MARKET_FEED_INTERVAL": "250ms",
            "MARKET_DRAIN": "5s",
            "MARKET_HEARTBEAT": "1m",
            "STEELYARD_RELEASE": "market_api-1.0.1",
        }
    )
    assert settings.feeds == ("http://worker1:9000", "http://[2001:db8::1]:9000")
    assert (settings.feed_interval, settings.drain, settings.heartbeat) == (0.25, 5, 60)
    assert settings.release == "market_api-1.0.1"


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("MARKET_API_TOKEN", "short", "openssl rand"),
        ("MARKET_API_TOKEN", "has a space in its middle", "openssl rand"),
        ("MARKET_FEEDS", "worker1:9000", "http://worker1:9000"),
        ("MARKET_FEEDS", "http://w:1,http://w:1/", "remove"),
        ("MARKET_FEED_INTERVAL", "0s", "250ms"),
        ("MARKET_DRAIN", "2h", "5s"),
        ("MARKET_SYMBOLS", "AAPL", "AAPL:190"),
        ("MARKET_SYMBOLS", "AAPL:0", "AAPL:190"),
        ("MARKET_SYMBOLS", "AAPL:nan", "AAPL:190"),
        ("MARKET_SYMBOLS", "AAPL:1,AAPL:2", "AAPL:190"),
        ("MARKET_MAX_SYMBOLS", "many", "digits"),
        ("MARKET_MAX_SYMBOLS", "1", "raise it"),
        ("MARKET_LOG_LEVEL", "loud", "one of these"),
        ("MARKET_FEED", "http://w:1", "MARKET_FEEDS"),
    ],
)
def test_bad_values_are_refused_with_their_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"MARKET_API_TOKEN": TOKEN, name: value})
    (problem,) = refused.value.problems
    assert problem.name == name
    assert remedy in problem.remedy


def test_everything_wrong_is_said_at_once_and_no_secret() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({"MARKET_API_TOKEN": "s3cret", "MARKET_DRAIN": "?"})
    assert [problem.name for problem in refused.value.problems] == ["MARKET_API_TOKEN", "MARKET_DRAIN"]
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(refused.value.problems)


def test_the_token_is_not_shown() -> None:
    assert TOKEN not in repr(Settings.from_env({"MARKET_API_TOKEN": TOKEN}))


def test_a_missing_token_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="MARKET_API_TOKEN"):
        Settings.from_env({})


REDIS = {
    "MARKET_API_TOKEN": TOKEN,
    "MARKET_REDIS_MODE": "sentinel",
    "MARKET_REDIS_NODES": "redis1:26379, [2001:db8::1]:26379",
    "MARKET_REDIS_MASTER": "sessions",
}


def test_redis_is_read_as_a_whole(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("a word of its own\n")
    more = {"MARKET_REDIS_USER": "market", "MARKET_REDIS_PASSWORD_FILE": str(secret), "MARKET_REDIS_READ": "replicas"}
    found = Settings.from_env({**REDIS, **more}).redis
    assert found is not None
    assert found.nodes == (("redis1", 26379), ("2001:db8::1", 26379))
    assert (found.mode, found.master, found.user, found.read_replicas) == ("sentinel", "sessions", "market", True)
    assert found.password == "a word of its own"
    assert "a word" not in repr(found)


def test_redis_is_left_out_unless_it_is_named() -> None:
    assert Settings.from_env({"MARKET_API_TOKEN": TOKEN}).redis is None
    assert Settings.from_env({"MARKET_API_TOKEN": TOKEN, "MARKET_REDIS_NODES": ""}).redis is None


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("MARKET_REDIS_MODE", "ring", "one of these"),
        ("MARKET_REDIS_NODES", "redis1", "redis1:6379"),
        ("MARKET_REDIS_NODES", "redis1:6379,redis1:6379", "redis1:6379"),
        ("MARKET_REDIS_NODES", "user@redis1:6379", "redis1:6379"),
        ("MARKET_REDIS_NODES", "", "redis1:26379"),
        ("MARKET_REDIS_MASTER", "", "name the primary"),
        ("MARKET_REDIS_USER", "market", "MARKET_REDIS_PASSWORD"),
        ("MARKET_REDIS_PASSWORD_FILE", "/nowhere", "let this process read it"),
        ("MARKET_REDIS_CA_FILE", "/nowhere", "name a file"),
        ("MARKET_REDIS_TLS", "yes", "one of these"),
        ("MARKET_REDIS_CONNECTIONS", "0", "digits"),
        ("MARKET_REDIS_TIMEOUT", "0s", "250ms"),
        ("MARKET_SESSION_DEADLINE", "5m", "250ms"),
        ("MARKET_TTLS", "quotes:*=60s", "*=300s"),
        ("MARKET_TTLS", "quotes:*=0s,*=1s", "*=300s"),
        ("MARKET_TTLS", "quotes:?=1s,*=1s", "*=300s"),
        ("MARKET_REDIS_HOST", "redis1", "MARKET_REDIS_NODES"),
    ],
)
def test_a_bad_redis_is_refused_with_its_remedy(name: str, value: str, remedy: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**REDIS, name: value})
    assert any(remedy in problem.remedy for problem in refused.value.problems), refused.value


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("one\ntwo\n")
    authority = tmp_path / "ca"
    authority.write_text("-")
    for own, name in (
        ({"MARKET_REDIS_MODE": "standalone"}, "MARKET_REDIS_NODES"),
        ({"MARKET_REDIS_MODE": "cluster"}, "MARKET_REDIS_MASTER"),
        ({"MARKET_REDIS_MODE": "none"}, "MARKET_REDIS_NODES"),
        ({"MARKET_REDIS_CA_FILE": str(authority)}, "MARKET_REDIS_CA_FILE"),
        ({"MARKET_REDIS_PASSWORD_FILE": str(secret)}, "MARKET_REDIS_PASSWORD_FILE"),
        ({"MARKET_REDIS_PASSWORD": "s3cret", "MARKET_REDIS_PASSWORD_FILE": str(secret)}, "MARKET_REDIS_PASSWORD_FILE"),
    ):
        with pytest.raises(SettingsError) as refused:
            Settings.from_env({**REDIS, **own})
        assert name in {problem.name for problem in refused.value.problems}
        assert "s3cret" not in str(refused.value)
