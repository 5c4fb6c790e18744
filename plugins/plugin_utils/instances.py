# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control side of the modules that run instances on a host: read, then loop over the module until nothing remains.

A run that changes nothing calls the module once. What holds secrets travels as one opaque text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction


class InstancesAction(ClusterAction):
    """Base of these actions; `_packed` says what of the arguments holds secrets."""

    MODULE: ClassVar[str]
    OBSERVED: ClassVar[tuple[str, ...]] = ("seen", "restart_needed", "unplaced")
    """What a result tells of the host as it was read."""

    _requires_connection = True
    _supports_check_mode = True

    def _packed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with `payload` in place of what holds secrets; raises Refused, and names no value."""
        raise NotImplementedError

    def _work(
        self, arguments: dict[str, Any], _found: Mapping[str, Any], plan: Plan, variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Do the plan's steps; `_found` is what was read."""
        return self.run_loop(self.MODULE, arguments, plan, variables)

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Read, and apply where that is asked for; returns one result."""
        arguments = self._packed({"host": variables.get("inventory_hostname", ""), **args})
        if arguments.get("operation", "apply") == "apply":
            return self._apply(arguments, variables)
        return self.call_module(self.MODULE, arguments, variables)

    def _apply(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        found = self.call_module(self.MODULE, {**arguments, "operation": "read"}, variables)
        if found.get("failed") or found.get("unreachable"):
            return found
        plan = Plan.from_summary(found["plan"])
        plan.require_allowed()
        done = self._work(arguments, found, plan, variables)
        # What was read before a failure is not what is there after it.
        observed = {} if done.get("failed") else {key: found[key] for key in self.OBSERVED}
        diff = [plan.as_diff(), *found["file_diffs"]] if plan.steps else []
        return {**observed, **done, "diff": diff}
