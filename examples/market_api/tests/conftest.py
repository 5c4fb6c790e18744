# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fixtures: settings that work, and a real process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from market_support import TOKEN, Start, starter

from market_api.settings import Settings


@pytest.fixture(name="settings")
def _settings() -> Settings:
    return Settings.from_env({"MARKET_API_TOKEN": TOKEN, "MARKET_SYMBOLS": "AAPL:190,MSFT:420"})


@pytest.fixture(name="start")
def _start() -> Iterator[Start]:
    """Start `python -m market_api KIND`; whatever is still running afterwards is killed."""
    with starter() as start:
        yield start
