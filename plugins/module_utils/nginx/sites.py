# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites: what listens in front of a pool. Pure: no Ansible. `model` reads them from the inventory."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import endpoint_of
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True)
class Listen(Portable):
    """Where a site listens; without an address, on all of them. IPv6 addresses are without brackets."""

    port: int
    address: str = ""

    def places(self, ipv6: bool = True) -> tuple[str, ...]:
        """Return what its `listen` directives name, one for each address family."""
        if self.address:
            return (endpoint_of(self.address, self.port),)
        return (str(self.port), f"[::]:{self.port}") if ipv6 else (str(self.port),)

    @property
    def probe_address(self) -> str:
        """Where this host itself reaches it."""
        return _LOOPBACK.get(self.address, self.address)

    @classmethod
    def parse(cls, text: object, where: str = "") -> Listen:
        """Read `80`, `10.0.0.1:80` or `[::1]:80`; raises Refused."""
        address, _colon, port = str(text).rpartition(":")
        try:
            number = int(port)
            bare = str(ipaddress.ip_address(address.strip("[]"))) if address else ""
        except ValueError:
            number, bare = 0, ""
        if not 0 < number < 65536 or (":" in bare and not address.startswith("[")):
            rule = "a listener is a port, or an IP address and a port"
            raise Refused(rule, repr(text), "write it as 80, 192.0.2.1:80 or '[2001:db8::1]:80'", where)
        return cls(number, bare)


@dataclass(frozen=True)
class Site(Portable):
    """One server block in front of a pool. Durations are seconds, sizes bytes."""

    name: str
    pool: str
    listen: tuple[Listen, ...]
    server_names: tuple[str, ...] = ("_",)
    websocket: bool = False
    connect_timeout: float = 5
    send_timeout: float = 60
    read_timeout: float = 60
    max_body_size: int = 2**20
    allow_from: tuple[str, ...] = ()
    allow_from_networks: tuple[str, ...] = ()


def listen_directives(sites: Iterable[Site], backlog: int, ipv6: bool = True) -> dict[str, Any]:
    """Return the arguments of every `listen`: by site, and for the servers that answer nobody.

    nginx takes options of an address once, so the first site on it carries them; the site named `_` there is its
    default server, and without one a server of ours is, which closes the connection. Never `reuseport`: with it each
    worker has a queue of its own, and a reload drops the connections that wait in those of the old workers.
    """
    found: dict[str, list[str]] = {}
    first: dict[str, str] = {}
    default: dict[str, str] = {}
    stated = tuple(sites)
    for site in stated:
        for place in (p for at in site.listen for p in at.places(ipv6)):
            first.setdefault(place, site.name)
            if "_" in site.server_names:
                default.setdefault(place, site.name)
    for site in stated:
        places = [p for at in site.listen for p in at.places(ipv6)]
        found[site.name] = [
            p + (" default_server" if default.get(p) == site.name else "")
            + (f" backlog={backlog}" if first[p] == site.name else "")
            for p in places
        ]  # fmt: skip
    return {"sites": found, "nobody": [f"{p} default_server" for p in first if p not in default]}
