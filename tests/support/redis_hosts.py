"""Redis servers and Sentinels of a host, and a host that has exactly them, for tests to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import SeenFile
from ansible_collections.steelyard.stack.plugins.module_utils.redis import config
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import compare, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import (
    One,
    Server,
    Watcher,
    Wish,
    package_named,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.start import directives
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Note, Seen, SeenOne

PACKAGE = package_named("redis-server")
USERS = (
    "user default reset off",
    "user app reset on #00 ~* +@all -flushall",
    "user steelyard reset on #11 ~* &* +@all",
)
LISTED = (
    "user app on #00 ~* resetchannels +@all -flushall",
    "user default off -@all",
    "user steelyard on #11 ~* &* +@all",
)
CATEGORIES = {"all": ("flushall", "get", "ping"), "read": ("get",)}
SETTINGS = {"maxmemory": "67108864", "maxmemory-policy": "noeviction", "appendonly": "yes", "io-threads": "1"}


def server(**fields: Any) -> Server:
    """A server, with whatever else is stated; its settings are added to the usual ones."""
    usual: dict[str, Any] = {"cluster": "sessions", "host": "redis1", "port": 7000, "mode": "standalone"}
    settings = {
        name: str(value) for name, value in {**SETTINGS, **fields.pop("settings", {})}.items() if value is not None
    }
    users = tuple(fields.pop("users", USERS))
    return Server(
        **{**usual, "admin": "steelyard", "admin_password": "geheim", "settings": settings, "users": users, **fields}
    )


def watcher(**fields: Any) -> Watcher:
    """A Sentinel, likewise."""
    usual: dict[str, Any] = {"cluster": "sessions", "host": "redis1", "port": 26379, "admin": "steelyard"}
    usual |= {"admin_password": "geheim", "settings": {"bind": "10.0.0.1"}, "users": USERS}
    usual |= {"monitor": ("sentinel monitor sessions 10.0.0.1 7000 2",), "concealed": {"auth-pass": "geheim"}}
    usual |= {"watched": {"quorum": "2", "down-after-milliseconds": "5000"}}
    return Watcher(**{**usual, **fields})


def wish(raw: Mapping[str, Any]) -> Wish:
    """A wish of a case: `servers`, `watchers`, and the rest of the fields."""
    servers = tuple(server(**one) for one in raw.get("servers", [{}] if "watchers" not in raw else []))
    watchers = tuple(watcher(**one) for one in raw.get("watchers", []))
    rest: dict[str, Any] = {
        n: tuple(v) if isinstance(v, list) else v for n, v in raw.items() if n not in ("servers", "watchers")
    }
    return Wish(**{**rest, "package": PACKAGE, "host": "redis1", "servers": servers, "watchers": watchers})


def seen_one(one: One) -> SeenOne:
    """What a server or Sentinel shows that has all that is wanted of it."""
    wanted = compare.wanted_settings(one) if isinstance(one, Server) else dict(one.watched)
    concealed = compare.digest_of(dict(one.concealed)) if isinstance(one, Watcher) else ""
    texts = directives(unit_files.settings_text(one)) | directives(unit_files.secrets_text(one))
    return SeenOne(
        key=one.key, active="active", enabled=True, started=1000.0, own=True, role="master", version="8.0.2",
        used_memory=1000000, live={name: config.normal(name, v) if isinstance(one, Server) else v for name, v in wanted.items()},
        started_with=texts, unit=unit_files.unit_digest(one, PACKAGE), users=LISTED if one.users == USERS else one.users, categories=CATEGORIES,
        note=Note(concealed, one.admin_password),
    )  # fmt: skip


def files_of(asked: Wish) -> dict[str, SeenFile]:
    """The files as they should be."""
    wanted = unit_files.host_files(asked.placed_servers, asked.placed_watchers, PACKAGE)
    return {f.path: SeenFile("file", f.content, f.mode, f.owner, f.group) for f in wanted}


def seen_as_wanted(asked: Wish) -> Seen:
    """A host that has all that is wished."""
    ones = {one.key: seen_one(one) for one in asked.placed}
    files = files_of(asked)
    return Seen("5:8.0.2-3", True, "8.0.2", files=files, ones=ones, leftovers=tuple(files))


def seen(raw: Mapping[str, Any], asked: Wish) -> Seen:
    """A host that has all that is wished but for what a case states; `ones: {"7000": null}` is one that is missing.

    `had` is another wish, of which the host has all instead. `without` are parts of paths of files that are missing, `also`
    paths of files that nobody wants any more.
    """
    found = seen_as_wanted(wish(raw["had"]) if "had" in raw else asked)
    ones = dict(found.ones)
    for key, change in raw.get("ones", {}).items():
        if change is None:
            ones.pop(key, None)
            continue
        parts = dict(change)
        now = ones.get(key, SeenOne(key))
        for mapping in ("live", "started_with"):
            if mapping in parts:
                parts[mapping] = {n: v for n, v in {**getattr(now, mapping), **parts[mapping]}.items() if v is not None}
        if "note" in parts:
            parts["note"] = replace(now.note, **parts["note"]) if parts["note"] else Note()
        changed: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in parts.items()}
        ones[key] = replace(now, **changed)
    without = raw.get("without", [])
    files = {p: f for p, f in found.files.items() if not any(part in p for part in without)}
    files |= {p: SeenFile("file", "old", 0o640, "root", "redis") for p in raw.get("also", [])}
    rest = {n: v for n, v in raw.items() if n in ("package", "held", "server", "quiet", "loaded")}
    leftovers = tuple(raw.get("leftovers", files))
    return replace(found, **rest, files=files, ones=ones, leftovers=leftovers)
