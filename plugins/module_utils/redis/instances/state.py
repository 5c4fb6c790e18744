# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found on one host of its Redis instances and Sentinels. Pure. No secret is in what `as_dict` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import SeenFile
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import RUNNING


@dataclass(frozen=True)
class Note(Portable):
    """What the last run that proved an instance wrote down, private to root.

    `secrets` is a digest of what cannot be read back. `admin` is the password that was in force, needed to put another
    one in force. `settings` are the settings files with which it was ready last.
    """

    secrets: str = ""
    admin: str = field(default="", repr=False)
    settings: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True)
class SeenOne:
    """One server or Sentinel, by whatever trace it left.

    `active` is systemd's ActiveState, or `crashing` between two automatic restarts. `error` says why it did not answer,
    `refused` that it did not take our password. `live` are the settings that it works with, of those that are wanted;
    `started_with` those that it read at its start, by name. `users` are the lines of its ACL and `categories`
    what its commands belong to. `own` says that its directory is ours, `foreign` that there
    is one that is not. Sizes are bytes; `started` is in seconds since 1970.
    """

    key: str
    active: str = "inactive"
    enabled: bool = False
    started: float = 0
    own: bool = False
    foreign: bool = False
    error: str = ""
    refused: bool = False
    loading: bool = False
    role: str = ""
    version: str = ""
    used_memory: int = 0
    save_failed: bool = False
    live: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    started_with: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    unit: str = ""
    users: tuple[str, ...] = field(default=(), repr=False)
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, repr=False)
    note: Note = field(default_factory=Note, repr=False)

    @property
    def running(self) -> bool:
        """Whether systemd holds a process of it, or is about to start one."""
        return self.active in RUNNING

    @property
    def answers(self) -> bool:
        """Whether it serves: it could be asked and has read its data."""
        return self.running and not self.error and not self.loading

    def as_dict(self) -> dict[str, Any]:
        """Return what may be shown of it."""
        shown = ("key", "active", "enabled", "started", "error", "loading", "role", "version", "used_memory")
        return {**{name: getattr(self, name) for name in shown}, "ready": self.answers}


@dataclass(frozen=True)
class Seen:
    """One host. `package` is the installed version, empty for none, `held` that upgrades leave it alone; `server` is
    the version of its program.

    `quiet` says that the unit that the package brings is masked. `loaded` is false while systemd works with other files
    than those on the disk, or an earlier run did not see that it took them. `leftovers` is everything of ours.
    """

    package: str = ""
    held: bool = False
    server: str = ""
    quiet: bool = True
    loaded: bool = True
    files: Mapping[str, SeenFile] = field(default_factory=dict, hash=False)
    ones: Mapping[str, SeenOne] = field(default_factory=dict, hash=False)
    leftovers: tuple[str, ...] = ()
