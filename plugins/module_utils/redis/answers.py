# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What servers of every mode answer alike: INFO, roles, errors. Pure: no Ansible, no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASTER = "master"
REPLICA = "replica"
REASONS: tuple[tuple[str, str], ...] = (
    ("WRONGPASS", "it refuses the user or password"),
    ("NOAUTH", "it wants a user and password"),
    ("NOPERM", "the user may not run this command"),
    ("DENIED", "it runs in protected mode and answers its own host alone"),
    ("LOADING", "it is still loading its data"),
    ("MASTERDOWN", "its master does not answer it"),
    ("BUSY ", "a script keeps it busy"),
    ("max number of clients", "it has as many clients as it may"),
    ("This instance has cluster support disabled", "its cluster mode is off"),
)
"""How an error reply begins, and what it means for us."""
SAVES = ("rdb_last_bgsave_status", "aof_last_bgrewrite_status", "aof_last_write_status")


def pairs(text: str) -> dict[str, str]:
    """Read INFO or CLUSTER INFO: `name:value` lines; comments and other lines are left out."""
    lines = (line.strip() for line in text.splitlines())
    found = (line.partition(":") for line in lines if line and not line.startswith("#"))
    return {name: value for name, colon, value in found if colon}


def reason(error: str) -> str:
    """Put an error reply, or why there was none, in words."""
    return next((said for prefix, said in REASONS if error.startswith(prefix)), error)


def keys_of(info: Mapping[str, str]) -> int:
    """Return how many keys a node holds, in all its databases."""
    found = (re.match(r"keys=(\d+)", v) for k, v in info.items() if re.fullmatch(r"db\d+", k))
    return sum(int(m[1]) for m in found if m)


def server_of(info: Mapping[str, str]) -> tuple[str, str]:
    """Return which server it is (`redis`, `valkey`), and its version."""
    if "valkey_version" in info:
        return "valkey", info["valkey_version"]
    return info.get("server_name", "redis"), info.get("redis_version", "")


def loading_of(info: Mapping[str, str]) -> str:
    """Return how far a server that reads its data is."""
    done = info.get("loading_loaded_perc", "")
    return "it is still loading its data" + (f" ({float(done):.0f} %)" if done else "")


def number_of(found: Mapping[str, str], name: str) -> int:
    """Return a number of INFO; 0 where it has none of that name."""
    return int(found.get(name) or 0)
