# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a run needs to know of this host: one process, the standard library, at most two short commands."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.host import parse

UNIT_PROPERTIES = (
    "Id", "LoadState", "ActiveState", "SubState", "UnitFileState", "NeedDaemonReload", "MainPID", "FragmentPath",
    "ActiveEnterTimestampMonotonic", "NRestarts",
)  # fmt: skip
RESOLVE_DEADLINE = 5.0
_STAMP_LIMIT = 4096


def gather(
    packages: Sequence[str] = (),
    units: Sequence[str] = (),
    resolve: Sequence[str] = (),
    sysctls: Sequence[str] = (),
    stamps: Sequence[str] = (),
) -> dict[str, Any]:
    """Return everything, in JSON types; what cannot be read is null or empty, never an error."""
    memory = parse.meminfo(_text("/proc/meminfo"))
    return {
        "os": parse.os_release(_text("/etc/os-release"), os.uname().machine),
        "boot_id": _text("/proc/sys/kernel/random/boot_id").strip(),
        "hostname": socket.gethostname(),
        "memory_bytes": memory.get("MemTotal", 0),
        "memory_available_bytes": memory.get("MemAvailable", 0),
        "cgroup_memory_bytes": _cgroup_memory(),
        "cpus": len(os.sched_getaffinity(0)),
        "cgroup_cpus": _cgroup_cpus(),
        "swap_bytes": parse.swap_bytes(_text("/proc/swaps")),
        "disks": _disks(),
        "uid": os.getuid(),
        "ssh_peer": ssh_peer(),
        "virtualization": _virtualization(),
        "python": list(sys.version_info[:2]),
        "nofile_hard": parse.nofile_hard(_text("/proc/1/limits")),
        "thp": _transparent_huge_pages(),
        "timezone": _timezone(),
        "listening": listening(),
        "resolve": _resolve(resolve),
        "packages": package_versions(packages),
        "units": unit_states(units),
        **_sysctls(sysctls),
        "stamps": {path: _stamp(path) for path in stamps},
        "time": time.time(),
    }


def package_versions(names: Sequence[str]) -> dict[str, str | None]:
    """Return the installed version of Debian packages, None where not installed."""
    if not names:
        return {}
    argv = ["dpkg-query", "-W", "-f", "${Package}\t${db:Status-Status}\t${Version}\n", "--", *names]
    return parse.dpkg_versions(_output(argv), names)


