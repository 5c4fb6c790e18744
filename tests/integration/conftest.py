"""One lab that the integration tests share: the market inventory, deployed once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.rehearsal import Rehearsal
from support.runs import ROOT, run


@pytest.fixture(scope="session")
def rehearsal() -> Iterator[Rehearsal]:
    """The market fleet in a lab of its own, without anything installed yet."""
    run("python", "examples/market_api/build_release.py").ok()
    market = Rehearsal("core", ROOT / "inventories" / "market")
    market.lab("up").ok()
    yield market
    if not os.environ.get("STEELYARD_KEEP_LAB"):
        market.lab("down").ok()


@pytest.fixture(scope="session")
def fleet(rehearsal: Rehearsal) -> Rehearsal:
    """The market fleet, built by site.yml."""
    rehearsal.play("site").ok()
    return rehearsal


@pytest.fixture(scope="session")
def url(fleet: Rehearsal) -> str:
    """Where clients reach the fleet."""
    return f"http://{fleet.address('lb1')}"
