# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide on the control machine what differs, and contact the host only for that."""

from __future__ import annotations

from typing import Any

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.host.tuning import WantedTuning, make_plan
from ansible_collections.steelyard.stack.plugins.modules.host_tuning import ARGUMENT_SPEC
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction

display = Display()


class ActionModule(SteelyardAction):
    """`steelyard.stack.host_tuning`."""

    ARGUMENTS = ARGUMENT_SPEC

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result, with the diff and notes of the plan."""
        facts = variables.get("ansible_facts", {}).get("steelyard_host")
        if not facts:
            raise Refused("the facts that are compared are known", "none", "run steelyard.stack.preflight first")
        plan = make_plan(facts, WantedTuning.from_params(args))
        result: dict[str, Any] = {"changed": bool(plan.apply), "notes": list(plan.notes)}
        for note in plan.notes:
            display.display(f"  note: {variables.get('inventory_hostname', '')}: {note}")
        if not plan.apply:
            return result
        result["diff"] = plan.as_diff()
        if not self._task.check_mode:
            result.update(self.call_module("steelyard.stack.host_tuning", plan.apply, variables))
        return result
