# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Asks and tells the nginx of this host: its files, its status listener, its processes and connections. No Ansible."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import STATE_DIR, Transaction, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import parse
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.health import Answers
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import STATUS_LISTEN, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sites import Listen, Site
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import (
    Balancer,
    SeenPool,
    Server,
    endpoint_of,
    loaded_file,
    loaded_path,
    members_digest,
    members_file,
    through_path,
)
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

NGINX = "/usr/sbin/nginx"
UNIT = "nginx.service"
ROOT = "/etc/nginx"
POOLS = f"{ROOT}/steelyard/pools"
LEFTOVERS = (
    # A package that is removed, but not purged, has its list of files still.
    "/var/lib/dpkg/info/nginx.list",
    "/var/lib/dpkg/info/nginx-common.list",
    f"{ROOT}/steelyard",
    f"/etc/systemd/system/{UNIT}.d/50-steelyard.conf",
    f"{STATE_DIR}/nginx",
    f"{STATE_DIR}/nginx-members",
)
"""What a balancer has while it is one: `remove` of the role nginx has finished when none of these is left."""

UPSTREAM_HEADER = "X-Steelyard-Upstream"
NOTES = "nginx/"
TIMEOUT = 2.0
_GATEWAY_ERRORS = (502, 503, 504)


class Client:
    """The nginx of this host. Every method asks or does one thing; none decides."""

    def __init__(self, status_listen: str = STATUS_LISTEN, notes: UndoNotes | None = None) -> None:
        at = Listen.parse(status_listen, "nginx_status_listen")
        self._status = (at.probe_address, at.port)
        self.notes = notes or UndoNotes()

    def installed(self) -> bool:
        return os.access(NGINX, os.X_OK)

    def leftovers(self) -> bool:
        """Return whether the package or anything that the role wrote is there, whole or in part."""
        return any(os.path.lexists(path) for path in LEFTOVERS)

    def version(self) -> str:
        """Return the version, such as 1.26.3; raises SteelyardError."""
        run = subprocess.run([NGINX, "-v"], capture_output=True, text=True, timeout=10, check=False)
        return ".".join(str(n) for n in parse.version(run.stderr + run.stdout))

    def pools(self) -> tuple[str, ...]:
        """Return the names of the pools that have a members file."""
        return tuple(sorted(p.stem for p in Path(POOLS).glob("*.members")))

    def members(self, pool: str) -> tuple[Server, ...]:
        """Return the lines of a pool's members file, as written; raises SteelyardError and OSError."""
        return parse.members(Path(f"{POOLS}/{pool}.members").read_text(encoding="utf-8"))

    def transaction(self, pools: Mapping[str, Sequence[Server]]) -> Transaction:
        """Return the change of these pools' files, checked by nginx itself on a copy of its whole configuration."""
        files = []
        for name, servers in pools.items():
            files.append(WantedFile(f"{POOLS}/{name}.members", members_file(servers)))
            files.append(WantedFile(f"{POOLS}/{name}.loaded", loaded_file(name, members_digest(servers))))
        return Transaction("nginx-members", files, (), ROOT, [NGINX, "-t", "-q", "-c", "{stage}/nginx.conf"])

    def reload(self) -> None:
        """Tell nginx to load its files; raises SteelyardError. That it has is asked by `loaded`."""
        argv = ["systemctl", "reload", UNIT]
        run = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
        if run.returncode != 0:
            remedy = f"see systemctl status {UNIT} and its journal on this host"
            raise SteelyardError(f"`{' '.join(argv)}` succeeds", (run.stderr or run.stdout).strip(), remedy)

    def loaded(self, pool: str) -> str:
        """Return the digest of the members that the running nginx has loaded; empty when it does not answer."""
        status, body, _by = self._get(*self._status, loaded_path(pool))
        return body.strip() if status == 200 else ""

    def stub_status(self) -> parse.StubStatus | None:
        """Return nginx's own counters; None when it does not answer."""
        status, body, _by = self._get(*self._status, "/steelyard/status")
        return parse.stub_status(body) if status == 200 else None

    def through(self, pool: str) -> tuple[str, str]:
        """Send one request through this balancer; return who answered it, and what was wrong (empty: nothing).

        Who answered is an endpoint by IP address, one of the member's `places`.
        """
        status, body, by = self._get(*self._status, through_path(pool))
        wrong = "" if status and status not in _GATEWAY_ERRORS else f"HTTP {status}" if status else body
        return parse.answered_by(by), wrong

    def ask(self, address: str, port: int, path: str, host: str = "") -> str:
        """Ask a member (or a site, by `host`) itself; return what was wrong: no connection, or an error's number."""
        if not path:
            try:
                socket.create_connection((address, port), TIMEOUT).close()
            except OSError as error:
                return _words(error)
            return ""
        status, body, _by = self._get(address, port, path, host)
        return "" if 200 <= status < 400 else f"HTTP {status} from {path}" if status else body

    def processes(self) -> tuple[parse.Process, ...]:
        """Return nginx's processes."""
        return tuple(_processes())

    def connections(self, pools: Mapping[str, Iterable[Server]]) -> dict[str, dict[str, int]]:
        """Count by pool and endpoint the connections that this host's nginx has open to the members."""
        seen = self.sockets()
        places = {
            pool: {s.endpoint: [(a, s.port) for a in self.addresses(s.address)] for s in servers}
            for pool, servers in pools.items()
        }
        uid = self.worker_uid()
        return {pool: parse.open_to(seen, endpoints, uid) for pool, endpoints in places.items()}

    def places(self, server: Server) -> frozenset[str]:
        """Return the endpoints, by IP address, that nginx may reach a member at; raises SteelyardError."""
        return frozenset(endpoint_of(address, server.port) for address in self.addresses(server.address))

    def addresses(self, name: str) -> frozenset[str]:
        """Return the IP addresses behind a member's address, which may be a name; raises SteelyardError."""
        try:
            found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError as error:
            remedy = "correct the name's records, or give the host steelyard_address"
            raise SteelyardError("a member's address resolves on the balancer", f"{name}: {error}", remedy) from error
        return frozenset(parse.on_the_wire(str(info[4][0])) for info in found)

    def sockets(self) -> tuple[parse.Connection, ...]:
        """Return every TCP connection of this host."""
        seen: list[parse.Connection] = []
        for name in ("tcp", "tcp6"):
            with contextlib.suppress(FileNotFoundError):  # no IPv6
                seen += parse.connections(Path(f"/proc/net/{name}").read_text(encoding="ascii"))
        return tuple(seen)

    def worker_uid(self) -> int | None:
        """Return the user that nginx's workers run as; None when none runs."""
        for process in self.processes():
            if process.kind != "master":
                with contextlib.suppress(OSError):
                    return os.stat(f"/proc/{process.pid}").st_uid
        return None

    @staticmethod
    def _get(address: str, port: int, path: str, host: str = "") -> tuple[int, str, str]:
        """Return status, body and who answered; status 0 and the reason when nothing did."""
        connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT)
        try:
            connection.request("GET", path, headers={"Host": host} if host else {})
            answer = connection.getresponse()
            body = answer.read(4096).decode("utf-8", "replace")
            return answer.status, body, answer.getheader(UPSTREAM_HEADER) or ""
        except (OSError, http.client.HTTPException) as error:
            return 0, _words(error), ""
        finally:
            connection.close()


