# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides, on the control machine alone, in which turns Redis servers are restarted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis import restart
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import fleet_from_vars, plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.located import located
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import show_once

display = Display()
OPERATIONS = ["turns", "handover", "settle"]


class ActionModule(SteelyardAction):
    """See the documentation of the module of the same name."""

    _requires_connection = False

    ARGUMENTS: ClassVar = {
        "operation": {"type": "str", "required": True, "choices": OPERATIONS},
        "plan": {"type": "dict", "default": {}},
    }

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return turns, or the clusters to settle; raises Refused where a restart would come into other work."""
        if args["operation"] == "handover":
            restart.require_settled([Plan.from_summary(plain(args["plan"]))])
            return {"changed": False}
        fleet, host = fleet_from_vars(variables), str(variables["inventory_hostname"])
        clusters = located(variables, fleet)
        if args["operation"] == "settle":
            restart.require_settled(c.plan for c in clusters)
            busy = [c.as_work() for c in clusters if c.busy]
            return {"changed": False, "clusters": busy, "concerns": any(host in c["hosts"] for c in busy)}
        turns = restart.turns(fleet, _waiting(variables))
        named = {turn.cluster.name for turn in turns}
        restart.require_settled(c.plan for c in clusters if c.name in named)
        show_once(display, variables, restart.as_table(turns))
        concerns = any(host in turn.hosts for turn in turns)
        return {"changed": False, "turns": [turn.as_dict() for turn in turns], "concerns": concerns}


def _waiting(variables: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return the ports that wait for a restart, by host, of those that answered."""
    found = {}
    for name in map(str, variables["ansible_play_hosts_all"]):
        answer = variables["hostvars"][name].get("__redis_restart")
        if isinstance(answer, Mapping) and isinstance(answer.get("plan"), Mapping):
            plan = Plan.from_summary(plain(answer["plan"]))
            found[name] = [int(s.subject.rpartition("-")[2]) for s in plan.steps if s.verb == "restart"]
    return found
