# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide on the control machine what differs, and contact the host only for that."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.host.tuning import WantedTuning, make_plan
from ansible_collections.steelyard.stack.plugins.modules.host_tuning import ARGUMENT_SPEC

display = Display()


class ActionModule(ActionBase):
    """`steelyard.stack.host_tuning`."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result, with the diff and notes of the plan."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, args = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        facts = task_vars.get("ansible_facts", {}).get("steelyard_host")
        if not facts:
            return {**result, "failed": True, "msg": "run steelyard.stack.preflight first: its facts are compared"}
        plan = make_plan(facts, WantedTuning.from_params(args))
        result.update({"changed": bool(plan.apply), "notes": list(plan.notes)})
        for note in plan.notes:
            display.display(f"  note: {task_vars.get('inventory_hostname', '')}: {note}")
        if not plan.apply:
            return result
        result["diff"] = plan.as_diff()
        if not self._task.check_mode:
            result.update(
                self._execute_module(
                    module_name="steelyard.stack.host_tuning", module_args=dict(plan.apply), task_vars=task_vars
                )
            )
            result.pop("invocation", None)
        return result