def read_balancer(client: Client, host: str, wanted: Iterable[Pool]) -> Balancer:
    """Return what this host shows of the wanted pools; raises SteelyardError."""
    if not client.installed():
        return Balancer(host, installed=False, running=False, leftovers=client.leftovers())
    here = set(client.pools())
    lines = {p.name: client.members(p.name) for p in wanted if p.name in here}
    processes = client.processes()
    running = any(p.kind == "master" for p in processes)
    connections = client.connections(lines)
    pools = {
        name: SeenPool(servers, client.loaded(name) == members_digest(servers), connections[name])
        for name, servers in lines.items()
    }
    return Balancer(
        host, pools, running=running, held=held_members(client.notes), version=client.version(),
        old_generations=parse.old_generations(processes), leftovers=client.leftovers(),
    )  # fmt: skip


def ask_everybody(client: Client, balancer: Balancer, wanted: Iterable[Pool], sites: Iterable[Site]) -> Answers:
    """Return what every member, pool and site says when it is asked from this host; those that are down are not."""
    pools = {p.name: p for p in wanted if p.name in balancer.pools}
    members = {
        (name, s.endpoint): client.ask(s.address, s.port, pool.health)
        for name, pool in pools.items()
        for s in balancer.pools[name].servers
        if not s.down
    }
    through = {name: client.through(name)[1] for name in pools}
    asked = {site.name: _ask_site(client, site, pools) for site in sites}
    return Answers(members, through, asked)


def _ask_site(client: Client, site: Site, pools: Mapping[str, Pool]) -> str:
    host = "" if site.server_names[0].startswith(("_", "*")) else site.server_names[0]
    path = (pools[site.pool].health if site.pool in pools else "") or "/"
    wrong = (client.ask(at.probe_address, at.port, path, host) for at in site.listen)
    return "; ".join(w for w in wrong if w)


def note_key(pool: str, endpoint: str) -> str:
    """Return the key of the undo note of a held member."""
    return f"{NOTES}{pool}/{endpoint}"


def held_members(notes: UndoNotes) -> tuple[tuple[str, str], ...]:
    """Return pool and endpoint of the members that have an open undo note."""
    found = []
    for note in notes.list(NOTES):
        pool, _slash, endpoint = note.key.removeprefix(NOTES).partition("/")
        found.append((pool, endpoint))
    return tuple(found)


def _processes() -> Iterator[parse.Process]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
                command = (entry / "cmdline").read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue  # it has just ended
            found = parse.process(int(entry.name), stat, command)
            if found is not None:
                yield found


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()
