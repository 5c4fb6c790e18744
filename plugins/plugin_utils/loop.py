# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The loop that every cluster module's action plugin shares: call the module for a few seconds until nothing remains.

    class ActionModule(ClusterAction):
        def _answer(self, args, variables):
            ...
            return self.run_loop("steelyard.stack.nginx_pool", arguments, plan, variables)

The module's own half is in `module_utils/cluster.py`. Between two calls progress is printed, finished steps are
written to the journal, and it is looked whether this run was killed: a worker outlives the main process.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.errors import (
    GateNotPassed,
    Locked,
    SteelyardError,
)
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils import journal, run
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction, failure
from ansible_collections.steelyard.stack.plugins.plugin_utils.progress import Progress
from ansible_collections.steelyard.stack.plugins.plugin_utils.refuse import refused_plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import show_once, write_result

BUDGET = 10.0
"""Seconds that one remote call may take before it begins no further step."""

STALL = 900.0
"""Seconds without a finished step after which the loop gives up, should a module's own gate have no deadline."""

PAUSE = 1.0
"""Seconds between two calls when the first one came back at once, waiting for something."""

display = Display()


class ClusterAction(SteelyardAction):
    """Base of the action plugins of cluster modules."""

    # Two seconds and clocks that a test can turn.
    clock = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def run_loop(
        self,
        module_name: str,
        module_args: Mapping[str, Any],
        plan: Plan,
        task_vars: dict[str, Any],
        *,
        budget: float | None = None,
        stall: float = STALL,
    ) -> dict[str, Any]:
        """Do the steps of `plan` on this host and return one result for all calls.

        The module is called with `module_args` and LOOP_ARGUMENTS. The result has `changed`, `plan` and `diff` (of
        the whole plan, as in check mode), `applied`, `remaining`, and when a call failed its error with
        `exit_code`. In check mode nothing is called. Raises SteelyardError before the first call only.
        """
        plan.require_allowed()
        run.control_process()  # known from now on, should it be killed
        ids = [s.id for s in plan.steps]
        result: dict[str, Any] = {
            "changed": bool(ids), "plan": plan.summary(), "diff": plan.as_diff(), "applied": [], "remaining": ids,
        }  # fmt: skip
        if not ids or self._task.check_mode:
            return self.finish(result, task_vars)
        book = journal.Journal(journal.journal_dir(_sources(task_vars), str(task_vars.get("steelyard_lab", ""))))
        book.prepare()
        result["changed"] = False
        try:
            seconds = BUDGET if budget is None else budget
            self._call_until_done(module_name, module_args, plan, task_vars, result, book, seconds, stall)
        except SteelyardError as err:
            result.update(failure(err))
        finally:
            self.finish(result, task_vars)
        return result

    def _call_until_done(
        self, module_name: str, module_args: Mapping[str, Any], plan: Plan, task_vars: dict[str, Any],
        result: dict[str, Any], book: journal.Journal, budget: float, stall: float,
    ) -> None:  # fmt: skip
        progress = Progress(plan, str(task_vars.get("inventory_hostname", "")), self.clock())
        last_done = self.clock()
        while result["remaining"]:
            begun = self.clock()
            _require_alive(plan)
            arguments = {
                **module_args,
                "plan": plan.only(result["remaining"]).summary(),
                "budget": budget,
                "waited": round(begun - last_done, 3),
                "lease": self._lease(module_args, plan),
            }
            answer = self._execute_module(module_name=module_name, module_args=arguments, task_vars=task_vars)
            now = self.clock()
            applied = [str(i) for i in answer.get("applied", ())]
            answer["timings"] = _whole_timings(answer, applied, begun - last_done)
            failed = bool(answer.get("failed") or answer.get("unreachable"))
            result["applied"] += applied
            result["remaining"] = [i for i in result["remaining"] if i not in applied]
            result["changed"] = result["changed"] or bool(answer.get("changed")) or bool(applied)
            for entry in self._entries(plan, applied, answer, now - begun, task_vars, failed, result["remaining"]):
                book.append(entry)
            for line in progress.lines(result["applied"], applied, answer, now):
                display.display(line)
            if failed:
                result.update(_without_loop_keys(answer))
                return
            if applied:
                last_done = now
            elif now - last_done > stall:
                raise _stalled(plan, result["remaining"][0], str(answer.get("progress", "")), stall)
            elif now - begun < PAUSE:
                self.sleep(PAUSE)
        result.update(_without_loop_keys(answer))

    def show_plan(self, plan: Plan, task_vars: Mapping[str, Any]) -> None:
        """Print the plan's table once, from the first host of the play."""
        show_once(display, task_vars, plan.as_table())

    def tell_plan(self, plan: Plan, show: bool, task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Return the result of a task that made a plan, printed where asked for. Refusals are always, and fail."""
        if plan.refusals or show:
            self.show_plan(plan, task_vars)
        result = {"changed": bool(plan.steps), "plan": plan.summary(), "diff": plan.as_diff()}
        if not plan.refusals:
            return self.finish(result, task_vars)
        refused = refused_plan(plan, task_vars)
        self.finish({**result, **refused}, task_vars)
        return refused

    def finish(self, result: dict[str, Any], task_vars: Mapping[str, Any]) -> dict[str, Any]:
        """Write the result where the command reads it, if it asked for that, and return it."""
        write_result(task_vars, self._task.action, {**result, "check": self._task.check_mode})
        return result

    def _lease(self, module_args: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
        given = dict(module_args.get("lease") or {})
        given.setdefault("cluster", plan.cluster)
        given.setdefault("run", run.run_id())
        return {k: given[k] for k in ("cluster", "run", "token") if given.get(k) is not None}

    def _entries(
        self, plan: Plan, applied: list[str], answer: Mapping[str, Any], seconds: float,
        task_vars: Mapping[str, Any], failed: bool, remaining: list[str],
    ) -> list[journal.Entry]:  # fmt: skip
        """Return what the journal is told of one call: each finished step, and the one that failed."""
        this = run.current_run()
        timings = answer.get("timings") or {}
        told = [(i, journal.DONE, timings.get(i, round(seconds / len(applied), 3))) for i in applied]
        if failed:
            told.append((remaining[0] if remaining else "", journal.FAILED, round(seconds, 3)))
        now = journal.utc(time.time())
        return [
            journal.Entry(
                now, this.id, this.operator, str(task_vars.get("__steelyard_operation", "")), plan.service, plan.cluster,
                step, outcome, took, plan.fingerprint, str(task_vars.get("inventory_hostname", "")),
            )
            for step, outcome, took in told
        ]  # fmt: skip


def _sources(task_vars: Mapping[str, Any]) -> list[str]:
    return [str(s) for s in task_vars.get("ansible_inventory_sources") or ()]


def _require_alive(plan: Plan) -> None:
    if not run.control_is_alive():
        where = f"{plan.service} {plan.cluster}"
        raise Locked("the run is still going on", "its main process was killed", "run it again", where)


def _stalled(plan: Plan, step: str, seen: str, stall: float) -> GateNotPassed:
    rule = f"step {step} is done within {stall:.0f} s"
    where = f"{plan.service} {plan.cluster}"
    return GateNotPassed(rule, seen or "no word from it", "correct its cause and run again", where)


def _whole_timings(answer: Mapping[str, Any], applied: list[str], waited: float) -> dict[str, float]:
    """Return the seconds of each step of one call; the first one was under way in the calls before, too."""
    timings = {str(k): float(v) for k, v in (answer.get("timings") or {}).items()}
    if applied and applied[0] in timings:
        timings[applied[0]] = round(timings[applied[0]] + waited, 3)
    return timings


def _without_loop_keys(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a module says beside the loop's own keys: its error, or what it observed."""
    loop_keys = {"changed", "applied", "remaining", "plan", "diff", "timings", "progress", "invocation"}
    return {k: v for k, v in answer.items() if k not in loop_keys and not k.startswith("_ansible")}
