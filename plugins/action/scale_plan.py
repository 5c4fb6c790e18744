# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decides, on the control machine alone, whom a scaling step concerns and what the whole plan is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.steelyard.stack.plugins.module_utils import scale
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import fleet_from_vars
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import show_once, write_result


class ActionModule(ActionBase):
    """See the documentation of the module of the same name."""

    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the host's parts; the plan, its diff and `changed` come with `operation: plan`."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        del tmp
        _, args = self.validate_argument_spec(
            argument_spec={
                "operation": {"type": "str", "required": True, "choices": ["look", "plan"]},
            }
        )
        assert task_vars is not None
        # Every balancer registered the same plan, made over all their answers: one of each is enough.
        pools = tuple({p.fingerprint: p for p in _plans(task_vars, "__nginx_plan").values()}.values())
        try:
            fleet = fleet_from_vars(task_vars, self._templar)
            if args["operation"] == "look":
                looked_at = scale.hosts_to_look_at(fleet, pools)
                result["parts"] = ["look"] if task_vars["inventory_hostname"] in looked_at else []
                return result
            app, firewall = (_plans(task_vars, name) for name in ("__scale_app", "__scale_firewall"))
            plan = scale.assemble(fleet, pools, app, firewall)
            own = scale.parts(fleet, pools, app, firewall).get(task_vars["inventory_hostname"], ())
            result |= {"parts": list(own), "changed": bool(plan.steps), "plan": plan.summary()}
            show_once(self._display, task_vars, plan.as_table())
            write_result(task_vars, self._task.action, result)
            plan.require_allowed()
        except SteelyardError as error:
            raise AnsibleActionFail(str(error), result=result | {"changed": False, **error.details}) from error
        return result


def _plans(task_vars: dict[str, Any], registered: str) -> dict[str, Plan]:
    """Return the plans that hosts registered under this name in this run; hosts without one are left out."""
    found: dict[str, Plan] = {}
    for name in task_vars["ansible_play_hosts_all"]:
        answer = task_vars["hostvars"][name].get(registered)
        if isinstance(answer, Mapping) and isinstance(answer.get("plan"), Mapping):
            found[name] = Plan.from_summary(answer["plan"])
    return found
