"""One lab that the integration tests share: the market inventory, deployed once."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from support.rehearsal import Rehearsal
from support.runs import ROOT, run


@pytest.fixture(scope="session")
def rehearsal() -> Iterator[Rehearsal]:
    """The market fleet with a second balancer in a lab of its own, without anything installed yet."""
    run("python", "examples/market_api/build_release.py").ok()
    market = Rehearsal(os.environ.get("STEELYARD_TEST_LAB", "core"), ROOT / "inventories" / "market")
    market.add_host("load_balancers", "lb2", ansible_host="192.0.2.11", lab_memory="256mb")
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


@pytest.fixture
def spare(fleet: Rehearsal) -> Iterator[Rehearsal]:
    """The fleet with a bare stand-in api3 in the inventory; it has left, and its line is deleted, afterwards."""
    fleet.add_host("api", "api3", ansible_host="192.0.2.23", lab_memory="384mb")
    fleet.lab("up").ok()
    yield fleet
    fleet.mark("api", "api3", steelyard_state="leaving")
    fleet.play("scale").ok()
    fleet.lab("down", "api3").ok()
    fleet.drop_host("api", "api3")
    fleet.lab("up").ok()


@pytest.fixture(scope="session")
def data_lab() -> Iterator[Rehearsal]:
    """Three hosts for Redis in a lab of their own, without anything installed yet."""
    name = os.environ.get("STEELYARD_TEST_DATA_LAB", "data")
    lab = Rehearsal(name, ROOT / "tests" / "integration" / "inventories" / "data")
    lab.lab("up").ok()
    yield lab
    if not os.environ.get("STEELYARD_KEEP_LAB"):
        lab.lab("down").ok()


@pytest.fixture(scope="session")
def data(data_lab: Rehearsal) -> Rehearsal:
    """These hosts with a Redis Cluster and a cache, built by site.yml."""
    data_lab.play("site").ok()
    return data_lab
