# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control side of `redis_cluster`: makes plans and verdicts of what nodes answered, and has the coordinator do them.

The module runs with the Python that has the client library, not the host's own. What holds secrets travels as one
opaque text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack, unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan_steps import ASSIGN
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    REQUIREMENTS,
    SERVICE,
    ClusterSpec,
    Secrets,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.modes import mode_of
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration
from ansible_collections.steelyard.stack.plugins.modules.redis_cluster import ARGUMENTS
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import PAUSE, ClusterAction

MODULE = "steelyard.stack.redis_cluster"
REMOTE = ("read", "health", "put_back")
NOT_FOUND = 127
"""What a shell returns for a program that is not there."""
KEPT = ("cluster", "payload", "lease", "required")
"""What the module needs of a task's arguments."""


class ActionModule(ClusterAction):
    """See the documentation of the module of the same name."""

    _supports_check_mode = True

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        secrets, args = plain(args.get("secrets")) or {}, {k: v for k, v in args.items() if k != "secrets"}
        args = _checked(args)
        wanted = ClusterSpec.from_dict(args["cluster"])
        mode_of(wanted)
        self._interpreter = args["interpreter"]
        operation = args["operation"]
        if operation == "plan":
            return self._plan(args, wanted, variables)
        if operation == "ok_to_stop":
            return _ok_to_stop(args, wanted)
        arguments = {k: args[k] for k in KEPT if args.get(k) is not None}
        arguments["payload"] = packed(secrets, wanted)
        if operation in REMOTE:
            return self._ask({**arguments, "operation": operation}, parse_duration(args["within"], "within"), variables)
        plan = Plan.from_summary(args["plan"] or {"service": SERVICE, "cluster": wanted.name})
        require_confirmed(plan, args["confirm"])
        return self.run_loop(MODULE, {**arguments, "operation": "apply"}, plan, variables)

    def _ask(self, arguments: Mapping[str, Any], within: float, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the module's answer; ask again, as long as told to, while its gate is not passed."""

        def once() -> dict[str, Any]:
            return self.call_module(MODULE, arguments, variables)

        answer, end = once(), self.clock() + within
        while answer.get("exit_code") == GateNotPassed.exit_code and self.clock() < end:
            self.sleep(PAUSE)
            answer = once()
        return answer

    def _plan(self, args: Mapping[str, Any], wanted: ClusterSpec, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the plan, shown once. Refusals fail."""
        mode, seen = mode_of(wanted), seen_of(args["seen"], wanted)
        if args["switchover_to"] and "switchover_to" not in mode.choices:
            remedy = "remove switchover_to; a master is handed over where its host is in maintenance"
            raise Refused("switchover_to is for clusters with one primary", f"mode {wanted.mode}", remedy,
                          f"redis {wanted.name}")  # fmt: skip
        if args["expect"]:
            plan = mode.resume(Plan.from_summary(args["expect"]), wanted, seen, upgrading=args["upgrading"])
        else:
            plan = mode.plan(wanted, seen, **{k: args[k] for k in mode.choices})
        if not mode.answers(seen):
            plan = replace(plan, notes=(*plan.notes, "no instance answers: planned from the inventory alone"))
        return self.tell_plan(plan, args["show"], variables)

    def _execute_module(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Call the module with the Python that has the library."""
        kwargs["task_vars"] = with_interpreter(kwargs.get("task_vars") or {}, self._interpreter)
        answer: dict[str, Any] = super()._execute_module(*args, **kwargs)
        if answer.get("failed") and _is_missing(answer, self._interpreter):
            remedy = f"run site.yml for it: the role base installs {', '.join(REQUIREMENTS)} there"
            host = str(kwargs["task_vars"].get("inventory_hostname", ""))
            raise Refused("the coordinator has the client library", f"no {self._interpreter}", remedy, host)
        return answer


def with_interpreter(variables: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return a task's variables with another Python, for the host itself and whomever it delegates to."""
    chosen = {"ansible_python_interpreter": path}
    delegated = {k: {**v, **chosen} for k, v in (variables.get("ansible_delegated_vars") or {}).items()}
    return {**variables, **chosen, **({"ansible_delegated_vars": delegated} if delegated else {})}


def _is_missing(answer: Mapping[str, Any], path: str) -> bool:
    """Whether the module could not be started, because that Python is not there."""
    said = " ".join(str(answer.get(k, "")) for k in ("msg", "module_stderr", "module_stdout", "exception"))
    return path in said and (answer.get("rc") == NOT_FOUND or "not found" in said or "No such file" in said)


def packed(secrets: Any, wanted: ClusterSpec) -> str:
    """Return the secrets of one cluster as one text; raises Refused, and names no value."""
    where = f"redis {wanted.name}"
    if not isinstance(secrets, Mapping) or not isinstance(secrets.get(wanted.name), Mapping):
        seen = "none of this cluster" if isinstance(secrets, Mapping) else type(secrets).__name__
        remedy = "hand in lookup('steelyard.stack.wanted', 'redis_secrets') of a host with an instance of the cluster"
        raise Refused("secrets are what the lookup answers", seen, remedy, where)
    return pack([Secrets.from_dict(secrets[wanted.name]).as_dict()])


def seen_of(seen: Mapping[str, Any], wanted: ClusterSpec) -> Any:
    """Return what was read, as the cluster's mode has it; raises Refused for a read that failed."""
    if seen and not isinstance(seen.get("nodes"), str):
        why = str(seen.get("msg") or "no answer of read in it")
        raise Refused("seen is what read answered", why, "correct its cause and read again", f"redis {wanted.name}")
    return mode_of(wanted).seen(unpack(seen["nodes"]) if seen else (), wanted)


def require_confirmed(plan: Plan, confirm: str) -> None:
    """Raise Refused where a plan gives up keys and its cluster's name was not said."""
    for step in plan.steps:
        if step.verb == ASSIGN and confirm != plan.cluster:
            seen = step.args.get("lost") or step.detail
            remedy = f"if they are gone for good, run with confirm: {plan.cluster}"
            raise Refused("keys that are given up are confirmed", seen, remedy, f"redis {plan.cluster}")


def _ok_to_stop(args: Mapping[str, Any], wanted: ClusterSpec) -> dict[str, Any]:
    """Return whether a member may be stopped; raises GateNotPassed, where required, when it may not."""
    if not args["member"]:
        raise Refused("ok_to_stop names a member", "none", "give member", f"redis {wanted.name}")
    verdict = mode_of(wanted).ok_to_stop(wanted, seen_of(args["seen"], wanted), args["member"])
    if args["required"] and not verdict.ok:
        remedy = "; ".join(dict.fromkeys(f.remedy for f in verdict.findings if f.severity == "bad" and f.remedy))
        raise GateNotPassed(f"{args['member']} may be stopped", verdict.why_not, remedy, SERVICE)
    return {"changed": False, "verdict": verdict.as_dict(), "summary": verdict.as_table()}


def _checked(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task's arguments with types and defaults; raises Refused."""
    spec = {k: v for k, v in ARGUMENTS.items() if k != "secrets"}
    result = ArgumentSpecValidator(spec).validate(dict(args))
    if result.error_messages:
        wrong = "; ".join(result.error_messages)
        raise Refused("arguments are what the options describe", wrong, "see ansible-doc", "redis_cluster")
    found: dict[str, Any] = result.validated_parameters
    return found
