# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The balancers, as the shared parts see them. Pure."""

from __future__ import annotations

from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model
from ansible_collections.steelyard.stack.plugins.module_utils.service import Service

SERVICE = Service(
    name=model.SERVICE,
    problems=model.problems,
    is_on=lambda _fleet, host: model.GROUP in host.groups,
    listeners=model.listeners,
    units=("nginx.service",),
    wanted={
        "nginx_pools": model.wanted_pools_json,
        "nginx_state": lambda _fleet, host: host.state_of(model.SERVICE),
    },
)
