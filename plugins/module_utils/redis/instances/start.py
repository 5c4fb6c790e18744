# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts one Redis instance or Sentinel: `start.py run server|sentinel PORT BINARY`, `start.py note PORT`.

`redis_instances` writes this file to hosts as it stands, and the units run it as the service's own user: the standard
library only, no imports of ours. It

- refuses to start empty where there once was data (exit status 78, which the units never restart on),
- keeps the file that the server rewrites to what the server decides (whose replica it is, what a Sentinel learned);
  settings come from our files, which are read last, so that CONFIG REWRITE changes no setting of the next start,
- copies the settings to /run: that copy says what the running process was started with,
- becomes the server.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

CONFIG = "/etc/steelyard/redis"
DATA = "/var/lib/steelyard-redis"
KNOWN = "/var/lib/steelyard-redis-known"
RUN = "/run/steelyard-redis"
STATE_FILE = "state.conf"
SETTINGS = ("settings.conf", "secrets.conf")
STARTED = "started.json"
STATE_DIRECTIVES = frozenset({"replicaof", "slaveof"})
"""What the server itself decides and keeps in its file; everything else there is a copy of a setting."""

REFUSED = 78  # EX_CONFIG of sysexits(3)
KINDS = {"aof": "the append-only file", "rdb": "the snapshot", "nodes": "the node's place in its cluster"}


class WouldStartEmpty(Exception):
    """The server would come up without what it had."""


def directives(text: str) -> dict[str, str]:
    """Return the last value of each directive of a configuration, names in lower case."""
    found = {}
    for line in text.splitlines():
        name, _blank, value = line.strip().partition(" ")
        if name and not name.startswith("#"):
            found[name.lower()] = " ".join(shlex.split(value)) if value.count('"') % 2 == 0 else value
    return found


def data_seen(data: Path, settings: Mapping[str, str]) -> set[str]:
    """Return which kinds of data there are: aof, rdb, nodes."""
    found = set()
    manifests = data / settings.get("appenddirname", "appendonlydir")
    name = settings.get("appendfilename", "appendonly.aof")
    if (manifests / f"{name}.manifest").is_file() or (data / name).is_file():
        found.add("aof")
    if (data / settings.get("dbfilename", "dump.rdb")).is_file():
        found.add("rdb")
    nodes = data / settings.get("cluster-config-file", "nodes.conf")
    if nodes.is_file() and nodes.stat().st_size:
        found.add("nodes")
    return found


