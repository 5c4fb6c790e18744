# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one host is to run: its servers and Sentinels with all that their files need. Pure: no Ansible, no I/O.

`wanted.py` makes these of the inventory and the host; `unit_files.py` makes files of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.instances import plan as instances


@dataclass(frozen=True)
class Package:
    """The server as the distribution or the vendor packs it; `unit` is what the package would start by itself."""

    name: str
    user: str
    binary: str
    unit: str


_PACKAGES = {
    "redis-server": Package("redis-server", "redis", "/usr/bin/redis-server", "redis-server.service"),
    "redis": Package("redis", "redis", "/usr/bin/redis-server", "redis-server.service"),
    "valkey-server": Package("valkey-server", "valkey", "/usr/bin/valkey-server", "valkey-server.service"),
}


def package_named(name: str) -> Package:
    """Return what is known of a package; raises Refused for one that is not known."""
    try:
        return _PACKAGES[name]
    except KeyError:
        known = ", ".join(sorted(_PACKAGES))
        raise Refused("the package is one that is known", name, f"use one of {known}", "redis_package.name") from None


@dataclass(frozen=True, kw_only=True)
class Serving:
    """What servers and Sentinels have alike.

    `settings` and `secrets` are directives in the normal form of `config.py`. `users` are lines of its ACL file, which
    hold hashes only. `admin` is whom our modules sign in as.
    """

    cluster: str
    host: str
    port: int
    state: str = "present"
    settings: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    users: tuple[str, ...] = field(default=(), repr=False)
    admin: str = ""
    admin_password: str = field(default="", repr=False)
    tls: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Server(Serving):
    """One server. `replicaof` is the primary that it is created with (`10.0.0.1 6379`), empty for none.

    Sizes are bytes, 0 is no limit. `persistent`: its data survives a restart.
    """

    mode: str
    replicaof: str = ""
    nofile: int = 65536
    memory_max: int = 0
    persistent: bool = True

    @property
    def key(self) -> str:
        """What names it on its host."""
        return str(self.port)

    @property
    def title(self) -> str:
        """What systemd calls it."""
        return f"Redis {self.cluster} on port {self.port} ({self.mode})"


@dataclass(frozen=True, kw_only=True)
class Watcher(Serving):
    """One Sentinel. `monitor` are the directives of its first file, of `sentinel …`; later they are set live.

    `watched` are those that can be compared and set live, by name: `down-after-milliseconds`, `quorum`, ….
    """

    monitor: tuple[str, ...] = field(default=(), repr=False)
    watched: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    concealed: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)

    @property
    def key(self) -> str:
        """What names it on its host."""
        return f"sentinel-{self.port}"

    @property
    def title(self) -> str:
        """What systemd calls it."""
        return f"Sentinel of {self.cluster} on port {self.port}"


One = Union[Server, Watcher]  # noqa: UP007 (made at run time: read by checkers as an older Python)


@dataclass(frozen=True)
class Wish(instances.Wish[str]):
    """What one call is asked for.

    `version` is the package's that is wanted, empty for any; `hold` keeps it out of the distribution's upgrades. `data`:
    what happens to the data of what is removed, `keep` (under another name) or `remove`.
    """

    package: Package
    version: str = ""
    hold: bool = False
    servers: tuple[Server, ...] = ()
    watchers: tuple[Watcher, ...] = ()
    data: str = "keep"

    @property
    def placed_servers(self) -> tuple[Server, ...]:
        """The servers that should be on the host, in port order: all that are not leaving."""
        return tuple(sorted((s for s in self.servers if s.state != "leaving"), key=lambda s: s.port))

    @property
    def placed_watchers(self) -> tuple[Watcher, ...]:
        """The Sentinels that should be on the host."""
        return tuple(sorted((w for w in self.watchers if w.state != "leaving"), key=lambda w: w.port))

    @property
    def placed(self) -> tuple[One, ...]:
        """Both, servers first."""
        return (*self.placed_servers, *self.placed_watchers)

    def one(self, key: str) -> One:
        """Return the placed one of that key; raises Refused."""
        for one in self.placed:
            if one.key == key:
                return one
        raise Refused("a step works on a placed instance", key, "plan again", self.host)
