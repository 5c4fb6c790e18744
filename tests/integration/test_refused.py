"""What must not work: each is refused or repaired, and what served before goes on serving."""

from __future__ import annotations

import pytest
from support.rehearsal import Rehearsal
from support.state import get

from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

pytestmark = pytest.mark.core
ASK = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/steelyard/loaded/config').read().decode())"
STAMP = f'python3 -c "{ASK}"'


def test_broken_configuration_is_refused_while_the_old_one_serves(fleet: Rehearsal, url: str) -> None:
    files = "find /etc/nginx -type f -exec sha256sum {} +"
    before, loaded = fleet.shell("lb1", files), fleet.shell("lb1", STAMP)
    with fleet.edited("group_vars/all/nginx.yml") as content:
        content["nginx_pools"]["api"]["method"] = "hash $no_such_variable consistent"
        broken = fleet.play("site", "--tags", "nginx")
    assert broken.code == 2
    assert "no_such_variable" in broken.output
    assert fleet.shell("lb1", files) == before
    assert fleet.shell("lb1", STAMP) == loaded
    assert get(f"{url}/healthz")[0] == 200


def test_wrong_checksum_is_refused_and_nothing_is_installed(fleet: Rehearsal) -> None:
    before = fleet.shell("api1", "ls /opt/steelyard/app/releases")
    archive = "{{ market_releases }}/market_api-1.0.0.tar.gz"
    wrong = {"market_version": "9.9.9", "market_archive": archive, "market_checksum": f"sha256:{'0' * 64}"}
    words = [word for name, value in wrong.items() for word in ("-e", f"{name}={value}")]
    run = fleet.play("site", *words)
    assert run.code == 2
    assert "sha256" in run.output
    assert run.changed == {}
    assert fleet.shell("api1", "ls /opt/steelyard/app/releases") == before


def test_a_machine_that_does_not_answer_stops_site_before_the_first_change(fleet: Rehearsal) -> None:
    fleet.lab("kill", "worker1").ok()
    try:
        run = fleet.play("site")
        assert run.code != 0
        assert "worker1" in run.output
        assert "answer" in run.output or "reach" in run.output
        assert run.changed == {}
    finally:
        fleet.lab("start", "worker1").ok()
    fleet.play("verify").ok()


def test_locking_oneself_out_is_refused(fleet: Rehearsal) -> None:
    run = fleet.play("site", "-e", '{"steelyard_control_networks": ["198.51.100.0/24"]}')
    assert run.code == 2
    assert "steelyard_control_networks" in run.output
    assert run.changed == {}


def test_a_crash_between_writing_and_reloading_is_repaired(fleet: Rehearsal, url: str) -> None:
    """The files of the new configuration are there, nginx still runs the old one: what a crash leaves."""
    old = fleet.shell("lb1", STAMP)
    with fleet.edited("group_vars/all/nginx.yml") as content:
        content["nginx_pools"]["api"]["keepalive"] = 17
        fleet.shell("lb1", "rm -rf /root/old && cp -a /etc/nginx /root/old")
        fleet.play("site", "--tags", "nginx").ok()
        new = fleet.shell("lb1", STAMP)
        assert new != old
        swap = "rm -rf /root/new && mv /etc/nginx /root/new && mv /root/old /etc/nginx && systemctl reload nginx"
        fleet.shell("lb1", swap)
        wait_until(lambda: fleet.shell("lb1", STAMP), lambda seen: seen == old, 10, "nginx runs the old configuration")
        fleet.shell("lb1", "mv /etc/nginx /root/old && mv /root/new /etc/nginx && rm -rf /root/old")
        assert fleet.shell("lb1", STAMP) == old
        repaired = fleet.play("site", "--tags", "nginx").ok()
        assert repaired.changed.keys() == {"lb1"}
        assert fleet.shell("lb1", STAMP) == new
        assert get(f"{url}/healthz")[0] == 200
    fleet.play("site", "--tags", "nginx").ok()
    assert fleet.shell("lb1", STAMP) == old
