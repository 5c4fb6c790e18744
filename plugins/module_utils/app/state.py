# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What was found on one host: releases, files, instances as systemd and the processes themselves tell. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import SeenFile
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import RUNNING


@dataclass(frozen=True)
class SeenInstance(Portable):
    """One `app@<port>.service`, by whatever trace it left: files, a link, a process.

    `active` is systemd's ActiveState, or `crashing` between two automatic restarts. `config` and `release` are
    what the *running* process says of itself (its environment); `started` is in seconds since 1970.
    `file_release` is what its files say, `good_release` what last proved ready. It carries no secrets.
    """

    port: int
    class_name: str = ""
    active: str = "inactive"
    enabled: bool = False
    config: str = ""
    release: str = ""
    file_release: str = ""
    good_config: str = ""
    good_release: str = ""
    started: float = 0
    ready: bool = False
    saw: str = ""

    @property
    def running(self) -> bool:
        """Whether systemd holds a process of it, or is about to start one."""
        return self.active in RUNNING


@dataclass(frozen=True)
class SeenRelease:
    """A directory below releases/; not complete: an unpacking that was interrupted.

    `python` made its virtual environment; empty where it has none, or that is not known.
    """

    id: str
    checksum: str = ""
    installed: float = 0
    complete: bool = True
    python: str = ""


@dataclass(frozen=True)
class Seen:
    """One host. `loaded` is false while systemd works with other files or limits than those on the disk.

    `user` says that the account exists; `leftovers` names everything of ours that is there, in words.
    """

    user: bool = False
    loaded: bool = True
    files: Mapping[str, SeenFile] = field(default_factory=dict, hash=False)
    instances: Mapping[int, SeenInstance] = field(default_factory=dict, hash=False)
    releases: Mapping[str, SeenRelease] = field(default_factory=dict, hash=False)
    current: Mapping[str, str] = field(default_factory=dict, hash=False)
    leftovers: tuple[str, ...] = ()
