# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides, on the control machine alone, whom a scaling step concerns and what the whole plan is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils import scale
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis import scaling as redis
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import fleet_from_vars, plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.located import located
from ansible_collections.steelyard.stack.plugins.plugin_utils.refuse import refused_plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import is_first_host, show_once, write_result

display = Display()


class ActionModule(SteelyardAction):
    """See the documentation of the module of the same name."""

    _requires_connection = False

    ARGUMENTS: ClassVar = {"operation": {"type": "str", "required": True, "choices": ["look", "plan", "clusters"]}}

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the host's parts; the plan and `changed` come with `operation: plan`."""
        fleet = fleet_from_vars(variables)
        host = variables["inventory_hostname"]
        clusters = located(variables, fleet)
        if args["operation"] == "clusters":
            for cluster in clusters:
                if not cluster.knows:
                    show_once(display, variables, cluster.plan.as_table())
            return _of_clusters(clusters, is_first_host(variables))
        # Every balancer registered the same plan, made over all their answers: one of each is enough.
        pools = tuple({(p.cluster, p.fingerprint): p for p in _plans(variables, "__nginx_plan").values()}.values())
        if args["operation"] == "look":
            return {"parts": scale.looks(fleet, pools, clusters).parts(host)}
        answers = scale.Answers(
            pools=pools,
            clusters=clusters,
            app=_plans(variables, "__scale_app"),
            redis=_redis_plans(variables, fleet),
            firewall=_plans(variables, "__scale_firewall"),
            balancers=_balancers(variables, fleet, "present", "installed"),
            retiring=_balancers(variables, fleet, "leaving", "installed", "leftovers"),
            lease_left=any(a.get("held") for a in _answers(variables, "__lease_left").values()),
        )
        plan = scale.assemble(fleet, answers)
        own = scale.parts(fleet, answers).get(host, ())
        # The plan is one for all hosts: that it has steps is counted once.
        pending = bool(plan.steps) and is_first_host(variables)
        work = [cluster.as_work() for cluster in clusters if cluster.busy]
        result = {
            "parts": list(own), "changed": pending, "plan": plan.summary(), "clusters": work,
            "primaries": {c.name: c.primary for c in clusters if c.primary},
        }  # fmt: skip
        show_once(display, variables, plan.as_table())
        refused = refused_plan(plan, variables) if plan.refusals else {}
        write_result(variables, self._task.action, {**result, **refused})
        return refused or result


def _of_clusters(clusters: Iterable[scale.Located], first: bool) -> dict[str, Any]:
    """Return all clusters, which of them are to be created, and whose membership is not what the inventory says."""
    known = tuple(clusters)
    return {
        "changed": first and not all(c.knows for c in known),
        "clusters": [c.as_work() for c in known],
        "creates": [c.as_work() for c in known if not c.knows],
        "pending": [f"{c.service} {c.name}: {s.verb} {s.subject}" for c in known if c.knows for s in c.plan.steps],
    }


def _redis_plans(task_vars: Mapping[str, Any], fleet: Fleet) -> dict[str, Plan]:
    """Return what Redis would do on each host that was looked at for it."""
    answers = {n: a for n, a in _answers(task_vars, "__redis_seen").items() if isinstance(a.get("plan"), Mapping)}
    return {name: redis.host_plan(fleet, fleet.host(name), plain(answer)) for name, answer in answers.items()}


def _answers(task_vars: Mapping[str, Any], registered: str) -> dict[str, Mapping[str, Any]]:
    """Return what hosts registered under this name in this run; hosts that registered nothing are left out."""
    hosts = [str(name) for name in task_vars["ansible_play_hosts_all"]]
    found = {name: task_vars["hostvars"][name].get(registered) for name in hosts}
    return {name: answer for name, answer in found.items() if isinstance(answer, Mapping)}


def _plans(task_vars: Mapping[str, Any], registered: str) -> dict[str, Plan]:
    """Return the plans among what hosts registered under this name."""
    answers = _answers(task_vars, registered)
    return {name: Plan.from_summary(a["plan"]) for name, a in answers.items() if isinstance(a.get("plan"), Mapping)}


def _balancers(task_vars: Mapping[str, Any], fleet: Fleet, state: str, *shows: str) -> tuple[str, ...]:
    """Return the balancers in this state that answered and show one of these: installed, leftovers."""
    seen = {name: a.get("balancer") or {} for name, a in _answers(task_vars, "__nginx_seen").items()}
    return tuple(n for n, b in seen.items() if any(map(b.get, shows)) and fleet.host(n).state_of("nginx") == state)
