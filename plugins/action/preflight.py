# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run `host_facts` and measure the host's clock against this one."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.host.model import clock_skew, merge_facts
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction


class ActionModule(SteelyardAction):
    """`steelyard.stack.preflight`."""

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return `ansible_facts.steelyard_host`, merged into what earlier calls found."""
        before = time.time()
        result = self.call_module("steelyard.stack.host_facts", args, variables)
        after = time.time()
        found = result.get("ansible_facts", {}).get("steelyard_host")
        if result.get("failed") or not found:
            return result
        earlier = dict(variables.get("ansible_facts", {}).get("steelyard_host") or {})
        found["clock_skew"] = clock_skew(before, found["time"], after)
        result["ansible_facts"]["steelyard_host"] = merge_facts(earlier, found)
        return result
