# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nginx and the kernel print, read into models. Pure: no Ansible, no I/O."""

from __future__ import annotations

import ipaddress
import re
import struct
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Server, canonical, endpoint_of
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration

# include/net/tcp_states.h. Our side has not closed yet: ESTABLISHED, SYN_SENT, SYN_RECV, CLOSE_WAIT. In every other
# state nginx is done with the connection (FIN_WAIT, LAST_ACK, CLOSING, TIME_WAIT), and the member may go.
OPEN_STATES = frozenset({0x01, 0x02, 0x03, 0x08})
_TIME = re.compile(r"^\d+(ms|s|m|h|d|w)?$")


@dataclass(frozen=True)
class Connection:
    """One TCP connection of this host, seen from its local end. `state` is the kernel's number."""

    remote: str
    port: int
    state: int
    uid: int


@dataclass(frozen=True)
class StubStatus:
    """What the stub_status page says."""

    active: int
    accepts: int
    handled: int
    requests: int
    reading: int
    writing: int
    waiting: int

    @property
    def dropped(self) -> int:
        """Connections that were accepted and not handled: worker_connections or files had run out."""
        return self.accepts - self.handled


@dataclass(frozen=True)
class Process:
    """One nginx process: `kind` is master, worker or old (a worker that is shutting down)."""

    pid: int
    parent: int
    kind: str


def members(text: str) -> tuple[Server, ...]:
    """Read a members file; raises SteelyardError with the line that is not a `server` line."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        code, _hash, comment = line.partition("#")
        if not code.strip():
            continue
        words = code.strip().removesuffix(";").split()
        if not code.strip().endswith(";") or ";" in code.strip()[:-1] or len(words) < 2 or words[0] != "server":
            rule = "a members file has one server on a line, and nothing else"
            remedy = "move what was added by hand elsewhere; steelyard owns this file"
            raise SteelyardError(rule, f"line {number}: {line.strip()}", remedy)
        found.append(_server(words[1], words[2:], comment.strip()))
    return tuple(found)


def _server(endpoint: str, parameters: Iterable[str], host: str) -> Server:
    address, _colon, port = endpoint.rpartition(":")
    if not port.isdigit() or not address:
        rule, remedy = "a server line has an address and a port", "write it as 192.0.2.1:8000"
        raise SteelyardError(rule, endpoint, remedy)
    known: dict[str, Any] = {}
    extra = []
    for word in parameters:
        name, _equals, value = word.partition("=")
        if name in ("down", "backup") and not value:
            known[name] = True
        elif name in ("weight", "max_fails", "max_conns") and value.isdigit():
            known[name] = int(value)
        elif name == "fail_timeout" and _TIME.match(value):
            known[name] = int(parse_duration(value))
        else:
            extra.append(word)
    return Server(canonical(address.strip("[]")), int(port), **known, extra=tuple(extra), host=host)


def connections(text: str) -> tuple[Connection, ...]:
    """Read /proc/net/tcp or /proc/net/tcp6 (kernel documentation, networking/proc_net_tcp); raises ValueError."""
    found = []
    for line in text.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 7:
            remote, port = columns[2].split(":")
            found.append(Connection(_address(remote), int(port, 16), int(columns[3], 16), int(columns[7])))
    return tuple(found)


def _address(text: str) -> str:
    """Return the address that the kernel prints as native 32-bit words (little-endian here, as on all Debian hosts)."""
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    raw = struct.pack(f"<{len(words)}I", *words)
    return on_the_wire(str(ipaddress.ip_address(raw)))


def on_the_wire(address: str) -> str:
    """Return an IP address as the one that packets carry, in its canonical text: ::ffff:192.0.2.1 is 192.0.2.1."""
    text = canonical(address.partition("%")[0])
    mapped = ipaddress.IPv6Address(text).ipv4_mapped if ":" in text else None
    return str(mapped or text)


def open_to(
    seen: Iterable[Connection], endpoints: Mapping[str, Iterable[tuple[str, int]]], uid: int | None
) -> dict[str, int]:
    """Count the connections that are open to each endpoint, given by its addresses and port.

    With a `uid` only those of that user count: nginx's workers, not somebody's health check from the same host.
    """
    counted = Counter((c.remote, c.port) for c in seen if c.state in OPEN_STATES and (uid is None or c.uid == uid))
    return {name: sum(counted[place] for place in set(places)) for name, places in endpoints.items()}


def stub_status(text: str) -> StubStatus:
    """Read the page of ngx_http_stub_status_module; raises SteelyardError when it is something else."""
    numbers = [int(n) for n in re.findall(r"\d+", text)]
    if not text.startswith("Active connections:") or len(numbers) != 7:
        raise SteelyardError("the status page has seven numbers", text[:60].strip(), "look at the status listener")
    return StubStatus(*numbers)


def process(pid: int, stat: str, command: str) -> Process | None:
    """Read /proc/PID/stat and /proc/PID/cmdline; None when the process is no part of an nginx.

    nginx names its processes itself (ngx_setproctitle): "nginx: master process ...", "nginx: worker process",
    "nginx: worker process is shutting down". A binary upgrade's or a cache's processes are not counted.
    """
    title = command.replace("\0", " ").strip()
    if not title.startswith("nginx: ") or "(nginx)" not in stat:
        return None
    parent = int(stat.rpartition(")")[2].split()[1])
    if title.startswith("nginx: master process"):
        return Process(pid, parent, "master")
    if title.startswith("nginx: worker process"):
        return Process(pid, parent, "old" if "is shutting down" in title else "worker")
    return None


def old_generations(processes: Iterable[Process]) -> int:
    """Return how many generations of old workers live, rounded up: old workers over those that accept."""
    kinds = Counter(p.kind for p in processes)
    return -(-kinds["old"] // max(1, kinds["worker"]))


def version(text: str) -> tuple[int, ...]:
    """Read `nginx -v` ("nginx version: nginx/1.26.3"); raises SteelyardError."""
    match = re.search(r"nginx version: [^/]+/(\d+(?:\.\d+)*)", text)
    if match is None:
        raise SteelyardError("nginx says its version", text[:80].strip(), "is nginx installed?")
    return tuple(int(n) for n in match.group(1).split("."))


def answered_by(header: str) -> str:
    """Return the endpoint that answered, from $upstream_addr: after retries it lists every one that was tried.

    nginx names it by its address, never by the name in the members file; the address is returned in canonical text.
    """
    last = re.split(r", | : ", header.strip())[-1].strip()
    address, _colon, port = last.rpartition(":")
    if not port.isdigit() or not address:
        return last
    return endpoint_of(on_the_wire(address.strip("[]")), int(port))
