# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a lab is made of, as values. Pure: no Docker, no sockets, no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem

LABEL_LAB = "steelyard.lab"
LABEL_INVENTORY = "steelyard.inventory"
LABEL_HOST = "steelyard.host"
LABEL_OS = "steelyard.os"
LABEL_ADDRESS = "steelyard.address"
LABEL_OVERLAY = "steelyard.overlay"
LABEL_CACHE = "steelyard.cache"

CACHE_NAME = "steelyard-cache"  # the package cache's container, and its name inside the labs

MIB = 2**20


@dataclass(frozen=True)
class WantedHost:
    """One host of the inventory, as far as a stand-in needs to know it. Sizes in bytes."""

    name: str
    groups: tuple[str, ...] = ()
    os: str = "trixie"
    lab_memory: int | None = None  # stated for the lab: taken as it is
    stated_memory: int | None = None  # what the real host has: scaled to fit
    lab_cpus: float | None = None
    stated_cpus: float | None = None
    connection_variables: tuple[str, ...] = ()  # names of the real inventory's own ansible_… variables


@dataclass(frozen=True)
class Inventory:
    """An inventory as the lab reads it; `addresses` are the real hosts' own literal addresses.

    `hidden` is what a real run would refuse, and a rehearsal would not see.
    """

    path: str
    hosts: tuple[WantedHost, ...]
    secrets: tuple[str, ...] = ()
    addresses: tuple[IPv4Address, ...] = ()
    hidden: tuple[Problem, ...] = ()

    def host(self, name: str) -> WantedHost | None:
        """Return the host of that name, or None."""
        return next((host for host in self.hosts if host.name == name), None)


@dataclass(frozen=True)
class SeenStandIn:
    """A stand-in that exists, as Docker reports it."""

    host: str
    container: str
    state: str  # Docker's word: running, exited, created, paused…
    address: IPv4Address
    memory: int
    cpus: float
    os: str
    image: str = ""


@dataclass(frozen=True)
class SeenLab:
    """What exists of one lab; `inventory` is the path of the inventory it stands in for, empty when unused."""

    name: str
    inventory: str = ""
    overlay: str = ""
    subnet: IPv4Network | None = None
    stand_ins: tuple[SeenStandIn, ...] = ()

    @property
    def exists(self) -> bool:
        """Say whether anything of the lab exists."""
        return self.subnet is not None or bool(self.stand_ins)

    def stand_in(self, host: str) -> SeenStandIn | None:
        """Return the stand-in of that host, or None."""
        return next((seen for seen in self.stand_ins if seen.host == host), None)


@dataclass(frozen=True)
class Machine:
    """What the machine that runs the lab has to give: bytes that are free now, and CPUs."""

    memory: int
    disk: int
    cpus: int
    networks: tuple[IPv4Network, ...] = ()  # taken by Docker's networks and by routes
    images: frozenset[str] = field(default_factory=frozenset)  # releases whose image is built


@dataclass(frozen=True)
class StandIn:
    """A stand-in as it is to be created or resized."""

    host: str
    groups: tuple[str, ...]
    address: IPv4Address
    memory: int
    cpus: float
    os: str
