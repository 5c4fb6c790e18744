# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of a host's Redis instances and Sentinels: units, settings, users, certificates. Values in, text out.

A server is started with a state file that it may rewrite, and then reads our settings, last, so that they win.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import HEADER, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.redis import config
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import start
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Package, Server, Watcher
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import UNIT_DIR

PROGRAM = "/opt/steelyard/redis/start.py"
SOCKET = "redis.sock"

# What a server needs and no more. PrivateUsers is left out: containers have no user namespaces to give. Redis saves
# its snapshot when it is told to stop, and that takes as long as the data is large. It is not restarted where it has
# refused to start empty (78), which no second try makes better.
_UNIT = """\
[Unit]
Description={title}
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=exec
User={user}
Group={user}
ExecStart=/usr/bin/python3 -I {program} run {kind} %i {binary}
{stop}RuntimeDirectory=steelyard-redis/{prefix}%i
RuntimeDirectoryMode=0700
StateDirectory=steelyard-redis/{prefix}%i steelyard-redis-known
StateDirectoryMode=0700
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=78
TimeoutStartSec=60
TimeoutStopSec=15min
UMask=0077
SyslogIdentifier=redis-{kind}
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
LockPersonality=yes
MemoryDenyWriteExecute=yes
PrivateDevices=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""


def template_path(kind: str) -> str:
    """Return where the unit template of servers or Sentinels lives."""
    return f"{UNIT_DIR}/{'redis' if kind == 'server' else 'redis-sentinel'}@.service"


def template(kind: str, package: Package) -> str:
    """Return the unit template: one unit a port."""
    server = kind == "server"
    note = f"ExecStopPost=/usr/bin/python3 -I {PROGRAM} note %i\n" if server else ""
    return HEADER + _UNIT.format(
        title=f"Redis {kind} on port %i",
        user=package.user,
        program=PROGRAM,
        kind=kind,
        binary=package.binary,
        stop=note,
        prefix="" if server else "sentinel-",
    )


def unit_of(one: One) -> str:
    """Return the unit of a server or a Sentinel."""
    return f"{'redis' if isinstance(one, Server) else 'redis-sentinel'}@{one.port}.service"


def drop_in_path(one: One) -> str:
    """Return where its own part of the unit lives."""
    return f"{UNIT_DIR}/{unit_of(one)}.d/steelyard.conf"


def directory_of(one: One) -> str:
    """Return the last part of its directories below /etc, /var/lib and /run."""
    return str(one.port) if isinstance(one, Server) else f"sentinel-{one.port}"


def config_dir(one: One) -> str:
    """Return the directory of its files below /etc."""
    return f"{start.CONFIG}/{directory_of(one)}"


def data_dir(one: One) -> str:
    """Return its working directory."""
    return f"{start.DATA}/{directory_of(one)}"


def run_dir(one: One) -> str:
    """Return the directory of its socket and of the settings that it was started with."""
    return f"{start.RUN}/{directory_of(one)}"


def socket_path(one: One) -> str:
    """Return the socket that only root and the service's user reach."""
    return f"{run_dir(one)}/{SOCKET}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def unit_digest(one: One, package: Package) -> str:
    """Return 16 hexadecimal digits over its unit; the launcher notes it, so that a run knows what a process has."""
    return _digest(template("server" if isinstance(one, Server) else "sentinel", package) + _limits(one))


def _limits(one: One) -> str:
    if isinstance(one, Watcher):
        return "LimitNOFILE=10240\n"
    # Started anew with nothing in memory, a primary without persistence empties its replicas.
    restart = "" if one.persistent or one.mode == "standalone" else "Restart=no\n"
    return f"LimitNOFILE={one.nofile}\n{restart}"


def memory_max(one: One) -> str:
    """Return the unit's limit of memory as systemd says it. It changes live, so it is in no digest."""
    return str(one.memory_max) if isinstance(one, Server) and one.memory_max else "infinity"


def _drop_in(one: One, package: Package) -> str:
    return (
        f"{HEADER}[Unit]\nDescription={one.title.replace('%', '%%')}\n\n[Service]\n{_limits(one)}"
        f"MemoryMax={memory_max(one)}\nEnvironment=STEELYARD_UNIT={unit_digest(one, package)}\n"
    )


def tls_paths(server: One) -> dict[str, str]:
    """Return where its certificate, key and CA are; the names change with their content, so that each is read anew."""
    if not server.tls:
        return {}
    digest = _digest("\n".join(server.tls[part] for part in ("certificate", "key", "ca")))
    return {part: f"{config_dir(server)}/tls-{digest}.{part}" for part in ("certificate", "key", "ca")}


def own_settings(one: One) -> dict[str, str]:
    """Return the directives that follow from where things are on the host; they win over all others."""
    found = {
        "aclfile": f"{config_dir(one)}/users.acl",
        "dir": data_dir(one),
        "logfile": "",
        "port": "0" if one.tls else str(one.port),
        "unixsocket": socket_path(one),
        "unixsocketperm": "700",
    }
    paths = tls_paths(one)
    if paths:
        found |= {"tls-port": str(one.port), "tls-ca-cert-file": paths["ca"]}
        found |= {"tls-cert-file": paths["certificate"], "tls-key-file": paths["key"]}
    return found


def settings_of(one: One) -> dict[str, str]:
    """Return every directive of its settings file, in normal form."""
    found = {**one.settings, **own_settings(one)}
    return {name: found[name] for name in sorted(found)}


def settings_text(one: One) -> str:
    """Return its settings file."""
    return HEADER + config.render(settings_of(one))


def secrets_text(one: One) -> str:
    """Return the file of the directives that nobody else may read."""
    return HEADER + config.render(one.secrets)


def config_paths(one: One) -> dict[str, str]:
    """Return its files below /etc by name."""
    return {name: f"{config_dir(one)}/{name}" for name in (*start.SETTINGS, "users.acl")}


def files_of(one: One, package: Package) -> tuple[WantedFile, ...]:
    """Return the files of one server or Sentinel."""
    paths, group = config_paths(one), package.user
    found = [
        WantedFile(drop_in_path(one), _drop_in(one, package)),
        WantedFile(paths["settings.conf"], settings_text(one), 0o640, group=group),
        WantedFile(paths["secrets.conf"], secrets_text(one), 0o640, group=group, secret=True),
        WantedFile(paths["users.acl"], "".join(f"{line}\n" for line in one.users), 0o640, group=group, secret=True),
    ]
    for part, path in tls_paths(one).items():
        found.append(WantedFile(path, one.tls[part], 0o640, group=group, secret=part == "key"))
    return tuple(found)


def host_files(servers: Sequence[Server], watchers: Sequence[Watcher], package: Package) -> tuple[WantedFile, ...]:
    """Return every file that these need, shared ones first; none when there are none."""
    found: list[WantedFile] = []
    if servers or watchers:
        found.append(WantedFile(PROGRAM, inspect.getsource(start), 0o755))
    if servers:
        found.append(WantedFile(template_path("server"), template("server", package)))
    if watchers:
        found.append(WantedFile(template_path("sentinel"), template("sentinel", package)))
    ones: tuple[One, ...] = (*servers, *watchers)
    for one in ones:
        found += files_of(one, package)
    return tuple(found)
