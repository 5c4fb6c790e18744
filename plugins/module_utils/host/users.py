# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Accounts as they should be, and the commands that get there. Pure: values in, argument lists out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused

_NAME = re.compile(r"^[a-z_][a-z0-9_-]{0,31}$")
_KEY = re.compile(r"^(?:[a-z0-9@\"=,:/ .*_-]+ )?(?:ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: .*)?$")


@dataclass(frozen=True)
class WantedUser:
    """One account. `authorized_keys` None leaves its keys alone; groups are added, never taken away."""

    name: str
    state: str = "present"
    uid: int | None = None
    groups: tuple[str, ...] = ()
    shell: str = "/bin/bash"
    system: bool = False
    authorized_keys: tuple[str, ...] | None = None

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> WantedUser:
        """Build from one entry of `base_users`; keys that only the role reads are ignored."""
        keys = raw.get("authorized_keys")
        return cls(
            name=str(raw["name"]), state=raw.get("state") or "present", uid=raw.get("uid"),
            groups=tuple(raw.get("groups") or ()), shell=raw.get("shell") or "/bin/bash",
            system=bool(raw.get("system")), authorized_keys=None if keys is None else tuple(keys),
        )  # fmt: skip


@dataclass(frozen=True)
class SeenUser:
    """One account as found, with the groups it is in and the content of its authorized_keys."""

    uid: int
    home: str
    shell: str
    groups: frozenset[str] = frozenset()
    authorized_keys: str = ""


def problems(users: Sequence[WantedUser]) -> list[Problem]:
    """Return what is wrong with the accounts, before any is touched."""
    found = []
    names = [user.name for user in users]
    for user in users:
        where = f"base_users: {user.name}"
        if not _NAME.match(user.name):
            found.append(Problem(where, "a name is lower case, at most 32 characters", repr(user.name), "rename it"))
        if names.count(user.name) > 1:
            found.append(Problem(where, "an account is listed once", "twice", "remove one of them"))
        if user.name == "root" and user.state == "absent":
            found.append(Problem(where, "root stays", "absent", "remove the entry"))
        for key in user.authorized_keys or ():
            if not _KEY.match(key.strip()):
                remedy = "give the line of the .pub file"
                found.append(Problem(where, "a key is one line of a public key file", key[:24] + "…", remedy))
    return found


def commands(user: WantedUser, seen: SeenUser | None) -> list[list[str]]:
    """Return the argument lists that make the account as wanted, empty when it is; raises Refused on another uid."""
    if user.state == "absent":
        return [] if seen is None else [["userdel", "--", user.name]]
    if seen is None:
        argv = ["useradd", "--shell", user.shell, *(["--system"] if user.system else []), "--create-home"]
        argv += ["--uid", str(user.uid)] if user.uid is not None else []
        argv += ["--groups", ",".join(user.groups)] if user.groups else []
        return [[*argv, "--", user.name]]
    if user.uid is not None and user.uid != seen.uid:
        remedy = "files would be orphaned: change the account by hand, or state the uid it has"
        raise Refused(f"{user.name} has the uid {user.uid}", seen.uid, remedy, "base_users")
    found = []
    if user.shell != seen.shell:
        found.append(["usermod", "--shell", user.shell, "--", user.name])
    if set(user.groups) - seen.groups:
        found.append(["usermod", "--append", "--groups", ",".join(user.groups), "--", user.name])
    return found


def keys_text(user: WantedUser) -> str | None:
    """Return the authorized_keys file as wanted; None when it is left alone."""
    if user.authorized_keys is None or user.state == "absent":
        return None
    return "".join(f"{key.strip()}\n" for key in user.authorized_keys)
