# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the kernel, dpkg and systemd print, turned into values. Pure: text in, values out, no I/O."""

from __future__ import annotations

import ipaddress
import posixpath
import re
import shlex
from collections.abc import Mapping, Sequence

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LISTEN = "0A"
_NO_LIMIT = 2**60  # cgroup v1 writes "no limit" as the largest page-aligned number
_REAL_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay", "nfs", "nfs4")
_UNIT = re.compile(r"^[^/]+\.(?:service|scope|socket|mount|slice)$")


def os_release(text: str, machine: str) -> dict[str, str]:
    """Return id, version_id, codename and Debian's name of the architecture from /etc/os-release."""
    pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
    found = {key: "".join(shlex.split(value)) if '"' not in value else value.strip('"') for key, value in pairs}
    return {
        "id": found.get("ID", ""),
        "version_id": found.get("VERSION_ID", ""),
        "codename": found.get("VERSION_CODENAME", ""),
        "arch": ARCHITECTURES.get(machine, machine),
    }


def meminfo(text: str) -> dict[str, int]:
    """Return the bytes of each line of /proc/meminfo."""
    found = {}
    for line in text.splitlines():
        key, _colon, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            found[key] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return found


def cgroup_directories(cgroup: str, mountinfo: str, controller: str) -> tuple[int, tuple[str, ...]]:
    """Return the cgroup version and the directories whose limits of `controller` bind a process, innermost first.

    `cgroup` is the process's /proc/PID/cgroup. (0, ()) when the controller is not to be seen.
    """
    paths = {}
    for line in cgroup.splitlines():
        number, names, path = line.split(":", 2)
        paths["" if number == "0" else names] = path
    for names, path in paths.items():
        if controller in names.split(","):
            return 1, _walk_up(_mount_of(mountinfo, "cgroup", controller), path)
    if "" in paths:
        return 2, _walk_up(_mount_of(mountinfo, "cgroup2", ""), paths[""])
    return 0, ()


def _mount_of(mountinfo: str, kind: str, controller: str) -> tuple[str, str] | None:
    """Return root and mount point of a cgroup hierarchy."""
    for line in mountinfo.splitlines():
        before, _dash, after = line.partition(" - ")
        fields, rest = before.split(), after.split()
        if len(rest) >= 3 and rest[0] == kind and (not controller or controller in rest[2].split(",")):
            return fields[3], fields[4]
    return None


def _walk_up(mount: tuple[str, str] | None, path: str) -> tuple[str, ...]:
    if mount is None:
        return ()
    root, point = mount
    inside = path[len(root) :] if root != "/" and (path + "/").startswith(root + "/") else path
    inside = posixpath.normpath("/" + inside.lstrip("/")) if not inside.startswith("/..") else "/"
    found = [point + inside.rstrip("/")]
    while inside != "/":
        inside = posixpath.dirname(inside)
        found.append(point + inside.rstrip("/"))
    return tuple(found)


def memory_limit(text: str) -> int | None:
    """Return the bytes in memory.max (v2) or memory.limit_in_bytes (v1); None when there is no limit."""
    word = text.strip()
    return int(word) if word.isdigit() and int(word) < _NO_LIMIT else None


def cpu_limit_v2(text: str) -> float | None:
    """Return the CPUs in cpu.max (`150000 100000`); None when there is no limit."""
    words = text.split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else None


def cpu_limit_v1(quota: str, period: str) -> float | None:
    """Return the CPUs in cpu.cfs_quota_us and cpu.cfs_period_us; None when there is no limit."""
    quota, period = quota.strip(), period.strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def listening_sockets(text: str) -> list[tuple[str, int, int]]:
    """Return address, port and inode of each listening socket of /proc/net/tcp or tcp6."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _LISTEN:
            address, port = socket_address(fields[1])
            found.append((address, port, int(fields[9])))
    return found


def socket_address(field: str) -> tuple[str, int]:
    """Return address and port of the kernel's `0100007F:1F90`; an IPv4 address in IPv6 is given as IPv4."""
    digits, port = field.split(":")
    words = [bytes.fromhex(digits[i : i + 8])[::-1] for i in range(0, len(digits), 8)]
    address = ipaddress.ip_address(b"".join(words))
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address), int(port, 16)


