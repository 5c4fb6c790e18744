# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pools and balancers as found: a `Balancer` has `SeenPool`s with `Server`s, one for each line of a members file.

Also the text of the two files that a pool has on a balancer. Pure: no Ansible.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable


def canonical(address: str) -> str:
    """Return an IP address in its one canonical text (RFC 5952); a name as it is."""
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        return address


def endpoint_of(address: str, port: int) -> str:
    """Return `address:port` as nginx writes it, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True)
class Server(Portable):
    """One `server` line of a members file. `fail_timeout` is in seconds; `host` is only the comment behind it.

    Defaults are nginx's own (ngx_http_upstream_module). `extra` holds parameters that we never write: a line that
    has any was edited by hand and is set right.
    """

    address: str
    port: int
    down: bool = False
    backup: bool = False
    weight: int = 1
    max_fails: int = 1
    fail_timeout: int = 10
    max_conns: int = 0
    extra: tuple[str, ...] = ()
    host: str = field(default="", compare=False)

    @property
    def endpoint(self) -> str:
        """What names it in its pool."""
        return endpoint_of(self.address, self.port)

    @property
    def serves(self) -> bool:
        """Whether it takes its share of requests: not down, not only a backup."""
        return not self.down and not self.backup

    def directive(self) -> str:
        """Return the line as nginx reads it, without the comment."""
        words = ["server", self.endpoint]
        words += [f"weight={self.weight}"] if self.weight != 1 else []
        words += [f"max_fails={self.max_fails}", f"fail_timeout={self.fail_timeout}s"]
        words += [f"max_conns={self.max_conns}"] if self.max_conns else []
        words += list(self.extra)
        words += ["backup"] if self.backup else []
        words += ["down"] if self.down else []
        return " ".join(words) + ";"


def members_file(servers: Iterable[Server]) -> str:
    """Return the text of a members file: what is between the braces of an upstream block."""
    lines = [f"{s.directive()} # {s.host}" if s.host else s.directive() for s in servers]
    return "\n".join(["# Members of one pool. Written by steelyard: change the inventory, not this file.", *lines, ""])


def members_digest(servers: Iterable[Server]) -> str:
    """Return 16 hexadecimal digits over the lines that count for nginx, in any order, comments left out."""
    text = "\n".join(sorted(s.directive() for s in servers))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def loaded_file(pool: str, digest: str) -> str:
    """Return the text that lets the running nginx say which members of a pool it has loaded."""
    return (
        "# Says which members are loaded. Written by steelyard together with the members.\n"
        f'location = {loaded_path(pool)} {{ return 200 "{digest}"; }}\n'
    )


def loaded_path(pool: str) -> str:
    """Where the status listener answers with the digest of a pool's loaded members."""
    return f"/steelyard/loaded/pool/{pool}"


def through_path(pool: str) -> str:
    """Where the status listener passes a request to a pool, for clients on this host."""
    return f"/steelyard/through/{pool}"


@dataclass(frozen=True)
class SeenPool(Portable):
    """One members file as found. `loaded` is the running nginx's own word; `connections` are by endpoint."""

    servers: tuple[Server, ...] = ()
    loaded: bool = True
    connections: Mapping[str, int] = field(default_factory=dict, hash=False)

    def server(self, endpoint: str) -> Server | None:
        """Return the line of one member; None when it has none."""
        return next((s for s in self.servers if s.endpoint == endpoint), None)

    def with_server(self, endpoint: str, server: Server | None) -> SeenPool:
        """Return the pool with one member's line added, replaced in its place, or (None) left out."""
        if server is None:
            return replace(self, servers=tuple(s for s in self.servers if s.endpoint != endpoint))
        if self.server(endpoint) is None:
            return replace(self, servers=(*self.servers, server))
        return replace(self, servers=tuple(server if s.endpoint == endpoint else s for s in self.servers))

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON types; the digest is that of the file."""
        return {
            "members": [s.as_dict() for s in self.servers], "loaded": self.loaded,
            "digest": members_digest(self.servers), "connections": dict(self.connections),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SeenPool:
        """Read back what `as_dict` wrote."""
        servers = tuple(Server.from_dict(s) for s in raw.get("members", ()))
        return cls(servers, bool(raw.get("loaded", True)), dict(raw.get("connections", {})))


@dataclass(frozen=True)
class Balancer(Portable):
    """One load balancer as found; `held` are the members (pool, endpoint) with an open undo note.

    `excused` is one that the inventory takes out of service: it may be silent, and its members are left as they are.
    `leaving` is one of these, which is to lose its nginx.
    `leftovers`: its package, or a part of it or of what we wrote, is there, so that a removal has not finished.
    """

    host: str
    pools: Mapping[str, SeenPool] = field(default_factory=dict, hash=False)
    reachable: bool = True
    installed: bool = True
    running: bool = True
    excused: bool = False
    leaving: bool = False
    leftovers: bool = False
    held: tuple[tuple[str, str], ...] = ()
    version: str = ""
    old_generations: int = 0

    @property
    def in_service(self) -> bool:
        """Whether its members are changed with those of the others: it answers, has nginx, and is not excused."""
        return self.reachable and self.installed and not self.excused