def read_known(known: Path) -> set[str]:
    """Return the kinds of data that the instance is known to have had; empty before its first start."""
    try:
        return {str(kind) for kind in json.loads(known.read_text(encoding="utf-8"))["had"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()


def judge(seen: set[str], had: set[str], settings: Mapping[str, str]) -> tuple[str, ...]:
    """Return the kinds that are missing and would be missed; a server reads its append-only file where it has one."""
    lost = set()
    if not seen & {"aof", "rdb"}:
        lost |= had & {"aof", "rdb"}
    if settings.get("appendonly", "no") == "yes" and "aof" not in seen:
        lost |= had & {"aof"}
    if settings.get("cluster-enabled", "no") == "yes" and "nodes" not in seen:
        lost |= had & {"nodes"}
    return tuple(sorted(lost))


def require_data(port: str, data: Path, known: Path, seen: set[str], settings: Mapping[str, str]) -> None:
    """Raise WouldStartEmpty where what is known to have been there is not."""
    lost = judge(seen, read_known(known), settings)
    if lost:
        raise WouldStartEmpty(
            f"redis on port {port} does not start: {data} lacks {' and '.join(KINDS[k] for k in lost)} that was there"
            f" before. Remedy: mount its disk or restore its backup there, then start it; where it is to start without,"
            f" remove {known} and start it"
        )


def reduced(text: str) -> str:
    """Return the state file of a server without the settings that CONFIG REWRITE copied into it."""
    kept = [line for line in text.splitlines() if line.strip().split(" ", 1)[0].lower() in STATE_DIRECTIVES]
    return "".join(f"{line}\n" for line in kept)


def merged(state: str, settings: str) -> str:
    """Return a Sentinel's file: our settings in place of the ones it has, and all else that it wrote itself."""
    ours = set(directives(settings)) - {"sentinel"}
    kept = []
    for line in state.splitlines():
        name = line.strip().split(" ", 1)[0].lower()
        if name and not name.startswith("#") and name not in ours:
            kept.append(line)
    return settings.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in kept)


def replace(path: Path, text: str) -> None:
    """Write a private file that is whole or as it was before, whenever the power fails."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(handle)
    os.replace(aside, path)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def note(port: str, root: str = "") -> None:
    """Remember which kinds of data the instance has; what it once had stays remembered."""
    known = Path(f"{root}{KNOWN}/{port}")
    settings = directives("\n".join(_text(Path(f"{root}{CONFIG}/{port}", name)) for name in SETTINGS))
    had = read_known(known)
    now = had | data_seen(Path(f"{root}{DATA}/{port}"), settings)
    if now != had:
        replace(known, json.dumps({"had": sorted(now), "since": int(time.time())}) + "\n")


def prepare_server(port: str, root: str = "") -> list[str]:
    """Judge and write what the server is to start from; returns its arguments. Raises WouldStartEmpty."""
    config, data, run = (Path(f"{root}{base}/{port}") for base in (CONFIG, DATA, RUN))
    state = data / STATE_FILE
    texts = {name: _text(config / name) for name in SETTINGS}
    settings = directives("\n".join(texts.values()))
    seen = data_seen(data, settings)
    require_data(port, data, Path(f"{root}{KNOWN}/{port}"), seen, settings)
    if not state.is_file():
        raise WouldStartEmpty(
            f"redis on port {port} does not start: {state} is missing. Remedy: run playbooks/site.yml"
        )
    note(port, root)
    text = _text(state)
    if reduced(text) != text:
        replace(state, reduced(text))
    arguments = [str(state)]
    for name in SETTINGS:
        replace(run / name, texts[name])
        arguments += ["--include", str(run / name)]
    if settings.get("appendonly", "no") == "yes" and "aof" not in seen and "rdb" in seen:
        # A server with an append-only file switched on and none there starts empty, beside a full snapshot.
        sys.stdout.write(
            f"redis on port {port}: no append-only file yet, starts from its snapshot; site.yml switches it on\n"
        )
        arguments += ["--appendonly", "no"]
    return arguments


def prepare_sentinel(port: str, root: str = "") -> list[str]:
    """Put our settings into the file that the Sentinel keeps; returns its arguments."""
    config, data, run = (Path(f"{root}{base}/sentinel-{port}") for base in (CONFIG, DATA, RUN))
    state = data / STATE_FILE
    if not state.is_file():
        raise WouldStartEmpty(f"sentinel {port} does not start: {state} is missing. Remedy: run playbooks/site.yml")
    texts = {name: _text(config / name) for name in SETTINGS}
    for name, text in texts.items():
        replace(run / name, text)
    before = _text(state)
    after = merged(before, "\n".join(texts.values()))
    if after != before:
        replace(state, after)
    return [str(state), "--sentinel"]


def main(argv: Sequence[str], root: str = "") -> int:
    """Return an exit status, or become the server."""
    return _run(argv, root) if argv[0] == "run" else _note(argv[1], root)


def _note(port: str, root: str) -> int:
    note(port, root)
    return 0


def _run(argv: Sequence[str], root: str) -> int:
    kind, port, binary = argv[1:4]
    prepare = prepare_sentinel if kind == "sentinel" else prepare_server
    try:
        arguments = prepare(port, root)
    except WouldStartEmpty as refusal:
        sys.stderr.write(f"{refusal}\n")
        return REFUSED
    directory = port if kind == "server" else f"sentinel-{port}"
    started = {"unit": os.environ.get("STEELYARD_UNIT", ""), "at": int(time.time())}
    replace(Path(f"{root}{RUN}/{directory}", STARTED), json.dumps(started) + "\n")
    sys.stdout.flush()
    return _become([binary, *arguments])


def _become(argv: list[str]) -> NoReturn:
    os.execv(argv[0], argv)  # noqa: S606 (no shell is what is wanted)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
