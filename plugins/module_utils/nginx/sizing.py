# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's settings from a host's cores, memory and limits. Pure: no Ansible, no I/O.

Sources:

- ngx_core_module: `worker_processes` is best the number of cores; `auto` counts the machine's cores and not those
  that a cgroup or the inventory leaves, so the number is written out.
- ngx_core_module: `worker_connections` counts all connections of a worker, those to upstreams too, so a proxied client
  takes two; it cannot exceed the limit of open files.
- ngx_http_upstream_module, ngx_http_proxy_module: a proxied request holds `proxy_buffers` of 8 x 4 kB (on x86-64) and
  `proxy_buffer_size` of 4 kB, beside its pools and `client_header_buffer_size` of 1 kB: at most 48 kB a client,
  24 kB a connection.
- listen(2), `net.core.somaxconn`: a backlog beyond it is cut silently; 4096 since Linux 5.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.options import SETTING_OPTIONS
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration
from ansible_collections.steelyard.stack.plugins.module_utils.validate import check

MOST_CONNECTIONS = 16384
FEWEST_CONNECTIONS = 512
BYTES_A_CONNECTION = 24 * 2**10
MEMORY_SHARE = 0.5
FILES_BESIDE = 64
"""Listeners, logs, the binary's own: descriptors that are not connections."""


@dataclass(frozen=True)
class HostLimits:
    """What a host gives nginx. Sizes in bytes; `nofile` is the hard limit that a unit can be given there."""

    cpus: int
    memory: int
    nofile: int = 1048576
    somaxconn: int = 4096


@dataclass(frozen=True)
class Settings:
    """nginx's settings; durations in seconds."""

    worker_processes: int
    worker_connections: int
    worker_rlimit_nofile: int
    worker_shutdown_timeout: float = 120
    keepalive_timeout: float = 75
    keepalive_requests: int = 1000
    client_header_timeout: float = 15
    client_body_timeout: float = 30
    send_timeout: float = 30
    backlog: int = 511

    def as_dict(self) -> dict[str, Any]:
        """Return the settings in JSON types."""
        return asdict(self)


def size(limits: HostLimits) -> Settings:
    """Return the settings for a host; raises Refused when it has not enough files for the fewest connections."""
    processes = max(1, limits.cpus)
    by_memory = int(limits.memory * MEMORY_SHARE / BYTES_A_CONNECTION / processes)
    by_files = (limits.nofile - FILES_BESIDE) // 2
    if by_files < FEWEST_CONNECTIONS:
        need = 2 * FEWEST_CONNECTIONS + FILES_BESIDE
        raise Refused(f"a balancer may open at least {need} files", str(limits.nofile), "raise its hard nofile limit")
    connections = min(MOST_CONNECTIONS, by_files, max(FEWEST_CONNECTIONS, by_memory))
    return Settings(
        worker_processes=processes,
        worker_connections=connections,
        # A connection may need a second descriptor: a response that is buffered to a file.
        worker_rlimit_nofile=2 * connections + FILES_BESIDE,
        backlog=min(limits.somaxconn, 4096),
    )


def settings(limits: HostLimits, overrides: Mapping[str, Any]) -> Settings:
    """Return the sized settings with the operator's in place of ours; raises Refused for unknown or unfit ones."""
    problems = check(overrides, SETTING_OPTIONS, "nginx_settings")
    if problems:
        raise Refused.of(problems)
    given: dict[str, Any] = {}
    for name, value in overrides.items():
        if value is not None:
            where = f"nginx_settings.{name}"
            given[name] = int(value) if SETTING_OPTIONS[name]["type"] == "int" else parse_duration(value, where)
            if given[name] <= 0:
                raise Refused("a setting is more than zero", repr(value), "correct it", where)
    if "worker_connections" in given:
        given.setdefault("worker_rlimit_nofile", 2 * given["worker_connections"] + FILES_BESIDE)
    found = Settings(**{**size(limits).as_dict(), **given})
    if found.worker_rlimit_nofile > limits.nofile:
        remedy = "lower worker_connections or worker_rlimit_nofile, or raise the host's hard limit"
        seen = f"{found.worker_rlimit_nofile} of at most {limits.nofile}"
        raise Refused("open files stay within the host's hard limit", seen, remedy, "nginx_settings")
    if found.worker_connections > found.worker_rlimit_nofile - FILES_BESIDE:
        seen = f"{found.worker_connections} connections, {found.worker_rlimit_nofile} files"
        raise Refused("a worker may open a file for each connection", seen, "raise worker_rlimit_nofile",
                      "nginx_settings.worker_connections")  # fmt: skip
    return found


def limited_by_files(limits: HostLimits) -> bool:
    """Return whether the hard limit of open files, not memory or the cap, decides the connections."""
    found = size(limits)
    return (
        found.worker_connections < MOST_CONNECTIONS and found.worker_connections == (limits.nofile - FILES_BESIDE) // 2
    )
