# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rehearsal never touches production: either every host is a stand-in of one lab, or none is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused


def lab_of(hosts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return the one lab that all `hosts` (name to variables) belong to, None when all are real.

    Raises Refused when real hosts and stand-ins, or stand-ins of two labs, are mixed.
    """
    labs = {name: str(variables.get("steelyard_lab") or "") for name, variables in hosts.items()}
    names = sorted({lab for lab in labs.values() if lab})
    if not names:
        return None
    real = sorted(name for name, lab in labs.items() if not lab)
    problems = [
        Problem(
            host,
            f"a rehearsal in lab {names[0]} touches stand-ins only",
            "this host has no stand-in and keeps its real address",
            "run `steelyard lab up INVENTORY` again, it adds hosts that the inventory gained",
        )
        for host in real
    ]
    if len(names) > 1:
        problems.append(
            Problem(
                "inventory", "a run rehearses in one lab", ", ".join(names), "give the overlay of one lab with -i only"
            )
        )
    if problems:
        raise Refused.of(problems)
    return names[0]
