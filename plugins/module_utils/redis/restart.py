# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""In which turns Redis servers are restarted, and what may be done to a cluster between them. Pure.

A *turn* is what one host runs of one cluster: its masters are handed over, its servers are restarted, and the next turn
begins when the cluster is well again. A survivor speaks for the cluster meanwhile, never the host whose turn it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis import inventory, scaling
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SERVICE, STANDALONE, ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.render import table

LEADING = frozenset({"handover", "switchover"})
"""The verbs of steps that change who leads, and nothing else."""


@dataclass(frozen=True)
class Turn:
    """What is restarted at once: servers and Sentinels of one cluster on one host, by their ports.

    `resting` is the wanted cluster with that host in maintenance, so that a plan hands over what it leads; None for a
    server that is in no cluster. `survivors` may speak for the cluster, in that order.
    """

    host: str
    cluster: ClusterSpec
    ports: tuple[int, ...]
    resting: ClusterSpec | None = None
    survivors: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Who takes part: the keepers of the cluster's lease, or the host alone."""
        return scaling.hosts(self.cluster) if self.resting else (self.host,)

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON types, with the label by which people know it."""
        return {
            "label": f"{self.cluster.name} on {self.host}", "host": self.host, "name": self.cluster.name,
            "ports": list(self.ports), "clustered": self.resting is not None, "hosts": list(self.hosts),
            "survivors": list(self.survivors), "cluster": self.cluster.as_dict(),
            "resting": self.resting.as_dict() if self.resting else {},
        }  # fmt: skip


def turns(fleet: Fleet, waiting: Mapping[str, Iterable[int]]) -> tuple[Turn, ...]:
    """Return the turns in inventory order; raises Refused. `waiting` are the ports that wait for a restart, by host."""
    found: list[Turn] = []
    specs = {c.name: c for c in inventory.clusters_of(fleet)}
    for host in fleet.hosts:
        ports = set(waiting.get(host.name, ()))
        for name, own in _of_clusters(fleet, host).items():
            if ports & own:
                found.append(_turn(specs[name], host.name, tuple(sorted(ports & own))))
    return tuple(found)


def _of_clusters(fleet: Fleet, host: Host) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for one in (*inventory.instances_of(fleet, host), *inventory.sentinels_of(fleet, host)):
        found.setdefault(one.cluster, set()).add(one.port)
    return found


def _turn(wanted: ClusterSpec, host: str, ports: tuple[int, ...]) -> Turn:
    if wanted.mode == STANDALONE:
        return Turn(host, wanted, ports)
    survivors = tuple(name for name in scaling.candidates(wanted) if name != host)
    if not survivors:
        rule, remedy = "another host speaks for a cluster while one is restarted", "add one, or restart it by hand"
        raise Refused(rule, f"{wanted.name} is on {host} alone", remedy, SERVICE)
    resting = tuple(replace(i, state="maintenance") if i.host == host and i.stays else i for i in wanted.instances)
    return Turn(host, wanted, ports, replace(wanted, instances=resting), survivors)


def as_table(found: Iterable[Turn]) -> str:
    """Return the turns as people read them."""
    rows = [
        (str(n), t.host, t.cluster.name, ", ".join(map(str, t.ports)),
         f"{t.survivors[0]} speaks" if t.survivors else "a short outage: it is in no cluster")
        for n, t in enumerate(found, 1)
    ]  # fmt: skip
    if not rows:
        return "redis: nothing to restart"
    return f"redis: {len(rows)} turn(s)\n" + table(("#", "host", "cluster", "restarts", "meanwhile"), rows)


def require_settled(plans: Iterable[Plan]) -> None:
    """Raise Refused for clusters with other work left than who leads: restarts come after it, never into it."""
    found = [(p, s) for p in plans for s in p.steps if s.verb not in LEADING]
    first = {p.cluster: (p, s) for p, s in reversed(found)}
    if first:
        rule, remedy = "a cluster is what the inventory says before it is restarted", "run scale.yml first"
        raise Refused.of(
            Problem(f"{p.service} {p.cluster}", rule, f"{s.verb} {s.subject}", remedy) for p, s in first.values()
        )
