# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every service's sizing begins with. Pure."""

from __future__ import annotations

MIB = 2**20


def system_share(memory: int) -> int:
    """Return what the operating system keeps of a host's memory, in bytes: an eighth, 64 MiB to 1 GiB.

    Our own rule: a minimal Debian with systemd, sshd and journald stays below 64 MiB of memory that cannot be
    given back; on larger hosts more goes to kernel structures, up to 1 GiB.
    """
    return min(max(memory // 8, 64 * MIB), 1024 * MIB)