def unit_of_cgroup(text: str) -> str:
    """Return the systemd unit in /proc/PID/cgroup: `nginx.service`; empty when there is none."""
    return next((u for u in reversed(_units(text)) if not u.endswith(".slice")), "")


def slice_of_cgroup(text: str) -> str:
    """Return the innermost slice in /proc/PID/cgroup: `app-api.slice`; empty when there is none."""
    return next((u for u in reversed(_units(text)) if u.endswith(".slice")), "")


def _units(text: str) -> list[str]:
    """Return systemd's units in /proc/PID/cgroup, the outermost first."""
    fields = (line.split(":", 2) for line in text.splitlines())
    return [p for _n, names, path in fields if names in ("", "name=systemd") for p in path.split("/") if _UNIT.match(p)]


def dpkg_versions(text: str, names: Sequence[str]) -> dict[str, str | None]:
    """Return the installed version of each name, None where it is not installed.

    `text` has lines of package, status and version, separated by tabs.
    """
    found: dict[str, str | None] = dict.fromkeys(names)
    for line in text.splitlines():
        package, status, version = line.split("\t")
        if package in found and status == "installed":
            found[package] = version
    return found


def unit_blocks(text: str, names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the properties of each unit from `systemctl show`, which prints one block a unit in the order asked."""
    blocks = [dict(line.split("=", 1) for line in b.splitlines() if "=" in line) for b in text.strip().split("\n\n")]
    return {name: block for name, block in zip(names, blocks, strict=False) if block}


def mounts(text: str) -> list[str]:
    """Return the mount points in /proc/mounts that hold data: disks, and memory where it is not the system's own."""
    found = []
    for line in text.splitlines():
        point, kind = line.split()[1:3]
        point = point.replace("\\040", " ")
        sized = kind == "tmpfs" and not re.match(r"^/(?:run|dev|proc|sys|tmp)(?:/|$)", point)
        if kind in _REAL_FILESYSTEMS or sized:
            found.append(point)
    return found


def swap_bytes(text: str) -> int:
    """Return the size of all swap in /proc/swaps."""
    return sum(int(line.split()[-3]) * 1024 for line in text.splitlines()[1:] if line.split())


def chosen(text: str) -> str:
    """Return the word in brackets of `always [madvise] never`; empty when there is none."""
    match = re.search(r"\[(\w+)\]", text)
    return match.group(1) if match else ""


def parent_of(stat: str) -> int:
    """Return the parent in /proc/PID/stat; the process's name in it may hold spaces and brackets."""
    return int(stat.rpartition(")")[2].split()[1])


def ssh_peer(environment: str) -> str:
    """Return the client's address of SSH_CONNECTION in /proc/PID/environ; empty when it is not there."""
    for pair in environment.split("\0"):
        if pair.startswith("SSH_CONNECTION="):
            return pair.split("=", 1)[1].split(" ")[0]
    return ""


def nofile_hard(text: str) -> int:
    """Return the hard limit of open files in /proc/PID/limits; 0 when not known."""
    for line in text.splitlines():
        if line.startswith("Max open files"):
            word = line.split()[4]
            return int(word) if word.isdigit() else 0
    return 0


def sysctl_path(name: str) -> str:
    """Return the file of a sysctl: `net.ipv4.conf.eth0/1.rp_filter` keeps its dot as systemd-sysctl writes it."""
    return "/proc/sys/" + "/".join(part.replace("/", ".") for part in name.split("."))


def container_kind(systemd_says: str, environment: Mapping[str, str]) -> str:
    """Return docker, podman, lxc … from /run/systemd/container or PID 1's environment; empty on a machine."""
    return systemd_says.strip() or environment.get("container", "")


def timezone_of(link: str) -> str:
    """Return `Europe/Vienna` from the target of /etc/localtime; empty when it is not a link to a zone."""
    return link.partition("zoneinfo/")[2]
