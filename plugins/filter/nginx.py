# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nginx's templates need of the pure model; every filter is one call of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.host.model import HostFacts
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import sizing
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Pool, wanted_sites
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sites import Listen, Site, listen_directives
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import (
    endpoint_of,
    loaded_file,
    members_digest,
    members_file,
)
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain


def _said(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with its refusals as Ansible's own error."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*(plain(a) for a in args), **{k: plain(v) for k, v in kwargs.items()})
        except SteelyardError as error:
            raise AnsibleFilterError(str(error)) from error

    return call


def nginx_settings(
    facts: Mapping[str, Any], overrides: Mapping[str, Any], memory: object = None, cpus: object = None
) -> dict[str, Any]:
    """Return the sized settings, and in `limited` whether open files and not memory decide the connections."""
    host = HostFacts.from_dict(facts, memory, cpus)
    somaxconn = int((facts.get("sysctl") or {}).get("net.core.somaxconn") or sizing.HostLimits.somaxconn)
    nofile = host.nofile_hard or sizing.HostLimits.nofile
    limits = sizing.HostLimits(host.cpus, host.memory, nofile, somaxconn)
    return {**sizing.settings(limits, overrides).as_dict(), "limited": sizing.limited_by_files(limits)}


def nginx_sites(sites: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the sites with every default filled in, durations in seconds and sizes in bytes."""
    return [site.as_dict() for site in wanted_sites({"nginx_sites": sites})]


def nginx_listen(sites: list[dict[str, Any]], backlog: int, ipv6: bool = True) -> dict[str, Any]:
    """Return the arguments of every `listen` directive of the sites that `nginx_sites` returned."""
    return listen_directives([Site.from_dict(s) for s in sites], int(backlog), ipv6)


def nginx_status_url(listen: object) -> str:
    """Return the URL of the status listener for clients on the host itself."""
    at = Listen.parse(listen, "nginx_status_listen")
    return f"http://{endpoint_of(at.probe_address, at.port)}"


def nginx_member_files(pools: list[dict[str, Any]], directory: str) -> list[dict[str, Any]]:
    """Return the files of pools that are created now, for `config_set`: a pool that exists keeps its own."""
    found: list[dict[str, Any]] = []
    for pool in map(Pool.from_dict, pools):
        servers = pool.servers()
        loaded = loaded_file(pool.name, members_digest(servers))
        found.append({"dest": f"{directory}/{pool.name}.members", "content": members_file(servers), "keep": True})
        found.append({"dest": f"{directory}/{pool.name}.loaded", "content": loaded, "keep": True})
    return found


def nginx_pools(pools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return each pool's upstream: its name, its method as a directive, keepalive and the path it is asked for."""
    read = map(Pool.from_dict, pools)
    return [{"name": p.name, "method": p.directive, "keepalive": p.keepalive, "health": p.health or "/"} for p in read]


class FilterModule:
    """Filters of the role `nginx`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        functions = (nginx_settings, nginx_sites, nginx_listen, nginx_status_url, nginx_member_files, nginx_pools)
        return {function.__name__: _said(function) for function in functions}
