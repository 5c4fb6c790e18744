# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `redis_cluster` can do, by the mode of the cluster: one row each, so that both halves of the module are the same.

What is read of a cluster is its mode's own, `Any` here: a row never gets another row's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.health import Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis import access
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import health, plan, result
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import resume as cluster_resume
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.measure import measured
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    CLUSTER,
    REPLICATION,
    ClusterSpec,
    Secrets,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import access as replication_access
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import health as replication_health
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import plan as replication_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import result as replication_result
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.apply import Applier as Replicator

Entries = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Mode:
    """What one mode offers.

    `opened` lends a client. `read` asks all (with `measure`: what a plan needs beyond), `shown` says it in JSON types,
    `seen` reads that back, `answers` whether anybody did. `choices` are the options of `plan` that it has.
    """

    opened: Callable[[ClusterSpec, Secrets], AbstractContextManager[Any]]
    read: Callable[[Any, ClusterSpec, bool], Any]
    shown: Callable[[ClusterSpec, Any], dict[str, Any]]
    seen: Callable[[Entries, ClusterSpec], Any]
    answers: Callable[[Any], bool]
    choices: tuple[str, ...]
    plan: Callable[..., Plan]
    resume: Callable[..., Plan]
    applier: Callable[..., Any]
    judge: Callable[[ClusterSpec, Any], Verdict]
    ok_to_stop: Callable[[ClusterSpec, Any, str], Verdict]


def _read_nodes(client: Any, wanted: ClusterSpec, measure: bool) -> Any:
    nodes = client.read()
    return measured(client, wanted, nodes) if measure else nodes


def _applier(client: Any, wanted: ClusterSpec, steps: Any = (), waited: float = 0.0, notes: Any = None) -> Any:
    return Applier(client, wanted, (), steps, waited, notes=notes)


def _replicator(client: Any, wanted: ClusterSpec, steps: Any = (), waited: float = 0.0, notes: Any = None) -> Any:
    return Replicator(client, wanted, steps, waited, notes=notes)


MODES: Mapping[str, Mode] = {
    CLUSTER: Mode(
        access.opened, _read_nodes, result.shown, result.seen, result.answers, ("repair", "rebalance", "upgrading"),
        plan.make_plan, cluster_resume.resume, _applier, health.judge, health.ok_to_stop,
    ),
    REPLICATION: Mode(
        replication_access.opened, replication_access.read, replication_result.shown, replication_result.seen,
        replication_result.answers, ("repair", "upgrading", "switchover_to"), replication_plan.make_plan,
        replication_plan.resume, _replicator, replication_health.judge, replication_health.ok_to_stop,
    ),
}  # fmt: skip


def mode_of(wanted: ClusterSpec) -> Mode:
    """Return what the mode of a cluster offers; raises Refused for one that has one server."""
    if wanted.mode not in MODES:
        remedy = f"select the clusters whose mode is one of {', '.join(MODES)}: a single server is its host's alone"
        raise Refused("redis_cluster is for servers that are something together", f"mode {wanted.mode}", remedy,
                      f"redis {wanted.name}")  # fmt: skip
    return MODES[wanted.mode]
