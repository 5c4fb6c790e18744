# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The remote half of the modules that run instances on a host: read, apply under the claim, judge.

A module says what it reads, what it tells of the host and who does its steps; the rest is the same for every service.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.claim import (
    PATIENCE,
    WAITING,
    Ground,
    claimed,
    require_patience,
)
from ansible_collections.steelyard.stack.plugins.module_utils.cluster import LOOP_ARGUMENTS, do_steps
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.health import Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.instances.apply import Executor
from ansible_collections.steelyard.stack.plugins.module_utils.instances.plan import Wish
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan

INSTANCES_ARGUMENTS: dict[str, dict[str, Any]] = {
    **LOOP_ARGUMENTS,
    "operation": {"type": "str", "choices": ["read", "apply", "health"], "default": "apply"},
    "host": {"type": "str", "default": ""},
    "remove": {"type": "bool", "default": False},
    "restart": {"type": "str", "choices": ["never", "needed"], "default": "never"},
    "ports": {"type": "list", "elements": "int", "default": []},
    "started_before": {"type": "float", "default": 0},
    "payload": {"type": "str", "default": "", "no_log": True},
}
"""What every such module takes; documented by the fragment `steelyard.stack.instances`."""

AnyWish = TypeVar("AnyWish", bound=Wish[Any])
Seen = TypeVar("Seen")


class HostWork(Generic[AnyWish, Seen]):
    """One call of one module on one host: what it is asked for, and its parameters."""

    GROUND: ClassVar[Ground]

    def __init__(self, wish: AnyWish, params: Mapping[str, Any]) -> None:
        self.wish = wish
        self.params = params

    def look(self) -> tuple[Seen, Plan]:
        """Return what is on the host, and the plan for what is wanted."""
        raise NotImplementedError

    def diffs(self, seen: Seen, plan: Plan) -> list[dict[str, str]]:
        """Return Ansible's diffs: the plan, then each file; secrets masked."""
        raise NotImplementedError

    def observed(self, seen: Seen) -> dict[str, Any]:
        """Return what every operation tells of the host."""
        raise NotImplementedError

    def lacking(self, _seen: Seen) -> dict[str, Any]:
        """Return what has to be brought before the plan can be done, for the action."""
        return {}

    def executor(self, waited: float, hold: tuple[int, ...]) -> Executor[Any, Any]:
        """Return who does the steps; `hold` are files that its children keep open: the claim on the host."""
        raise NotImplementedError

    def judge(self, seen: Seen) -> Verdict:
        """Return the verdict over this host's instances."""
        raise NotImplementedError

    def run(self, check_mode: bool) -> dict[str, Any]:
        """Return the module's result, `failed` in it where steps failed; raises SteelyardError before the first one."""
        operation = self.params["operation"]
        if operation == "read":
            return self.read()
        return self.health() if operation == "health" else self.apply(check_mode)

    def read(self) -> dict[str, Any]:
        """Return what is there and the plan; in check mode and for the action this is all that happens."""
        seen, plan = self.look()
        told = {"plan": plan.summary(), "file_diffs": self.diffs(seen, plan)[1:], **self.lacking(seen)}
        return {"changed": False, **told, **self.observed(seen)}

    def health(self) -> dict[str, Any]:
        """Return the verdict over this host's instances."""
        seen, _plan = self.look()
        verdict = self.judge(seen)
        told = {"verdict": verdict.as_dict(), "summary": verdict.as_table()}
        return {"changed": False, **told, **self.observed(seen)}

    def apply(self, check_mode: bool) -> dict[str, Any]:
        """Do the given steps, or, called without the action, all of them; one run at a time."""
        params = self.params
        given = Plan.from_summary(params["plan"]) if params["plan"] else None
        if check_mode:
            return self._planned(given)
        begun = time.monotonic()
        with claimed((params["lease"] or {}).get("run", ""), params["budget"], self.GROUND) as claim:
            if claim is None:
                require_patience(params["waited"] if given else PATIENCE, self.GROUND)
                rest = [s.id for s in given.steps] if given else []
                waiting = {"changed": False, "applied": [], "remaining": rest, "progress": WAITING}
                return {**waiting, **self.executor(0, ()).told()}
            now = time.monotonic()
            executor = self.executor(claim.working(params["waited"], now), (claim.file,))
            return self._do(executor, given, params["budget"] - (now - begun))

    def _planned(self, given: Plan | None) -> dict[str, Any]:
        """Return what would be done."""
        seen, fresh = self.look()
        fresh.require_allowed()
        plan = given or fresh
        return {
            "changed": bool(plan.steps), "plan": plan.summary(), "applied": [],
            "remaining": [s.id for s in plan.steps], "diff": self.diffs(seen, plan), **self.observed(seen),
        }  # fmt: skip

    def _do(self, executor: Executor[Any, Any], given: Plan | None, budget: float) -> dict[str, Any]:
        """Do the steps while the host is ours."""
        executor.prepare(given is not None)
        if given is None:
            given = self.look()[1]
            given.require_allowed()
        if not given.steps:
            return self._planned(given)
        try:
            done = do_steps(given.steps, executor.execute, budget=budget)
        except SteelyardError as err:
            rest = [s.id for s in given.steps if s.id not in executor.done]
            partly = {"changed": bool(executor.done), "applied": executor.done, "remaining": rest}
            return {"failed": True, "msg": str(err), **err.details, **partly, **executor.told()}
        result = {**done.as_dict(), **executor.told()}
        if not done.remaining:
            result.update(self.observed(self.look()[0]))
        return result
