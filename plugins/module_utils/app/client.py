# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What knows this host: its files, systemd, /proc, probes over HTTP and TCP. Reads only."""

from __future__ import annotations

import glob
import http.client
import json
import os
import pwd
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app import parse, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import ROOT, Instance, Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen, SeenInstance, SeenRelease
from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import read_file
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import HEADER, SeenFile
from ansible_collections.steelyard.stack.plugins.module_utils.systemd import show
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import (
    UNIT_DIR,
    WANTS_DIR,
    active_state,
    seconds,
    unix_time,
)

GOOD_DIR = "/var/lib/steelyard/app/good"
RELEASE_NOTE = ".steelyard-release.json"
PARTIAL_NOTE = ".steelyard-partial"
GECOS = "Steelyard application instances"
_WANTS = f"{WANTS_DIR}/app@*.service"


@dataclass(frozen=True)
class Probe:
    """One answer of one instance: whether it is ready, and what was seen."""

    ready: bool
    saw: str


def probe(instance: Instance, path: str | None = None, timeout: float = 2.0) -> Probe:
    """Ask one instance through its own address: GET of the path (2xx is ready), or a TCP connection without one."""
    where = path if path is not None else (instance.readiness or instance.health)
    address = instance.probe_address
    try:
        if not where:
            socket.create_connection((address, instance.port), timeout).close()
            return Probe(True, f"{address}:{instance.port} accepts connections")
        connection = http.client.HTTPConnection(address, instance.port, timeout=timeout)
        try:
            connection.request("GET", where, headers={"User-Agent": "steelyard", "Connection": "close"})
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        return Probe(False, f"{address}:{instance.port}{where}: {error or type(error).__name__}")
    return Probe(200 <= status < 300, f"{address}:{instance.port}{where} answered {status}")


def environ_of(pid: int) -> dict[str, str]:
    """Return the environment that a process was started with; empty when it has gone."""
    try:
        return parse.environ(Path(f"/proc/{pid}/environ").read_bytes()) if pid else {}
    except OSError:
        return {}


