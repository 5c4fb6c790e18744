"""ACL lines and what servers make of them; answers were captured from Redis 7.0 and 8.0 and Valkey 8.1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.redis_fleet import fleet_of, stated

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis import acl, inventory
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import Cluster

FIXTURES = Path(__file__).parents[2] / "fixtures" / "redis"
VERSIONS = sorted(p.name for p in FIXTURES.iterdir() if (p / "acl_cat.json").exists())
PASSWORDS = {
    "admin_password": "admin-password-0001",
    "replication_password": "replication-pass-01",
    "sentinel": {"password": "sentinel-password-1"},
    "users": {"app": {"password": "app-password-000001"}},
}


def test_there_are_captured_versions() -> None:
    assert VERSIONS == ["redis-7.0.15", "redis-8.0.2", "valkey-8.1.1"]


def categories(version: str) -> dict[str, list[str]]:
    """What this version answered to ACL CAT."""
    found: dict[str, list[str]] = json.loads((FIXTURES / version / "acl_cat.json").read_text())
    return found


def _cluster() -> Cluster:
    return inventory.clusters_in(fleet_of({"cache": stated({"mode": "replication", **PASSWORDS})}, 3))["cache"]


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_server_writes_means_what_it_was_told(version: str) -> None:
    known = categories(version)
    pairs = json.loads((FIXTURES / version / "acl_list.json").read_text())
    told = [(rules, line) for rules, line in pairs if line.startswith("user")]
    assert len(told) > 20
    for rules, line in told:
        assert acl.same(acl.parse(f"user u {rules}"), acl.parse(line), known), (rules, line)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_means_something_else_is_seen(version: str) -> None:
    known = categories(version)
    pairs = json.loads((FIXTURES / version / "acl_list.json").read_text())
    users = {rules: acl.parse(line) for rules, line in pairs if line.startswith("user")}
    plain = "reset on #" + "a" * 64
    for one, other in [
        (f"{plain} +@all -@dangerous ~* &*", f"{plain} +@all ~* &*"),
        (f"{plain} +@read -@dangerous +@write ~app:*", f"{plain} +@read +@write -@dangerous +keys ~app:* ~b:* &ch:*"),
        (f"{plain} +get +set -get ~*", f"{plain} +get +get +@read ~*"),
    ]:
        assert not acl.same(users[one], users[other], known)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_read_our_file_needs_nothing(version: str) -> None:
    live = (FIXTURES / version / "users.txt").read_text().splitlines()
    wanted = acl.server_lines(_cluster())
    assert acl.plan_users(wanted, live, categories(version)).empty
    assert acl.plan_users(wanted, list(reversed(live)), categories(version)).empty


@pytest.mark.parametrize("version", VERSIONS)
def test_drift_is_set_back_and_strangers_go(version: str) -> None:
    known = categories(version)
    live = (FIXTURES / version / "users.txt").read_text().splitlines()
    live = [line.replace("+@all -@dangerous", "+@all -flushall") for line in live if "user replication" not in line]
    live = [line.replace("user default off", "user default on nopass") for line in live]
    plan = acl.plan_users(acl.server_lines(_cluster()), [*live, "user eve on nopass ~* &* +@all"], known)
    assert sorted(plan.set_users) == ["app", "default", "replication"]
    assert plan.delete == ("eve",)
    assert plan.set_users["default"] == ("reset", "off")
    assert [line.split(":")[0] for line in plan.lines] == ["user default", "user replication", "user app", "user eve"]
    assert "may no longer" in plan.lines[2]
    assert "switched off, password" in plan.lines[0]
    assert "#" not in " ".join(plan.lines)
    assert "#" not in repr(plan)


def test_a_changed_password_is_a_change_without_being_told() -> None:
    before = acl.server_lines(_cluster())
    raw = stated({"mode": "replication", **PASSWORDS, "users": {"app": {"password": "another-password-01"}}})
    after = acl.server_lines(inventory.clusters_in(fleet_of({"cache": raw}, 3))["cache"])
    plan = acl.plan_users(after, before, categories(VERSIONS[0]))
    assert (list(plan.set_users), plan.lines) == (["app"], ("user app: password",))


def test_lines_hold_hashes_only() -> None:
    lines = "\n".join((*acl.server_lines(_cluster()), *acl.sentinel_lines(_cluster())))
    for password in ("admin-password", "replication-pass", "sentinel-password", "app-password"):
        assert password not in lines
    # printf %s abc | sha256sum
    assert acl.hashed("abc") == "#ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_each_has_the_users_that_it_needs() -> None:
    names = [acl.parse(line).name for line in acl.server_lines(_cluster())]
    assert names == ["default", "steelyard", "replication", "sentinel", "app"]
    alone = inventory.clusters_in(fleet_of({"cache": stated()}, 1))["cache"]
    assert [acl.parse(line).name for line in acl.server_lines(alone)] == ["default", "steelyard"]
    watching = [acl.parse(line) for line in acl.sentinel_lines(_cluster())]
    assert [u.name for u in watching] == ["default", "steelyard", "sentinel", "app"]
    may = acl.allowed(watching[3].commands, categories(VERSIONS[0]))
    assert "sentinel|masters" in may
    assert not {m for m in may if m.startswith(("sentinel|reset", "sentinel|set", "config", "client|kill"))}


@pytest.mark.parametrize("version", VERSIONS)
def test_replicas_and_sentinels_may_little(version: str) -> None:
    users = {u.name: u for u in map(acl.parse, acl.server_lines(_cluster()))}
    assert acl.allowed(users["replication"].commands, categories(version)) == {"psync", "replconf", "ping"}
    assert len(acl.allowed(users["sentinel"].commands, categories(version))) == 14
    assert (users["replication"].keys, users["sentinel"].keys) == (frozenset(), frozenset())
    dangerous = set(categories(version)["dangerous"])
    assert not acl.allowed(users["app"].commands, categories(version)) & dangerous


def test_atomic_migration_is_asked_for_where_the_server_has_it() -> None:
    lines = acl.server_lines(_cluster(), atomic_migration=True)
    assert [line.split()[1] for line in lines if "+cluster|syncslots" in line] == ["replication"]


def test_a_missing_password_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="the user steelyard has a password"):
        acl.server_lines(Cluster("cache"))


@pytest.mark.parametrize("line", ["", "usr app on", "user app on wrong", "user"])
def test_a_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(Refused):
        acl.parse(line)


RULES = st.sampled_from([
    "+@all", "-@all", "+@read", "-@read", "+@write", "-@dangerous", "+get", "-get", "+config", "-config", "+config|get",
    "-config|set", "+keys", "-@admin", "+select|0",
])  # fmt: skip


@given(st.lists(RULES, max_size=8), st.lists(RULES, max_size=8))
def test_what_is_planned_is_all_there_is(one: list[str], other: list[str]) -> None:
    known = categories(VERSIONS[0])
    wanted, live = (f"user app reset on {' '.join(rules)}" for rules in (one, other))
    plan = acl.plan_users([wanted], [live], known)
    after = [f"user {name} {' '.join(rules)}" for name, rules in plan.set_users.items()] or [live]
    assert acl.plan_users([wanted], after, known).empty
    assert plan.empty == (acl.allowed(one, known) == acl.allowed(other, known))
