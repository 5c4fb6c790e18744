# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Redis tells the operations that change a whole fleet: whom to ask, who is concerned, who takes part. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import inventory
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SERVICE, STANDALONE, ClusterSpec

JOINING = frozenset({"create", "meet", "attach", "watch"})
"""The verbs of steps by which a server or a Sentinel, named by `args.name`, joins; `create` concerns all its hosts."""


def clusters(fleet: Fleet) -> tuple[ClusterSpec, ...]:
    """Return the clusters whose servers know each other, in inventory order; raises Refused."""
    return tuple(c for c in inventory.clusters_of(fleet) if c.mode != STANDALONE and c.instances)


def candidates(wanted: ClusterSpec) -> tuple[str, ...]:
    """Return who may coordinate: hosts with an instance that stays, in inventory order, those in maintenance last.

    One in maintenance may be silent. Where all leave, any of them will do.
    """
    staying = [i for i in wanted.instances if i.stays] or list(wanted.instances)
    present = [i.host for i in staying if i.state == "present"]
    return tuple(dict.fromkeys([*present, *(i.host for i in staying)]))


def hosts(wanted: ClusterSpec) -> tuple[str, ...]:
    """Return who keeps the cluster's lease: every host with a server or a Sentinel of it."""
    watching = wanted.sentinel.instances if wanted.sentinel else ()
    return tuple(dict.fromkeys(one.host for one in (*wanted.instances, *watching)))


def asks(fleet: Fleet, host: Host) -> list[dict[str, Any]]:
    """Return, in JSON types, the clusters for which this host asks around, so that each is asked for once.

    Each is the wanted `cluster` and its `candidates`, the first of which is this host.
    """
    found = ((wanted, candidates(wanted)) for wanted in clusters(fleet))
    return [{"cluster": w.as_dict(), "candidates": list(names)} for w, names in found if names[0] == host.name]


def leases(fleet: Fleet, host: Host) -> list[str]:
    """Return the names of the clusters whose lease is kept on this host; raises Refused."""
    return [wanted.name for wanted in clusters(fleet) if host.name in hosts(wanted)]


def place(wanted: ClusterSpec, name: str) -> str:
    """Return `address port` of an instance by its name; empty for one that the inventory does not have."""
    return next((f"{i.address} {i.port}" for i in wanted.instances if i.name == name), "")


def joining(plan: Plan) -> set[str]:
    """Return the hosts with a server or a Sentinel that a plan lets join."""
    return {host for step in plan.steps if step.verb in JOINING for host in _joins(step)}


def _joins(step: Step) -> tuple[str, ...]:
    return (str(step.args["name"]).rpartition(":")[0],) if "name" in step.args else step.hosts


def alone(fleet: Fleet) -> dict[str, frozenset[str]]:
    """Return the hosts with a server that is in no cluster, and its groups: only they know what runs there."""
    known = inventory.clusters_in(fleet)
    found: dict[str, frozenset[str]] = {}
    for host in fleet.hosts:
        clusters_here = (known[i.cluster] for i in inventory.instances_of(fleet, host))
        groups = frozenset(c.group for c in clusters_here if c.mode == STANDALONE)
        if groups:
            found[host.name] = groups
    return found


def host_plan(fleet: Fleet, host: Host, answer: Mapping[str, Any]) -> Plan:
    """Return what `redis_instances` would do on a host; where nothing is installed it cannot say, and all is to be made."""
    plan = Plan.from_summary(answer["plan"])
    if (answer.get("package") or {}).get("installed"):
        return plan
    placed = [*inventory.instances_of(fleet, host), *inventory.sentinels_of(fleet, host)]
    ports = [str(one.port) for one in placed if one.stays]
    if not ports:
        return replace(plan, refusals=())
    detail = f"the package, then {', '.join(ports)}: configured, created and started"
    return replace(
        plan, steps=(Step(f"install/{SERVICE}", "install", SERVICE, detail, hosts=(host.name,)),), refusals=()
    )