def read_good(port: int) -> dict[str, Any]:
    """Return the configuration of an instance that last proved ready; empty when none did."""
    try:
        found: dict[str, Any] = json.loads(Path(f"{GOOD_DIR}/{port}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def read_releases(root: str = ROOT) -> dict[str, SeenRelease]:
    """Return every directory below releases/, complete or not."""
    found = {}
    for path in sorted(glob.glob(f"{root}/releases/*")):
        name = os.path.basename(path)
        try:
            note = json.loads(Path(path, RELEASE_NOTE).read_text(encoding="utf-8"))
            checksum, installed = str(note["checksum"]), float(note["installed"])
            found[name] = SeenRelease(name, checksum, installed, python=str(note.get("python", "")))
        except (OSError, ValueError, KeyError):
            found[name] = SeenRelease(name, complete=False)
    return found


def read_current(root: str = ROOT) -> dict[str, str]:
    """Return the release that each class's `current` link names."""
    links = [p for p in glob.glob(f"{root}/*/current") if os.path.islink(p)]
    return {os.path.basename(os.path.dirname(p)): os.path.basename(os.readlink(p)) for p in links}


def read_files(paths: Iterable[str]) -> dict[str, SeenFile]:
    """Return the files of ours that exist, and those at the given paths."""
    patterns = (
        f"{UNIT_DIR}/app@*.service.d/steelyard.conf", f"{unit_files.CONFIG_DIR}/*.env",
        f"{unit_files.CONFIG_DIR}/*.secrets", f"{UNIT_DIR}/app-*.slice",
        unit_files.slice_path(), unit_files.template_path(),
    )  # fmt: skip
    found = {}
    asked = set(paths)
    for path in sorted(asked | {p for pattern in patterns for p in glob.glob(pattern)}):
        seen = read_file(path)
        if seen is not None and (path in asked or seen.content.startswith(HEADER)):
            found[path] = seen
    return found


def half_written() -> list[str]:
    """Return what a run that was killed between making and naming a file left: temporary files, empty drop-ins."""
    found = glob.glob(f"{UNIT_DIR}/.app*.steelyard-new")
    found += glob.glob(f"{UNIT_DIR}/app@*.service.d/.steelyard.conf.steelyard-new")
    return found + [d for d in glob.glob(f"{UNIT_DIR}/app@*.service.d") if not os.listdir(d)]


def read_host(wanted: Sequence[Instance], whole: Slice, interrupted: bool = False) -> Seen:
    """Return everything that a plan rests on. `interrupted`: files were swapped in and not proven loaded."""
    files = read_files(f.path for f in unit_files.host_files(wanted, whole))
    placed = {i.port: i for i in wanted}
    listed = run(["systemctl", "list-units", "--all", "--plain", "--no-legend", "--full", "app@*.service"], check=False)
    good = glob.glob(f"{GOOD_DIR}/*.json")
    ports = parse.ports_in([*files, *half_written(), *glob.glob(_WANTS), *listed.splitlines()])
    ports |= {int(Path(p).stem) for p in [*good, *(f for f in files if f.startswith(unit_files.CONFIG_DIR))]}
    slices = ["app.slice", *(os.path.basename(p) for p in files if p.endswith(".slice") and "/app-" in p)]
    units = show([*(f"app@{p}.service" for p in sorted(ports | set(placed))), *slices]) if ports | set(placed) else {}
    instances = {p: _read_instance(p, units.get(f"app@{p}.service", {}), files, placed.get(p)) for p in sorted(ports)}
    releases, current, user = read_releases(), read_current(), account()
    leftovers = [*files, *half_written(), *sorted(releases), *sorted(current), *good]
    leftovers += [p for p in (f"{ROOT}/releases", unit_files.CONFIG_DIR, GOOD_DIR) if os.path.isdir(p)]
    leftovers += [unit_files.USER] if user == GECOS else []
    return Seen(
        user=user is not None,
        loaded=not interrupted and _loaded(units, files, whole if wanted else None),
        files=files,
        instances=instances,
        releases=releases,
        current=current,
        leftovers=tuple(leftovers),
    )


def account() -> str | None:
    """Return the comment of the account, None when there is no such account."""
    try:
        return pwd.getpwnam(unit_files.USER).pw_gecos
    except KeyError:
        return None


def _loaded(units: Mapping[str, Mapping[str, str]], files: Mapping[str, SeenFile], whole: Slice | None) -> bool:
    """Whether systemd works with the files on the disk, and the quota of app.slice is the wanted one."""
    if any(u.get("NeedDaemonReload") == "yes" for u in units.values()):
        return False
    shown = units.get("app.slice", {})
    if whole is None or unit_files.slice_path() not in files:
        return True
    memory = str(whole.memory_max) if whole.memory_max else "infinity"
    quota = seconds(shown.get("CPUQuotaPerSecUSec", "infinity"), 0) * 100
    return shown.get("MemoryMax", "infinity") == memory and abs(quota - whole.cpu_quota) < 0.01


def _read_instance(
    port: int, unit: Mapping[str, str], files: Mapping[str, SeenFile], wanted: Instance | None
) -> SeenInstance:
    state = active_state(unit)
    process = environ_of(int(unit.get("MainPID") or 0))
    file = files.get(unit_files.instance_paths(port)[1])
    text = file.content if file else ""
    good = read_good(port)
    seen = Probe(False, "")
    if state == "active" and wanted is not None:
        seen = probe(wanted)
    return SeenInstance(
        port=port,
        class_name=parse.environment_value(text, "STEELYARD_CLASS") or process.get("STEELYARD_CLASS", ""),
        active=state,
        enabled=unit.get("UnitFileState") == "enabled",
        config=process.get("STEELYARD_CONFIG", ""),
        release=process.get("STEELYARD_RELEASE", ""),
        file_release=parse.environment_value(text, "STEELYARD_RELEASE"),
        good_config=str(good.get("config", "")),
        good_release=str(good.get("release", "")),
        started=unix_time(unit.get("ActiveEnterTimestamp", "")),
        ready=seen.ready,
        saw=seen.saw,
    )
