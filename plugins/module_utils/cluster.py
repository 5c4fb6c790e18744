# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The remote half of the shared loop: do steps of a plan for a few seconds, then say what remains.

A cluster module adds LOOP_ARGUMENTS to its argument spec; `ClusterAction.run_loop` fills them in.

    plan = Plan.from_summary(module.params["plan"])
    with working_lease(plan.service, module.params["lease"]) as lease:
        work = do_steps(plan.steps, execute, budget=module.params["budget"], renew=lease.renew)
    module.exit_json(**work.as_dict())
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step

LOOP_ARGUMENTS: dict[str, dict[str, Any]] = {
    "plan": {"type": "dict", "default": {}},
    "budget": {"type": "float", "default": 10.0},
    "waited": {"type": "float", "default": 0.0},
    "lease": {
        "type": "dict",
        "options": {
            "cluster": {"type": "str", "required": True},
            "run": {"type": "str", "required": True},
            "token": {"type": "int", "no_log": False},
        },
    },
}
"""`plan`: the summary of the steps that remain. `budget`: seconds after which no further step is begun. `waited`:
seconds that the first of these steps has been under way in earlier calls (a gate's deadline counts them). `lease`:
for `working_lease`."""


@dataclass
class Work:
    """What one call did: step ids in order, the seconds of each, and what is seen of a step under way."""

    applied: list[str] = field(default_factory=list)
    remaining: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    progress: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return what a module hands to `exit_json`."""
        return {
            "changed": bool(self.applied),
            "applied": self.applied,
            "remaining": self.remaining,
            "timings": self.timings,
            "progress": self.progress,
        }


def do_steps(
    steps: Iterable[Step],
    execute: Callable[[Step, float], str | None],
    *,
    budget: float,
    renew: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Work:
    """Execute steps in order until the budget is used up.

    `execute` gets the step and the seconds left; it returns None when the step is done, else what it is waiting for
    ("12 connections left"): then the call ends there and the next one goes on with the same step. `renew` is called
    before each step. What either raises is passed on; an expected error then also says what was done before it, in
    its `details`, for `fail_json`.
    """
    end = clock() + budget
    work = Work()
    todo = list(steps)
    while todo and (clock() < end or not work.applied):
        begun = clock()
        try:
            renew()
            waiting_for = execute(todo[0], max(0.0, end - begun))
        except SteelyardError as err:
            work.remaining = [s.id for s in todo]
            err.partial = work.as_dict()
            raise
        if waiting_for is not None:
            work.progress = waiting_for
            break
        step = todo.pop(0)
        work.applied.append(step.id)
        work.timings[step.id] = round(clock() - begun, 3)
    work.remaining = [s.id for s in todo]
    return work
