"""Fleets with Redis in them, as an inventory would state them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host

PASSWORD = "only-known-to-these-tests"


def stated(more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """One cluster with the passwords that each mode needs; null takes a key out."""
    found = {"admin_password": PASSWORD, "replication_password": PASSWORD, **(more or {})}
    return {key: value for key, value in found.items() if value is not None}


def fleet_of(clusters: object, hosts: int | Mapping[str, Mapping[str, Any]]) -> Fleet:
    """Return a fleet of hosts redis1, redis2, … in the group redis; or of named ones, with `groups` and variables."""
    named = {f"redis{n}": {} for n in range(1, hosts + 1)} if isinstance(hosts, int) else hosts
    found = []
    for number, (name, variables) in enumerate(named.items(), 1):
        given = {"ansible_host": f"192.0.2.{number}", "redis_clusters": clusters, **variables}
        groups = frozenset(given.pop("groups", ["redis"]))
        found.append(Host(name, groups, given))
    return Fleet(tuple(found))