def unit_states(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return what systemd says of units, in one call."""
    if not names:
        return {}
    argv = ["systemctl", "show", f"--property={','.join(UNIT_PROPERTIES)}", "--", *names]
    return parse.unit_blocks(_output(argv), names)


def listening() -> list[dict[str, Any]]:
    """Return the listening TCP sockets with the process, unit and slice that own them (as far as we may see)."""
    sockets = []
    for name in ("tcp", "tcp6"):
        sockets += parse.listening_sockets(_text(f"/proc/net/{name}"))
    owners = _owners({inode for _address, _port, inode in sockets})
    found = []
    for address, port, inode in sockets:
        process, unit, within = owners.get(inode, ("", "", ""))
        found.append({"address": address, "port": port, "process": process, "unit": unit, "slice": within})
    return sorted(found, key=lambda s: (s["port"], s["address"]))


def _owners(inodes: set[int]) -> dict[int, tuple[str, str, str]]:
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    found: dict[int, tuple[str, str, str]] = {}
    for pid in sorted((int(n) for n in os.listdir("/proc") if n.isdigit()), reverse=True):
        try:
            links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue  # ended meanwhile, or not ours to see
        for link in links & wanted.keys():
            cgroup = _text(f"/proc/{pid}/cgroup")
            units = parse.unit_of_cgroup(cgroup), parse.slice_of_cgroup(cgroup)
            found[wanted[link]] = (_text(f"/proc/{pid}/comm").strip(), *units)
    return found


def _cgroup(controller: str) -> tuple[int, tuple[str, ...]]:
    """Where the machine's own limits are: those of process 1, not of the session this module runs in."""
    return parse.cgroup_directories(_text("/proc/1/cgroup"), _text("/proc/self/mountinfo"), controller)


def _cgroup_memory() -> int | None:
    version, directories = _cgroup("memory")
    name = "memory.max" if version == 2 else "memory.limit_in_bytes"
    limits = (parse.memory_limit(_text(f"{d}/{name}")) for d in directories)
    return min((limit for limit in limits if limit is not None), default=None)


def _cgroup_cpus() -> float | None:
    version, directories = _cgroup("cpu")
    if version == 2:
        limits = [parse.cpu_limit_v2(_text(f"{d}/cpu.max")) for d in directories]
    else:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        limits = [parse.cpu_limit_v1(*(_text(f"{d}/{n}") for n in names)) for d in directories]
    return min((limit for limit in limits if limit is not None), default=None)


def _disks() -> list[dict[str, Any]]:
    """One entry a file system: a directory of one that is mounted once more has the same device number."""
    found: dict[int, dict[str, Any]] = {}
    for point in parse.mounts(_text("/proc/mounts")):
        try:
            status, device = os.statvfs(point), os.stat(point).st_dev
        except OSError:
            continue
        if os.path.isdir(point):
            size, free = status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize
            found.setdefault(device, {"mount": point, "size": size, "free": free})
    return list(found.values())


def ssh_peer() -> str:
    """Sudo drops the variable, so it is looked for in the processes above this one."""
    peer = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    pid = os.getpid()
    while not peer and pid > 1:
        peer = parse.ssh_peer(_text(f"/proc/{pid}/environ"))
        stat = _text(f"/proc/{pid}/stat")
        pid = parse.parent_of(stat) if stat else 0
    return peer


def _virtualization() -> str:
    pairs = (p.split("=", 1) for p in _text("/proc/1/environ").split("\0") if "=" in p)
    kind = parse.container_kind(_text("/run/systemd/container"), dict(pairs))
    return kind or ("docker" if os.path.exists("/.dockerenv") else "")


def _transparent_huge_pages() -> dict[str, Any]:
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    return {"enabled": parse.chosen(_text(path)), "writable": os.access(path, os.W_OK)}


def _timezone() -> str:
    try:
        return parse.timezone_of(os.readlink("/etc/localtime"))
    except OSError:
        return ""


def _sysctls(names: Sequence[str]) -> dict[str, Any]:
    values: dict[str, str | None] = {}
    readonly = []
    for name in names:
        path = parse.sysctl_path(name)
        values[name] = " ".join(_text(path).split()) if os.path.exists(path) else None
        if not os.access(path, os.W_OK):  # also says no on a read-only mount, as in a container
            readonly.append(name)
    return {"sysctl": values, "sysctl_readonly": readonly}


def _resolve(names: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """Look all names up at once; one that has no answer in time is as good as unknown."""
    found: dict[str, dict[str, list[str]]] = {name: {"addresses": [], "names": []} for name in names}
    threads = [threading.Thread(target=_look_up, args=(name, found[name]), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    end = time.monotonic() + RESOLVE_DEADLINE
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    return {name: {key: list(value) for key, value in answer.items()} for name, answer in found.items()}


def _look_up(name: str, answer: dict[str, list[str]]) -> None:
    try:
        infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return
    answer["addresses"] = sorted({str(info[4][0]) for info in infos})
    for address in answer["addresses"]:
        try:
            first, more, _addresses = socket.gethostbyaddr(address)
        except OSError:
            continue
        answer["names"] = sorted({*answer["names"], first, *more})


def _stamp(path: str) -> str | None:
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_STAMP_LIMIT)
    except OSError:
        return None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _output(argv: Sequence[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    try:
        run = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=20, check=False, env=environment
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout
