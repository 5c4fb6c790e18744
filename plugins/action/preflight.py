# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run `host_facts` and measure the host's clock against this one."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.steelyard.stack.plugins.module_utils.host.model import clock_skew, merge_facts


class ActionModule(ActionBase):
    """`steelyard.stack.preflight`."""

    TRANSFERS_FILES = False

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return `ansible_facts.steelyard_host`, merged into what earlier calls found."""
        task_vars = task_vars or {}
        result: dict[str, Any] = super().run(tmp, task_vars)
        before = time.time()
        result.update(
            self._execute_module(
                module_name="steelyard.stack.host_facts", module_args=dict(self._task.args), task_vars=task_vars
            )
        )
        after = time.time()
        found = result.get("ansible_facts", {}).get("steelyard_host")
        if result.get("failed") or not found:
            return result
        earlier = dict(task_vars.get("ansible_facts", {}).get("steelyard_host") or {})
        found["clock_skew"] = clock_skew(before, found["time"], after)
        result["ansible_facts"]["steelyard_host"] = merge_facts(earlier, found)
        result.pop("invocation", None)
        return result
