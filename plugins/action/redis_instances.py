# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control side of `redis_instances`: what of its arguments holds secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.instances import InstancesAction

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


class ActionModule(InstancesAction):
    """Runs `redis_instances`."""

    MODULE = MODULE
    OBSERVED = (*InstancesAction.OBSERVED, "package")

    def _packed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        text = packed(arguments)
        return {**{k: v for k, v in arguments.items() if k not in PACKED}, "payload": text}
