# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which process it is, and whether it has ended, told apart from a later one with the same number.

A process number alone proves nothing: numbers are used again. Host, boot, process-number space and start time
together name one process for good.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable


@dataclass(frozen=True)
class Process(Portable):
    """One process for all time.

    `boot_id` is the kernel's boot, a slash and the number space (containers share a boot but not their numbers);
    `start` is in clock ticks since that boot, from /proc/PID/stat. Both are empty or 0 where there is no /proc.
    """

    host: str
    boot_id: str
    pid: int
    start: int

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def this_process() -> Process:
    """Return the identity of the calling process."""
    return process_of(os.getpid())


def process_of(pid: int) -> Process:
    """Return the identity of a process of this host."""
    return Process(socket.gethostname(), boot_id(), pid, start_of(pid) or 0)


def is_alive(process: Process) -> bool | None:
    """Return whether `process` still runs; None when that cannot be known from here.

    Known to have ended: another boot of this host, a free number, or a number with another start time. A process of
    another host, or of another number space (a container) of this one, cannot be judged. Where there is no /proc
    neither boot nor start is known: a free number has ended, and of one that is taken nothing can be said, as it may
    be another process. That rests on the host's name alone; the lease's token fences whoever it wrongs.
    """
    here = boot_id()
    if process.host != socket.gethostname():
        return None
    if not process.boot_id and not here:
        return None if number_is_taken(process.pid) else False
    if not process.boot_id or not here:
        return None
    if process.boot_id != here:
        same_boot = process.boot_id.partition("/")[0] == here.partition("/")[0]
        return None if same_boot else False
    return start_of(process.pid) == process.start


def boot_id() -> str:
    """Return this boot and this process-number space; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink().name  # pid:[4026531836]
    except OSError:
        return ""
    return f"{boot}/{space.removeprefix('pid:').strip('[]')}"


def number_is_taken(pid: int) -> bool:
    """Return whether some process of this host has this number, on any POSIX system (kill(2) with signal 0)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def start_of(pid: int) -> int | None:
    """Return when a process of this host started, in clock ticks since boot; None when it has ended.

    A zombie has ended: it holds only its number. Fields of /proc/PID/stat are counted after the command's closing
    parenthesis, because the command may contain spaces (proc(5): state is field 3, starttime field 22).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])
