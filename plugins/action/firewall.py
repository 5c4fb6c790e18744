# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Load a rule set on trial, and keep it only when a new connection to the host succeeds."""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import Table, resolved
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until
from ansible_collections.steelyard.stack.plugins.modules.firewall import ARGUMENT_SPEC
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction

display = Display()
MODULE = "steelyard.stack.firewall"
GRACE = 30.0  # for systemd to run the rollback, and for a last connection attempt


class ActionModule(SteelyardAction):
    """`steelyard.stack.firewall`."""

    ARGUMENTS = ARGUMENT_SPEC

    # A clock that a test can turn.
    clock = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result; when a rule set is on trial, after its confirmation."""
        table = Table.from_dict(args["wanted"])
        args["wanted"] = resolved(table, look_up(table)).as_dict()
        end = self.clock() + parse_duration(args["confirm_within"], "confirm_within")
        result = self._call(args, variables)
        if not result.get("failed") and result.get("armed"):
            result = self._confirm(result, args, variables, end)
        for note in result.get("notes", ()):
            display.display(f"  note: {note}")
        return result

    def _confirm(
        self, result: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any], end: float
    ) -> dict[str, Any]:
        """Connect anew, which is the proof, and stop the rollback; else wait until it has run and say so."""
        lost: list[AnsibleConnectionFailure] = []

        def connect() -> dict[str, Any]:
            self._connection.reset()
            try:
                return self._call({**args, "operation": "confirm"}, task_vars)
            except AnsibleConnectionFailure as error:
                if not lost:
                    display.display("  firewall: no new connection; waiting for the host to take the rule set back")
                lost.append(error)
                return {}

        deadline = end + GRACE - self.clock()
        try:
            # A refused connection comes back at once: the pause between two attempts grows.
            answer = wait_until(connect, bool, deadline, "a new connection", clock=self.clock, sleep=self.sleep)
        except GateNotPassed:
            raise lost[-1] from None
        if answer.get("failed"):
            if lost:
                answer["msg"] = f"{answer['msg']}\nThe new connection failed with: {lost[-1]}"
            return {**result, **answer, "applied": [], "armed": False, "changed": False}
        return {**result, "armed": False}

    def _call(self, args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        answer = self.call_module(MODULE, args, task_vars)
        if answer.get("unreachable"):
            raise AnsibleConnectionFailure(str(answer.get("msg", "unreachable")))
        return answer


def look_up(table: Table) -> dict[str, list[str]]:
    """Return the addresses of the hosts that the inventory names without one, as this machine knows them."""
    found: dict[str, list[str]] = {}
    for name in sorted({name for peers in table.sets for _host, name, _gone in peers.names}):
        try:
            infos = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
        except OSError:
            found[name] = []
            continue
        addresses = {str(info[4][0]).partition("%")[0] for info in infos}
        found[name] = sorted(a for a in addresses if not ipaddress.ip_address(a).is_loopback)
    return found
