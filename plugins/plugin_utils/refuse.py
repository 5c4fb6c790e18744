# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a check on the control machine refuses: one table for people, the same in the result for programs."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import problem_table, summary
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import failure
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import is_first_host

display = Display()


def refused(problems: Sequence[Problem], of: str) -> dict[str, Any]:
    """Print the table of problems and return the result of a task that refuses them."""
    display.display(problem_table(problems, _width()))
    return {**failure(Refused.of(problems)), "msg": summary(problems, of)}


def refused_plan(plan: Plan, task_vars: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a task whose plan has refusals; its table, with each of them, was printed before.

    A plan is the same on every host of the play, and every host has to fail. Only the first one says why, and without
    the plan, whose refusals would be read once more; the command finds it in the result that is written for it.
    """
    of = f"the plan of {plan.service} {plan.cluster}"
    if is_first_host(task_vars):
        return {**failure(Refused.of(plan.problems)), "msg": summary(plan.problems, of), "changed": False}
    msg = f"{of} is refused; see the table above"
    return {"failed": True, "msg": msg, "exit_code": Refused.exit_code, "changed": False}


def _width() -> int:
    """Return the columns that a table may take; wide where the output is no terminal."""
    return max(100, min(shutil.get_terminal_size(fallback=(140, 25)).columns, 180))
