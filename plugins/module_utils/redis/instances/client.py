# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What knows this host: systemctl, the journal, files, and its servers over their own sockets. Reads, and runs verbs."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import read_file
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import SeenFile
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import compare, start, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.link import (
    ErrorReply,
    Link,
    NoAnswer,
    pairs,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Server, Watcher, Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Note, Seen, SeenOne
from ansible_collections.steelyard.stack.plugins.module_utils.systemd import show
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import (
    UNIT_DIR,
    WANTS_DIR,
    active_state,
    unix_time,
)

NOTES = "/var/lib/steelyard/redis"
_UNIT = re.compile(r"\bredis(-sentinel)?@([0-9]{1,5})\.service")
_VERSION = re.compile(r"\bv=([0-9.]+)")


def unit_named(key: str) -> str:
    """Return the unit of `7000` or `sentinel-26379`."""
    return f"redis-sentinel@{key.partition('-')[2]}.service" if key.startswith("sentinel-") else f"redis@{key}.service"


def keys_in(names: Iterable[str]) -> set[str]:
    """Return the keys of what is named in unit names, paths or lines of `systemctl list-units`."""
    found = (m for name in names for m in _UNIT.finditer(name))
    return {f"sentinel-{m.group(2)}" if m.group(1) else m.group(2) for m in found}


def read_note(key: str) -> Note:
    """Return what was noted of one; an empty note where nothing was."""
    try:
        return Note.from_dict(json.loads(Path(NOTES, f"{key}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return Note()


def read_files(paths: Iterable[str]) -> dict[str, SeenFile]:
    """Return the files of ours that exist, and those at the given paths."""
    asked = set(paths)
    patterns = (
        unit_files.PROGRAM, *(unit_files.template_path(kind) for kind in ("server", "sentinel")),
        f"{UNIT_DIR}/redis@*.service.d/steelyard.conf",
        f"{UNIT_DIR}/redis-sentinel@*.service.d/steelyard.conf", f"{start.CONFIG}/*/*",
    )  # fmt: skip
    found = {path: read_file(path) for path in asked | {p for pattern in patterns for p in glob.glob(pattern)}}
    return {path: seen for path, seen in sorted(found.items()) if seen is not None}


def started_with(key: str) -> tuple[dict[str, str], str]:
    """Return the settings that the running process read when it started, and the digest of its unit."""
    home = Path(start.RUN, key)
    try:
        text = "\n".join((home / name).read_text(encoding="utf-8") for name in start.SETTINGS)
        started = json.loads((home / start.STARTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}, ""
    return start.directives(text), str(started.get("unit", ""))


def package_state(name: str) -> tuple[str, bool]:
    """Return the installed version of a package, empty for none, and whether upgrades leave it alone."""
    said = run(["dpkg-query", "-W", "-f", "${db:Status-Want} ${db:Status-Status} ${Version}", "--", name], check=False)
    want, status, version = [*said.split(), "", "", ""][:3]
    return (version, want == "hold") if status == "installed" else ("", False)


def server_version(package: str, binary: str) -> str:
    """Return the version of the installed program; empty where it is not installed."""
    if not package or not os.path.exists(binary):
        return ""
    found = _VERSION.search(run([binary, "--version"]))
    return found.group(1) if found else ""


def ours(key: str) -> tuple[bool, bool]:
    """Return whether its directory is ours, and whether there is one with something else in it."""
    home = Path(start.DATA, key)
    own = (home / start.STATE_FILE).is_file()
    return own, not own and home.is_dir() and any(home.iterdir())


def traces(files: Mapping[str, SeenFile]) -> set[str]:
    """Return the keys of all servers and Sentinels that left a trace on this host."""
    argv = ["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full"]
    listed = run([*argv, "redis@*.service", "redis-sentinel@*.service"], check=False).splitlines()
    found = keys_in([*files, *glob.glob(f"{WANTS_DIR}/redis*@*.service"), *listed])
    parts = [path[len(start.CONFIG) + 1 :].split("/")[0] for path in files if path.startswith(start.CONFIG)]
    homes = [Path(path).name for path in glob.glob(f"{start.DATA}/*")]
    known = {name for name in (*parts, *homes) if re.fullmatch(r"(sentinel-)?[0-9]{1,5}", name)}
    return found | known


def read_host(wish: Wish, interrupted: bool = False) -> Seen:
    """Return everything that a plan rests on. `interrupted`: files were swapped in and not proven loaded."""
    wanted = unit_files.host_files(wish.placed_servers, wish.placed_watchers, wish.package)
    files = read_files(f.path for f in wanted)
    placed = {one.key: one for one in wish.placed}
    keys = sorted(traces(files))
    units = show([*(unit_named(k) for k in sorted({*keys, *placed})), wish.package.unit])
    version, held = package_state(wish.package.name)
    ones = {key: _read_one(key, units.get(unit_named(key), {}), placed.get(key)) for key in keys}
    notes = glob.glob(f"{NOTES}/*.json")
    quiet = units.get(wish.package.unit, {}).get("UnitFileState", "").startswith("masked")
    return Seen(
        package=version,
        held=held,
        server=server_version(version, wish.package.binary),
        quiet=quiet,
        loaded=not interrupted and _loaded(wish, units),
        files=files,
        ones=ones,
        leftovers=(*files, *notes),
    )


def _loaded(wish: Wish, units: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether systemd works with the files on the disk and the wanted limits.

    The package's own unit does not count: of a masked one systemd 252 always says that it wants to be read again.
    """
    shown = {one.key: units.get(unit_files.unit_of(one), {}) for one in wish.placed}
    limited = all(
        shown[one.key].get("MemoryMax", "infinity") == unit_files.memory_max(one)
        for one in wish.placed
        if shown[one.key].get("LoadState") == "loaded"
    )
    return limited and not any(u.get("NeedDaemonReload") == "yes" for n, u in units.items() if n != wish.package.unit)


def _read_one(key: str, unit: Mapping[str, str], wanted: One | None) -> SeenOne:
    state = active_state(unit)
    own, foreign = ours(key)
    settings, digest = started_with(key)
    found: dict[str, Any] = {
        "key": key, "active": state, "enabled": unit.get("UnitFileState") == "enabled",
        "started": unix_time(unit.get("ActiveEnterTimestamp", "")), "own": own, "foreign": foreign,
        "started_with": settings, "unit": digest, "note": read_note(key),
    }  # fmt: skip
    if state == "active" and wanted is not None:
        found.update(ask(wanted, found["note"]))
    return SeenOne(**found)


def sign_in(one: One, note: Note) -> Link:
    """Return a connection to a running one, with the wanted password or the one noted last; raises like Link."""
    path = unit_files.socket_path(one)
    refused = ErrorReply("NOAUTH no password is known")
    for password in dict.fromkeys(p for p in (one.admin_password, note.admin) if p):
        link = Link(path, one.admin, password)
        try:
            link.ask("PING")
        except ErrorReply as error:
            link.close()
            if not error.text.startswith(("WRONGPASS", "NOAUTH", "NOPERM")):
                return Link(path, one.admin, password)  # it loads, or its primary is away: it took the password
            refused = error
            continue
        return link
    raise refused


def ask(one: One, note: Note) -> dict[str, Any]:
    """Return what a running one says of itself, as fields of SeenOne."""
    try:
        with sign_in(one, note) as link:
            return _ask_server(one, link) if isinstance(one, Server) else _ask_sentinel(one, link)
    except NoAnswer as error:
        return {"error": str(error)}
    except ErrorReply as error:
        return {"error": error.text, "refused": error.text.startswith(("WRONGPASS", "NOAUTH"))}


def _ask_server(server: Server, link: Link) -> dict[str, Any]:
    info, config = _checked(link.ask_all([["INFO"], ["CONFIG", "GET", *compare.wanted_settings(server)]]))
    said = {n: v for n, _colon, v in (line.partition(":") for line in str(info).splitlines())}
    failed = "err" in (said.get("rdb_last_bgsave_status", ""), said.get("aof_last_write_status", ""))
    return {
        **_basics(said), "loading": said.get("loading") == "1", "role": said.get("role", ""),
        "used_memory": int(said.get("used_memory", 0)), "save_failed": failed,
        "live": pairs(config), **_users(link),
    }  # fmt: skip


def _ask_sentinel(watcher: Watcher, link: Link) -> dict[str, Any]:
    info, masters, settings = _checked(
        link.ask_all([["INFO", "SERVER"], ["SENTINEL", "MASTERS"], ["SENTINEL", "CONFIG", "GET", "*"]])
    )
    said = {n: v for n, _colon, v in (line.partition(":") for line in str(info).splitlines())}
    named = {m["name"]: m for m in map(pairs, masters)}
    live = {**pairs(settings), **named.get(watcher.cluster, {})}
    return {**_basics(said), "role": "sentinel", "live": live, **_users(link)}


def _users(link: Link) -> dict[str, Any]:
    """Return the users in force, and the server's own categories, by which rules are compared."""
    lines, names = _checked(link.ask_all([["ACL", "LIST"], ["ACL", "CAT"]]))
    members = _checked(link.ask_all([["ACL", "CAT", name] for name in names]))
    return {"users": tuple(lines), "categories": {n: tuple(m) for n, m in zip(names, members, strict=True)}}


def _basics(said: Mapping[str, str]) -> dict[str, Any]:
    return {"version": said.get("valkey_version") or said.get("redis_version", "")}


def _checked(replies: list[Any]) -> list[Any]:
    for reply in replies:
        if isinstance(reply, ErrorReply):
            raise reply
    return replies
