"""The example application speaks to Redis with the client that our modules are proven with."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import REQUIREMENTS

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "market_api"


def test_the_example_pins_the_same_client() -> None:
    (client,) = [one for one in REQUIREMENTS if one.startswith("redis==")]
    assert client in (EXAMPLE / "requirements.in").read_text().splitlines()
    assert any(line.startswith(f"{client} ") for line in (EXAMPLE / "requirements.txt").read_text().splitlines())
