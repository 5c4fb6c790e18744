# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Redis, as the shared parts see it. Pure."""

from __future__ import annotations

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.redis import check, inventory, model, scaling, sizing
from ansible_collections.steelyard.stack.plugins.module_utils.service import Room, Service


def _is_on(fleet: Fleet, host: Host) -> bool:
    return bool(inventory.instances_of(fleet, host) or inventory.sentinels_of(fleet, host))


def _promised(fleet: Fleet, host: Host) -> int:
    # What states no size takes what is left, and is no reason why another service would not fit.
    return sum(cluster.maxmemory for cluster in inventory.clusters_on(fleet, host))


def _oversubscription(fleet: Fleet, host: Host, room: Room) -> list[Problem]:
    limits = sizing.HostLimits(room.memory, max(1, int(room.cpus)))
    tenants = sizing.Tenants(inventory.clusters_on(fleet, host), room.others)
    return sizing.oversubscription(limits, tenants, "memory and CPUs")


def _parts_leave(fleet: Fleet, host: Host) -> bool:
    return not all(i.stays for i in (*inventory.instances_of(fleet, host), *inventory.sentinels_of(fleet, host)))


SERVICE = Service(
    name=model.SERVICE,
    problems=check.problems,
    is_on=_is_on,
    listeners=inventory.listeners,
    units=("redis@*", "redis-sentinel@*"),
    wanted={
        "redis_asks": scaling.asks,
        "redis_clusters": inventory.wanted_clusters,
        "redis_instances": inventory.wanted_instances,
        "redis_leases": scaling.leases,
        "redis_secrets": inventory.wanted_secrets,
        "redis_sentinels": inventory.wanted_sentinels,
    },
    promised=_promised,
    oversubscription=_oversubscription,
    # A fork for a snapshot or a rewrite needs no memory of its own, but without this the kernel may refuse it.
    sysctls={"vm.overcommit_memory": 1},
    requirements=model.REQUIREMENTS,
    parts_leave=_parts_leave,
)
