# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control side of `nginx_pool`: makes plans over all balancers' answers, and has each do its part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Host
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.health import Answers, ok_to_stop
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import SERVICE, STATUS_LISTEN, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import hold_plan, in_phases, make_plan, resume
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction

MODULE = "steelyard.stack.nginx_pool"
REMOTE = ("read", "health")
OUT_OF_SERVICE = ("maintenance", "leaving")


class ActionModule(ClusterAction):
    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        args = {
            "cluster": str(variables.get("nginx_cluster_name", "main")),
            "status_listen": self._variable("nginx_status_listen", STATUS_LISTEN, variables),
            **args,
            "host": str(variables.get("inventory_hostname", args.get("host", ""))),
        }
        operation = args.get("operation")
        if operation in REMOTE:
            return self._remote(args, variables)
        wanted = tuple(Pool.from_dict(p) for p in args.get("pools") or ())
        if operation == "plan":
            return self._plan(args, wanted, variables)
        if operation == "ok_to_stop":
            return _ok_to_stop(args, wanted)
        if operation in ("hold", "unhold"):
            return self._hold(args, wanted, variables)
        if operation == "apply":
            plan = Plan.from_summary(args.get("plan") or {"service": "nginx", "cluster": args["cluster"]})
            steps = in_phases(plan.for_host(args["host"]).steps, str(args.get("phase", "all")))
            return self._apply(args, replace(plan, steps=steps), variables)
        known = ", ".join(("read", "plan", "apply", "hold", "unhold", "health", "ok_to_stop"))
        raise Refused(f"operation is one of {known}", repr(operation), "correct the word", "nginx_pool")

    def _plan(self, args: Mapping[str, Any], wanted: tuple[Pool, ...], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the plan over all balancers; the same on every host, shown once. Refusals fail."""
        hostvars = variables.get("hostvars") or {}
        seen = tuple(
            _balancer(str(name), answer, hostvars.get(name) or {})
            for name, answer in (args.get("seen") or {}).items()
            if str((hostvars.get(name) or {}).get("nginx_cluster_name", "main")) == args["cluster"]
        )
        plan = make_plan(wanted, seen, args["cluster"])
        if args.get("expect"):
            plan = resume(Plan.from_summary(args["expect"]), wanted, seen)
        return self.tell_plan(plan, boolean(args.get("show", True)), variables)

    def _hold(self, args: dict[str, Any], wanted: tuple[Pool, ...], variables: dict[str, Any]) -> dict[str, Any]:
        """Take members out of this balancer's pools for a while, or put them back."""
        answer = self._remote({**args, "operation": "read"}, variables)
        if answer.get("failed") or answer.get("unreachable"):
            return answer
        hosts = [str(h) for h in args.get("hosts") or ()]
        if not hosts:
            raise Refused("hold and unhold name application hosts", "none", "give hosts", "nginx_pool")
        balancer = Balancer.from_dict(answer["balancer"])
        plan = hold_plan(wanted, balancer, hosts, args["operation"] == "unhold", args["cluster"])
        return self._apply(args, plan, variables)

    def _apply(self, args: Mapping[str, Any], plan: Plan, variables: dict[str, Any]) -> dict[str, Any]:
        kept = {k: v for k, v in args.items() if k in ("pools", "host", "cluster", "status_listen", "lease")}
        return self.run_loop(MODULE, {**kept, "operation": "apply"}, plan, variables)

    def _remote(self, args: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        arguments = {k: v for k, v in args.items() if k not in ("seen", "expect", "plan")}
        answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=variables)
        return answer

    def _variable(self, name: str, default: str, variables: Mapping[str, Any]) -> str:
        return str(self._templar.template(variables[name])) if name in variables else default


def _balancer(name: str, answer: Any, variables: Mapping[str, Any]) -> Balancer:
    """Return what one balancer answered; without an answer, that it is unreachable."""
    state = Host(name, vars=variables).state_of(SERVICE)
    answered = isinstance(answer, Mapping) and isinstance(answer.get("balancer"), Mapping)
    found = Balancer.from_dict(answer["balancer"]) if answered else Balancer(name, reachable=False)
    return replace(found, host=name, excused=state in OUT_OF_SERVICE, leaving=state == "leaving")


def _ok_to_stop(args: Mapping[str, Any], wanted: tuple[Pool, ...]) -> dict[str, Any]:
    """Return whether a member may be stopped; raises GateNotPassed, where required, when it may not."""
    balancers = {
        str(name): (_balancer(str(name), answer, {}), Answers.from_dict(answer.get("answers") or {}))
        for name, answer in (args.get("seen") or {}).items()
        if isinstance(answer, Mapping)
    }
    verdict = ok_to_stop(wanted, balancers, str(args.get("member", "")))
    if args.get("required", True) and not verdict.ok:
        remedy = "; ".join(dict.fromkeys(f.remedy for f in verdict.findings if f.severity == "bad"))
        raise GateNotPassed(f"{args.get('member')} may be stopped", verdict.why_not, remedy, "nginx")
    return {"changed": False, "verdict": verdict.as_dict()}
