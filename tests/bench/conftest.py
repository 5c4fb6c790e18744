"""The market fleet in a lab of its own, for measurements; nothing else should run on the machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.rehearsal import Rehearsal
from support.runs import ROOT, run


@pytest.fixture(scope="session")
def market() -> Iterator[Rehearsal]:
    """The deployed market fleet; the balancer lets a second nginx in on 8081."""
    run("python", "examples/market_api/build_release.py").ok()
    fleet = Rehearsal("bench", ROOT / "inventories" / "market")
    fleet.mark("load_balancers", "lb1", firewall_extra_rules=[{"port": 8081, "networks": ["0.0.0.0/0"]}])
    fleet.lab("up").ok()
    fleet.play("site").ok()
    yield fleet
    fleet.lab("down").ok()
