# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control side of `redis_instances`: read, then loop over the module until nothing remains.

A run that changes nothing calls the module once. What holds secrets travels as one opaque text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction

MODULE = "steelyard.stack.redis_instances"
PACKED: Mapping[str, type] = {"instances": list, "sentinels": list, "clusters": list, "secrets": dict}
"""What the lookup answers; with the secrets goes all that could make them guessable."""


def packed(arguments: Mapping[str, Any]) -> str:
    """Return what holds secrets as one text; raises Refused, and names no value."""
    given = {name: plain(arguments.get(name)) or kind() for name, kind in PACKED.items()}
    for name, kind in PACKED.items():
        if not isinstance(given[name], kind):
            remedy = f"hand in lookup('steelyard.stack.wanted', 'redis_{name}')"
            raise Refused(f"{name} is what the lookup answers", type(given[name]).__name__, remedy, "redis_instances")
    return pack([given])


class ActionModule(ClusterAction):
    """Runs `redis_instances`."""

    _requires_connection = True
    _supports_check_mode = True

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Read and apply; returns one result."""
        arguments = {"host": variables.get("inventory_hostname", ""), **args}
        text = packed(arguments)
        arguments = {**{k: v for k, v in arguments.items() if k not in PACKED}, "payload": text}
        if arguments.get("operation", "apply") == "apply":
            return self._apply(arguments, variables)
        return self._call(arguments, variables)

    def _call(self, arguments: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        return self._execute_module(module_name=MODULE, module_args=dict(arguments), task_vars=task_vars)

    def _apply(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        found = self._call({**arguments, "operation": "read"}, task_vars)
        if found.get("failed") or found.get("unreachable"):
            return found
        plan = Plan.from_summary(found["plan"])
        plan.require_allowed()
        done = self.run_loop(MODULE, arguments, plan, task_vars)
        # What was read before a failure is not what is there after it.
        kept = ("seen", "restart_needed", "unplaced", "package")
        observed = {} if done.get("failed") else {key: found[key] for key in kept}
        diff = [plan.as_diff(), *found["file_diffs"]] if plan.steps else []
        return {**observed, **done, "diff": diff}

    def _execute_module(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Call the module; its arguments are shown nowhere."""
        answer: dict[str, Any] = super()._execute_module(*args, **kwargs)
        answer.pop("invocation", None)
        return answer
