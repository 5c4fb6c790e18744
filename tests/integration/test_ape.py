"""The system APE whole: deployed at tier 2, moved up to tier 3 and down to tier 1 in place, while clients are served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.runs import ROOT, run
from support.state import served_by

pytestmark = pytest.mark.slow
WORKERS = "systemctl show -p ExecStart app@8000.service"


@pytest.fixture(scope="module")
def ape() -> Iterator[Rehearsal]:
    run("python", "examples/market_api/build_release.py").ok()
    fleet = Rehearsal("ape-tiers", ROOT / "inventories" / "ape")
    fleet.lab("up").ok()
    fleet.play("site").ok()
    yield fleet
    fleet.lab("down").ok()


UP = ("scale", "site", "rolling_restart", "verify")
DOWN = ("site", "rolling_restart", "scale", "verify")


def to_tier(fleet: Rehearsal, tier: int, playbooks: Sequence[str]) -> None:
    """Do what the inventory's README says: change the tier, then run these in this order."""
    with fleet.edit("group_vars/all/tiers.yml") as tiers:
        tiers["ape_tier"] = tier
    for playbook in playbooks:
        fleet.play(playbook).ok()


def test_tiers_up_and_down_under_load(ape: Rehearsal) -> None:
    url = f"http://{ape.address('lb1')}"
    assert ape.play("site").ok().changed == {}
    assert served_by(url).keys() == {"api1", "api2"}
    with load(f"{url}/quotes") as report:
        to_tier(ape, 3, UP)
        assert served_by(url).keys() == {"api1", "api2", "api3", "api4"}
        assert "--workers 4" in ape.shell("api1", WORKERS)
        to_tier(ape, 1, DOWN)
        assert served_by(url).keys() == {"api1"}
        assert "--workers 1" in ape.shell("api1", WORKERS)
        assert "inactive" in ape.shell("api2", "systemctl is-active app@8000.service || true")
    assert report.total > 100, report.text
    assert report.failed == 0, report.text


def test_the_balancer_is_as_the_document_says(ape: Rehearsal) -> None:
    running = ape.shell("lb1", "nginx -T")
    for line in ("least_conn;", "max_fails=3 fail_timeout=30s", "proxy_read_timeout 60", "proxy_connect_timeout 60"):
        assert line in running, line
