# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

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
