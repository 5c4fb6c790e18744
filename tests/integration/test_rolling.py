"""A release is deployed and rolled back under load, host by host."""

from __future__ import annotations

import json

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.runs import run
from support.state import assert_nothing_left_behind, get

pytestmark = pytest.mark.core


def versions(url: str) -> set[str]:
    """Return the versions that twenty requests were answered by."""
    return {json.loads(get(f"{url}/whoami")[1])["version"] for _ in range(20)}


def test_a_release_is_deployed_and_rolled_back_under_load(fleet: Rehearsal, url: str) -> None:
    run("python", "examples/market_api/build_release.py", "--version", "1.0.1").ok()
    with load(f"{url}/quotes") as report:
        installed = fleet.play("site", "-e", "market_version=1.0.1").ok()
        assert "rolling_restart" in installed.output
        assert versions(url) == {"1.0.0"}, "site.yml restarted an instance"
        dry = fleet.play("rolling_restart", "-e", "market_version=1.0.1", "--check", "--diff").ok()
        assert versions(url) == {"1.0.0"}, "a dry run restarted an instance"
        assert dry.changed.keys() == {"api1", "api2", "worker1"}
        fleet.play("rolling_restart", "-e", "market_version=1.0.1").ok()
        assert versions(url) == {"1.0.1"}
        fleet.play("site").ok()
        fleet.play("rolling_restart").ok()
        assert versions(url) == {"1.0.0"}
    assert report.total > 100
    assert report.failed == 0, report.text
    assert_nothing_left_behind(fleet)
    assert fleet.play("rolling_restart").ok().changed == {}
