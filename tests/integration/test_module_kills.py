"""SIGKILL of a module on the managed host in the middle of a step, and of site.yml at several places."""

from __future__ import annotations

import pytest
from support.load import load
from support.rehearsal import Rehearsal
from support.remote import watched_modules
from support.state import assert_gone, assert_member, assert_nothing_left_behind

pytestmark = pytest.mark.faults
MEMBERS = "/etc/nginx/steelyard/pools/api.members"


@pytest.mark.parametrize(
    "words",
    [
        "/var/lib/steelyard/lease/nginx-main.json",  # taking the lease
        "config/nginx-members/pending/note.json",  # before the note of the last good files
        f"rename {MEMBERS}",  # written, not moved in
        "run systemctl reload nginx",  # moved in, not loaded
        "remove /var/lib/steelyard/config/nginx-members/pending/note.json",  # loaded and proved
    ],
)
def test_a_balancer_s_module_is_killed_while_the_pools_change(spare: Rehearsal, url: str, words: str) -> None:
    with load(f"{url}/quotes") as report, watched_modules(spare, "lb1") as modules:
        for state, proof in (("present", assert_member), ("leaving", assert_gone)):
            spare.mark("api", "api3", steelyard_state=state)
            modules.kill_at(words)
            broken = spare.play("scale")
            assert modules.killed(), "\n".join(modules.events())
            assert broken.code != 0, broken.output
            spare.play("scale").ok()
            proof(spare, "api3")
            assert "nothing to do" in spare.play("scale").ok().output
    assert report.failed == 0, report.text


@pytest.mark.parametrize(
    "words",
    [
        "/var/lib/steelyard/undo",  # holding a host: before the note
        f"rename {MEMBERS}",
        "run systemctl reload nginx",
    ],
)
def test_a_balancer_s_module_is_killed_while_a_host_is_held(fleet: Rehearsal, url: str, words: str) -> None:
    with load(f"{url}/quotes") as report, watched_modules(fleet, "lb1") as modules:
        modules.kill_at(words)
        broken = fleet.play("rolling_restart", "-e", "restart_all=true")
        assert modules.killed(), "\n".join(modules.events())
        assert broken.code != 0, broken.output
        fleet.play("rolling_restart", "-e", "restart_all=true").ok()
        assert " down" not in fleet.shell("lb1", f"cat {MEMBERS}")
        assert_nothing_left_behind(fleet)
    assert report.failed == 0, report.text


@pytest.mark.parametrize(
    "words",
    [
        "rename /opt/steelyard/app/releases",
        "rename /etc/systemd/system/app@8000.service.d/steelyard.conf",
        "run systemctl start app@8000.service",
    ],
)
def test_an_application_host_s_module_is_killed_while_it_joins_and_leaves(
    spare: Rehearsal, url: str, words: str
) -> None:
    with load(f"{url}/quotes") as report, watched_modules(spare, "api3") as modules:
        modules.kill_at(words)
        broken = spare.play("scale")
        assert modules.killed(), "\n".join(modules.events())
        assert broken.code != 0, broken.output
        assert spare.address("api3") not in spare.shell("lb1", f"cat {MEMBERS}")
        spare.play("scale").ok()
        assert_member(spare, "api3")
        spare.mark("api", "api3", steelyard_state="leaving")
        modules.kill_at("remove /etc/steelyard/app")
        broken = spare.play("scale")
        assert modules.killed(), "\n".join(modules.events())
        assert broken.code != 0, broken.output
        spare.play("scale").ok()
        assert_gone(spare, "api3")
    assert report.failed == 0, report.text


@pytest.mark.parametrize(
    "name",
    [
        "steelyard.stack.base : Keep the firewall",
        "steelyard.stack.app : Install releases, write units, start instances and wait until they are ready",
        "steelyard.stack.nginx : Read what it stands on",
        "step:start/8000",
    ],
)
def test_site_is_killed_while_it_builds_a_host(spare: Rehearsal, url: str, name: str) -> None:
    """A new host, and another configuration of the balancers, by site.yml."""
    place = name if name.startswith("step:") else f"task-name:{name}"
    with spare.edited("group_vars/all/nginx.yml") as content, load(f"{url}/quotes") as report:
        content["nginx_pools"]["api"]["keepalive"] = 19
        killed = spare.play("site", kill=place)
        assert killed.code == -9, killed.output
        spare.play("site").ok()
        assert spare.shell("api3", "systemctl is-active app@8000.service").strip() == "active"
        assert spare.play("site").ok().changed == {}
    assert report.failed == 0, report.text
    spare.play("site").ok()
    spare.play("verify").ok()
    assert spare.play("site").ok().changed == {}


@pytest.mark.parametrize(
    "words",
    [
        "config/nginx/pending/note.json",
        "rename /etc/nginx/steelyard/upstreams.conf",
        "run systemctl reload nginx",
        "remove /var/lib/steelyard/config/nginx/pending/note.json",
    ],
)
def test_a_balancer_s_module_is_killed_while_its_configuration_changes(fleet: Rehearsal, url: str, words: str) -> None:
    with load(f"{url}/quotes") as report, watched_modules(fleet, "lb1") as modules:
        with fleet.edited("group_vars/all/nginx.yml") as content:
            content["nginx_pools"]["api"]["keepalive"] = 18
            modules.kill_at(words)
            broken = fleet.play("site", "--tags", "nginx")
            assert modules.killed(), "\n".join(modules.events())
            assert broken.code != 0, broken.output
            fleet.play("site", "--tags", "nginx").ok()
            assert "keepalive 18" in fleet.shell("lb1", "nginx -T")
            assert fleet.play("site", "--tags", "nginx").ok().changed == {}
        fleet.play("site", "--tags", "nginx").ok()
    assert report.failed == 0, report.text
