# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of instances on a host: the unit template, drop-ins, slices, environments. Values in, text out.

What systemd expands (`%`, `$`, quotes, backslashes) is escaped here, so that an argument or a value reaches
the program as the inventory states it. See systemd.service(5) "Command lines" and systemd.exec(5)
"EnvironmentFile".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, Slice
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import HEADER, WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import UNIT_DIR

CONFIG_DIR = "/etc/steelyard/app"
USER = "app"

# TimeoutStartSec is only for systemd's own part, up to exec; whether it gets ready is our gate (start_deadline).
# Each option below was seen to work in a container that has CAP_SYS_ADMIN. MemoryDenyWriteExecute is left
# out: programs that compile at run time need it. KillMode=mixed lets a program that has workers end them itself.
TEMPLATE = (
    HEADER
    + """\
[Unit]
Description=Application instance on port %i
After=network-online.target
Wants=network-online.target
StartLimitIntervalSec=120
StartLimitBurst=5

[Service]
Type=exec
TimeoutStartSec=60
User=app
Group=app
EnvironmentFile=/etc/steelyard/app/%i.env
EnvironmentFile=/etc/steelyard/app/%i.secrets
RuntimeDirectory=app/%i
WorkingDirectory=/run/app/%i
Restart=on-failure
RestartSec=1
KillSignal=SIGTERM
KillMode=mixed
LimitNOFILE=65536
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
PrivateTmp=yes
PrivateDevices=yes
ProtectSystem=strict
ProtectHome=yes
ProtectControlGroups=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native

[Install]
WantedBy=multi-user.target
"""
)


def exec_word(word: str) -> str:
    """Return one argument quoted for ExecStart: `%` and `$` doubled, quotes and backslashes escaped."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return '"' + escaped.replace("\n", "\\n").replace("\t", "\\t") + '"'


def exec_line(words: Iterable[str]) -> str:
    """Return the argument list as one ExecStart value."""
    return " ".join(exec_word(word) for word in words)


def environment_text(variables: Mapping[str, str]) -> str:
    """Return an environment file: one `NAME="value"` a line, in stable order; newlines stay inside the quotes."""
    lines = []
    for name in sorted(variables):
        value = variables[name]
        for character in ("\\", '"', "$", "`"):
            value = value.replace(character, "\\" + character)
        lines.append(f'{name}="{value}"\n')
    return HEADER + "".join(lines)


def template_path() -> str:
    """Return where the unit template lives."""
    return f"{UNIT_DIR}/{USER}@.service"


def drop_in_path(port: int) -> str:
    """Return where one instance's drop-in lives."""
    return f"{UNIT_DIR}/{USER}@{port}.service.d/steelyard.conf"


def instance_paths(port: int) -> tuple[str, str, str]:
    """Return every file of one instance: drop-in, environment, secrets."""
    return drop_in_path(port), f"{CONFIG_DIR}/{port}.env", f"{CONFIG_DIR}/{port}.secrets"


def slice_path(class_name: str = "") -> str:
    """Return where a class's slice lives, or `app.slice` without a class."""
    return f"{UNIT_DIR}/{USER}-{class_name}.slice" if class_name else f"{UNIT_DIR}/{USER}.slice"


def _limits(cpu_quota: float, memory_max: int) -> str:
    """Return the two limits; 0 is none. A running unit keeps its old ones at systemd's reload (seen on 257)."""
    cpu = f"CPUQuota={cpu_quota:g}%\n" if cpu_quota else ""
    return cpu + (f"MemoryMax={memory_max}\n" if memory_max else "")


def _command_part(instance: Instance) -> str:
    lines = f"ExecStart=\nExecStart={exec_line(instance.command)}\nSlice={instance.slice}\n"
    if instance.port < 1024:
        lines += "CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n"
    return lines


def _variables(instance: Instance) -> dict[str, str]:
    return {
        **instance.environment,
        "STEELYARD_CLASS": instance.class_name,
        "STEELYARD_HOST": instance.host,
        "STEELYARD_PORT": str(instance.port),
        "STEELYARD_RELEASE": instance.release.id,
    }


def config_digest(instance: Instance) -> str:
    """Return 16 hexadecimal digits over what only a restart brings into force; deadlines are not in it.

    The running process carries it in its environment, which is how a run knows what it runs.
    """
    parts = [
        TEMPLATE,
        _command_part(instance),
        _limits(instance.cpu_quota, instance.memory_max),
        _variables(instance),
        dict(instance.secrets),
        instance.release.checksum,
    ]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def instance_files(instance: Instance) -> tuple[WantedFile, ...]:
    """Return the files of one instance."""
    drop_in, environment, secrets = instance_paths(instance.port)
    title = f"Application {instance.class_name} on port {instance.port} ({instance.release.id})".replace("%", "%%")
    unit = (
        f"{HEADER}[Unit]\nDescription={title}\n\n[Service]\n{_command_part(instance)}"
        f"{_limits(instance.cpu_quota, instance.memory_max)}"
        f"TimeoutStopSec={instance.stop_deadline:g}\n"
    )
    variables = {**_variables(instance), "STEELYARD_CONFIG": config_digest(instance)}
    return (
        WantedFile(drop_in, unit),
        WantedFile(environment, environment_text(variables), 0o640),
        WantedFile(secrets, environment_text(instance.secrets), 0o600, secret=True),
    )


def host_files(instances: Sequence[Instance], whole: Slice) -> tuple[WantedFile, ...]:
    """Return every file that these instances need, shared ones first; none when there are no instances."""
    if not instances:
        return ()
    limits = _limits(whole.cpu_quota, whole.memory_max)
    title = "[Unit]\nDescription={}\n"
    files = [
        WantedFile(template_path(), TEMPLATE),
        WantedFile(slice_path(), f"{HEADER}{title.format('All application instances')}\n[Slice]\n{limits}"),
    ]
    for name in sorted({i.class_name for i in instances}):
        text = f"{HEADER}{title.format(f'Application class {name}')}"
        files.append(WantedFile(slice_path(name), text))
    for instance in instances:
        files += instance_files(instance)
    return tuple(files)
