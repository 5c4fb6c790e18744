# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Chooses, on the control machine alone, from which host a cluster is read and changed."""

from __future__ import annotations

from typing import Any, ClassVar

from ansible_collections.steelyard.stack.plugins.module_utils.coordinator import choose
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain


class ActionModule(SteelyardAction):
    """See the documentation of the module of the same name."""

    _requires_connection = False

    ARGUMENTS: ClassVar = {
        "cluster": {"type": "str", "required": True},
        "candidates": {"type": "list", "elements": "str", "required": True},
        "asked": {"type": "list", "elements": "dict", "required": True},
    }

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the coordinator, and what it answered."""
        asked = {str(answer.get("item")): answer for answer in plain(args["asked"])}
        choice = choose(args["cluster"], args["candidates"], asked)
        return {
            "changed": False, "host": choice.host, "answers": bool(choice.seen), "exists": choice.knows,
            "seen": dict(choice.seen),
        }  # fmt: skip
