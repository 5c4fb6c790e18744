# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control side of `lease`: says who asks, proves that a killed run has ended, waits, and counts the majority."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils import lease_rules
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Locked, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process, is_alive
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, parse_duration
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction, failure
from ansible_collections.steelyard.stack.plugins.plugin_utils.run import current_run

MODULE = "steelyard.stack.lease"
STATES = ("held", "proved", "absent", "read")
LONGEST_PAUSE = 5.0

display = Display()


class ActionModule(SteelyardAction):
    clock = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(args)
        try:
            state = _state_of(arguments)
            this = current_run()
            arguments |= {"state": state, "run": this.id, "operator": this.operator, "holder": this.control.as_dict()}
            if state == "proved":
                answer = self._prove(arguments, variables)
            elif state == "held":
                arguments["operation"] = arguments.get("operation") or variables.get("__steelyard_operation", "")
                answer = self._hold(arguments, variables)
            else:
                answer = self._ask(arguments, variables)
        except SteelyardError as err:
            answer = failure(err)
        return {**answer, "member": str(variables.get("inventory_hostname", ""))}

    def _ask(self, arguments: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=dict(arguments), task_vars=variables
        )
        return answer

    def _hold(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Ask until the lease is granted or denied, or until waiting has lasted longer than it ever should."""
        host = str(variables.get("inventory_hostname", ""))
        patience = parse_duration(arguments.get("ttl", "5m"), "ttl") + 2 * lease_rules.LONGEST_STEP
        end = self.clock() + patience
        while True:
            answer = self._ask(arguments, variables)
            if answer.get("failed") or answer.get("held"):
                return answer
            dead = _proved_dead(answer)
            if dead is not None and arguments.get("proved_dead") != dead:
                arguments["proved_dead"] = dead
                continue
            if answer["verdict"] != lease_rules.WAIT or self._task.check_mode or self.clock() > end:
                return answer
            pause = min(float(answer["retry_after"]), LONGEST_PAUSE)
            about = format_duration(float(answer["retry_after"]))
            display.display(f"{host} lease {arguments['service']}: {answer['why']}; asks again (at most {about} left)")
            self.sleep(pause)

    def _prove(self, arguments: Mapping[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the token when a majority granted the lease; else release what is ours here and raise Locked."""
        members = [str(m) for m in arguments.get("members") or variables.get("ansible_play_hosts_all") or ()]
        answers = {str(a.get("member", "")): a for a in arguments.get("seen") or () if isinstance(a, Mapping)}
        if not members:
            raise Refused("a majority is counted of some members", "none", "give members", "lease")
        cluster = f"{arguments['service']} {arguments.get('cluster', 'main')}"
        problems = lease_rules.majority(answers, members, cluster)
        if not problems:
            return {"changed": False, "held": True, "why": f"a majority of {len(members)} member(s) granted it"}
        error = Locked.of(problems)
        if self._task.check_mode:
            display.warning(f"would not be done now: {error}")
            return {"changed": False, "held": False, "why": str(error)}
        own = {k: v for k, v in arguments.items() if k not in ("seen", "members")}
        self._ask({**own, "state": "absent", "force": False}, variables)
        raise error


def _state_of(arguments: Mapping[str, Any]) -> str:
    state = str(arguments.get("state", "held"))
    if state not in STATES:
        raise Refused(f"state is one of {', '.join(STATES)}", repr(state), "correct the word", "lease")
    if not arguments.get("service"):
        raise Refused("a lease is a service's", "no service", "give service, e.g. nginx", "lease")
    return state


def _proved_dead(answer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the control process that denies us the lease if it ran on this machine and has ended."""
    holder = (answer.get("lease") or {}).get("holder")
    if not holder or is_alive(Process.from_dict(holder)) is not False:
        return None
    return Process.from_dict(holder).as_dict()
