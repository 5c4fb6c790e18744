"""Settings: their normal forms against real servers' answers, the file, and the plan that a second look empties."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.redis_fleet import PASSWORD, fleet_of, stated

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis import config, inventory, sizing
from ansible_collections.steelyard.stack.plugins.module_utils.redis import directives as table
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import Cluster

FIXTURES = Path(__file__).parents[2] / "fixtures" / "redis"
VERSIONS = sorted(p.name for p in FIXTURES.iterdir() if (p / "directives.json").exists())
KINDS = {
    "bool": {table.BOOL}, "int": {table.INT}, "memory": {table.MEMORY}, "memory_or_percent": {table.PERCENT},
    "enum": {table.ENUM, table.FLAGS}, "str": {table.TEXT}, "octal": {table.TEXT},
    "other": {table.TEXT, table.LIST, table.SAVE, table.BUFFERS, table.EVENTS},
}  # fmt: skip
# Answered `yes`; the widest choice of a word is the newest server's.
SPELLED = {"relative"}


def load(version: str, name: str) -> Any:
    """What this version was asked for and answered."""
    return json.loads((FIXTURES / version / name).read_text())


def number(version: str) -> tuple[str, tuple[int, ...]]:
    """`redis-7.0.15` as a server and a version."""
    server, text = version.split("-")
    return server, tuple(int(part) for part in text.split("."))


def test_there_are_captured_versions() -> None:
    assert VERSIONS == ["redis-7.0.15", "redis-8.0.2", "valkey-8.1.1"]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_table_is_what_the_server_says(version: str) -> None:
    for name, seen in load(version, "directives.json").items():
        directive = table.DIRECTIVES[table.canonical(name)]
        assert directive.live == seen["live"], name
        assert directive.kind in KINDS[seen["kind"]] or name.startswith("set-max-listpack"), name
        assert set(seen.get("words", ())) <= {*directive.words, *SPELLED}, name
        if "least" in seen and table.canonical(name) == name:
            assert directive.least >= seen["least"], name
            assert directive.most <= seen["most"], name


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_knows_what_the_table_says_it_knows(version: str) -> None:
    server, digits = number(version)
    known = {n for n in table.DIRECTIVES if table.known_to(n, server, digits)}
    assert known == {table.canonical(n) for n in load(version, "directives.json")}


@pytest.mark.parametrize("version", VERSIONS)
def test_normal_forms_are_what_config_get_answers(version: str) -> None:
    answers = load(version, "config_set.json")
    assert len(answers) >= 300
    for name, given_value, answer, *refused in answers:
        wanted = config.normal(name, given_value)
        if not refused:
            assert config.same(name, wanted, answer), (name, given_value, answer)
            assert wanted == answer or name == "notify-keyspace-events", (name, given_value, answer)


@pytest.mark.parametrize("version", VERSIONS)
def test_defaults_are_in_normal_form(version: str) -> None:
    for name, seen in load(version, "directives.json").items():
        if not (table.canonical(name) in config.OURS or name.startswith("tls-")):
            assert config.same(name, config.normal(name, seen["default"]), seen["default"]), name


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("mode", ["standalone", "replication", "cluster"])
def test_what_we_state_every_version_knows(version: str, mode: str) -> None:
    """A server refuses to start with a directive that it does not know."""
    wanted = _wanted(stated({"mode": mode, "tls": _pem()}))
    assert config.unknown_to(wanted, *number(version), "redis_clusters.cache") == []
    assert len(wanted) > 15


def _pem() -> dict[str, str]:
    return dict.fromkeys(("certificate", "key", "ca"), "-----BEGIN X-----")


def _cluster(raw: dict[str, Any]) -> Cluster:
    return inventory.clusters_in(fleet_of({"cache": raw}, 3))["cache"]


def _wanted(raw: dict[str, Any]) -> dict[str, str]:
    cluster = _cluster(raw)
    sizes = sizing.size(cluster, sizing.HostLimits(2**33, 4), sizing.Tenants((cluster,)), 3)
    return config.wanted_settings(cluster, "192.0.2.1", 7000, sizing.as_settings(sizes))


def test_the_clusters_word_wins_over_sizing_and_settings_over_all() -> None:
    raw = {
        "maxmemory": "256mb",
        "maxmemory_policy": "allkeys-lru",
        "settings": {"io-threads": 3, "HZ": "20", "slave-priority": 5},
    }
    found = _wanted(stated(raw))
    wanted = {
        "maxmemory": "268435456",
        "maxmemory-policy": "allkeys-lru",
        "io-threads": "3",
        "hz": "20",
        "replica-priority": "5",
    }
    assert {name: found[name] for name in wanted} == wanted


def test_modes_state_what_they_need() -> None:
    alone, replicated, cluster = (_wanted(stated({"mode": m})) for m in ("standalone", "replication", "cluster"))
    assert "masteruser" not in alone
    assert replicated["masteruser"] == "replication"
    assert (replicated["replica-announce-ip"], replicated["replica-announce-port"]) == ("192.0.2.1", "7000")
    assert (alone["cluster-enabled"], cluster["cluster-enabled"]) == ("no", "yes")
    assert (cluster["cluster-node-timeout"], cluster["cluster-allow-replica-migration"]) == ("5000", "no")
    assert {"tls-replication", "tls-cluster"} <= set(_wanted(stated({"mode": "cluster", "tls": _pem()})))


@pytest.mark.parametrize(("stated_as", "on", "sync"), [("no", "no", "everysec"), (False, "no", "everysec"),
                                                       ("always", "yes", "always"), (True, "yes", "everysec")])  # fmt: skip
def test_appendonly_is_two_directives(stated_as: object, on: str, sync: str) -> None:
    found = _wanted(stated({"appendonly": stated_as}))
    assert (found["appendonly"], found["appendfsync"]) == (on, sync)


def test_the_file_says_everything_and_begins_the_list_of_savings_anew() -> None:
    text = config.render(
        _wanted(stated({"save": ["3600 1", "60 10000"], "settings": {"proc-title-template": "{title} x"}}))
    )
    lines = text.splitlines()
    assert lines.index('save ""') + 1 == lines.index("save 3600 1 60 10000")
    assert 'proc-title-template "{title} x"' in lines
    assert [line for line in config.render(_wanted(stated({"save": []}))).splitlines() if "save" in line] == ['save ""']


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20))
def test_a_quoted_word_is_one_word(text: str) -> None:
    value = config.normal("proc-title-template", text)
    assert shlex.split(config.in_file("proc-title-template", value)) == [value]


def test_secrets_are_apart_and_never_shown() -> None:
    cluster = _cluster(stated({"mode": "replication"}))
    secret = config.secret_settings(cluster)
    assert secret == {"masterauth": PASSWORD}
    assert PASSWORD not in str(_wanted(stated({"mode": "replication"})))
    assert config.secret_settings(_cluster(stated())) == {}
    plan = config.plan_config(secret, {"masterauth": "an-older-password-1"})
    assert plan.live == secret
    assert plan.lines == ("masterauth: (hidden) → (hidden)",)
    assert "password" not in repr(plan)
    with pytest.raises(Refused, match="hidden"):
        config.normal("masterauth", "a\nb")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_plan_says_what_can_be_set_and_what_needs_a_restart(version: str) -> None:
    live = {n: seen["default"] for n, seen in load(version, "directives.json").items()}
    plan = config.plan_config(
        {"maxmemory": "1gb", "io-threads": "2", "hz": "10", "client-output-buffer-limit": "replica 512mb 64mb 60"}, live
    )
    assert plan.live == {
        "maxmemory": "1073741824",
        "client-output-buffer-limit": "normal 0 0 0 slave 536870912 67108864 60 pubsub 33554432 8388608 60",
    }
    assert plan.restart == {"io-threads": "2"}
    assert plan.lines[-2:] == ("io-threads: 1 → 2, after a restart", "maxmemory: 0 B → 1 GiB")


def test_a_directive_that_the_server_does_not_know_is_said() -> None:
    plan = config.plan_config({"hz": "20", "maxmemory": "1mb"}, {"maxmemory": "0"})
    assert (plan.unknown, plan.empty) == (("hz",), False)
    found = config.unknown_to({"log-format": "legacy", "hz": "10"}, "redis", (8, 0, 2), "redis_clusters.cache.settings")
    assert [p.seen for p in found] == ["log-format"]


def test_old_and_new_spellings_are_one() -> None:
    """Valkey answers primaryuser, all others masteruser."""
    assert config.plan_config({"masteruser": "replication"}, {"primaryuser": "replication"}).empty
    assert config.plan_config({"slave-priority": "5"}, {"replica-priority": "5"}).empty
    assert config.needs_restart("slaveof")
    assert not config.needs_restart("maxmemory")


def _value(name: str) -> st.SearchStrategy[str]:
    directive = table.DIRECTIVES[name]
    numbers = st.integers(directive.least, min(directive.most, 2**40))
    return {
        table.BOOL: st.sampled_from(["yes", "no"]),
        table.INT: numbers.map(str),
        table.MEMORY: numbers.map(str),
        table.PERCENT: st.integers(0, 100).map(lambda n: f"{n}%"),
        table.ENUM: st.sampled_from(directive.words or ("",)),
        table.FLAGS: st.sampled_from(["nosave now", "now nosave", "default"]),
        table.SAVE: st.sampled_from(["", "900 1", "3600 1 60 10000"]),
        table.BUFFERS: st.sampled_from(["replica 1gb 512mb 60", "normal 1mb 0 0 pubsub 1 1 1"]),
        table.EVENTS: st.text("Ag$lshzxetdKEmn", max_size=6),
        table.LIST: st.lists(st.integers(0, 100), min_size=1, max_size=3).map(lambda n: " ".join(map(str, n))),
        table.TEXT: st.sampled_from(["", "word", "two words"]),
    }[directive.kind]


SOME = st.lists(st.sampled_from(sorted(table.DIRECTIVES)), max_size=12, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({n: _value(n) for n in names})
)


@given(SOME, SOME)
def test_what_was_set_needs_no_setting(wanted: dict[str, str], other: dict[str, str]) -> None:
    live = {
        n: config.normal(n, v) for n, v in {**dict.fromkeys(wanted, ""), **other}.items() if n in other or _fits(n, v)
    }
    plan = config.plan_config(wanted, live)
    assert set(plan.live) | set(plan.restart) | set(plan.unknown) <= set(wanted)
    assert not {n for n in plan.live if config.needs_restart(n)}
    after = config.plan_config(wanted, {**live, **plan.live})
    assert (after.live, after.restart, after.unknown) == ({}, plan.restart, plan.unknown)
    restarted = config.plan_config(wanted, {**live, **plan.live, **plan.restart})
    assert not (restarted.live or restarted.restart)


def _fits(name: str, value: str) -> bool:
    try:
        config.normal(name, value)
    except Refused:
        return False
    return True


def test_bad_values_are_refused_with_the_remedy() -> None:
    for name, value in [
        ("hz", "fast"), ("hz", 0), ("maxmemory", "much"), ("activedefrag", "maybe"), ("maxmemory-clients", "101%"),
        ("client-output-buffer-limit", "replica 1mb"), ("client-output-buffer-limit", "all 1 1 1"),
        ("notify-keyspace-events", "Q"), ("save", "60"), ("oom-score-adj-values", "a b c"), ("nothing", "1"),
    ]:  # fmt: skip
        with pytest.raises(Refused) as refused:
            config.normal(name, value, "redis_clusters.cache.settings")
        assert all(p.remedy and p.where for p in refused.value.problems)
