# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges all hosts of the play together, by what `preflight` read of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.host.judge import UNREACHABLE, judge, notes
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import OPERATIONS
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import MASK
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import failure
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import fleet_from_vars, host_facts, plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.labs import labs_of, sources_of
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction, display
from ansible_collections.steelyard.stack.plugins.plugin_utils.refuse import refused

REGISTERED = "__steelyard_preflight"
PASSWORDS = (
    "ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_become_pass", "ansible_become_password",
    "ansible_sudo_pass",
)  # fmt: skip

ARGUMENTS = {
    "operation": {"type": "str", "default": "site", "choices": list(OPERATIONS)},
    "hosts": {"type": "list", "elements": "str", "default": []},
    "allow_unreachable": {"type": "list", "elements": "str", "default": []},
}


class ActionModule(ClusterAction):
    """See the documentation of the module of the same name."""

    _requires_connection = False
    ARGUMENTS = ARGUMENTS

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return notes, or fail with every problem of every host; the first host that is still there does the work."""
        result: dict[str, Any] = {"changed": False, "problems": [], "notes": []}
        if not _is_first_left(variables):
            return result
        try:
            fleet = fleet_from_vars(variables)
            facts = host_facts(variables)
            hosts = args["hosts"] or _hosts_of(variables, [h.name for h in fleet.hosts])
            said = _said(variables, [name for name in hosts if not facts.get(name)])
            problems = judge(fleet, facts, hosts, args["operation"], args["allow_unreachable"], said)
            forgotten = _forgotten_lab(variables) if problems else ""
            problems = [_with_hint(p, forgotten) for p in problems]
            result |= {"notes": notes(fleet, facts, hosts), "hosts": list(hosts)}
            for note in result["notes"]:
                display.display(f"  note: {note}")
            if problems:
                result |= refused(problems, "the hosts")
        except SteelyardError as error:
            result |= failure(error)
        return self.finish(result, variables)


def _said(task_vars: Mapping[str, Any], hosts: list[str]) -> dict[str, str]:
    """Return what Ansible said of hosts that did not answer, as `preflight` registered it; passwords are masked."""
    found = {}
    for name in hosts:
        variables = task_vars["hostvars"].get(name) or {}
        answer = variables.get(REGISTERED)
        text = str(answer.get("msg") or "") if isinstance(answer, Mapping) else ""
        for secret in (_plain_value(variables, key) for key in PASSWORDS if text):
            text = text.replace(secret, MASK) if secret else text
        found[name] = text
    return found


def _plain_value(variables: Mapping[str, Any], key: str) -> str:
    try:
        return str(variables.get(key) or "")
    except AnsibleError:  # it cannot be made: then Ansible had no value to tell either
        return ""


def _forgotten_lab(task_vars: Mapping[str, Any]) -> str:
    """Return how the lab of this inventory is given, where there is one and it was not given."""
    given = sources_of(task_vars)
    if any(source.lab for source in given):
        return ""
    return " or ".join(f"-i {lab.path}" for lab in labs_of(given))


def _with_hint(problem: Problem, lab: str) -> Problem:
    """Return the problem of hosts that do not answer with the likeliest reason first."""
    if not lab or problem.rule != UNREACHABLE.rule:
        return problem
    return replace(problem, remedy=f"did you forget {lab}? Else {problem.remedy}")


def _is_first_left(task_vars: Mapping[str, Any]) -> bool:
    """Return whether this is the first host still in the play: one that did not answer may have been dropped."""
    left = task_vars.get("ansible_play_hosts") or [task_vars.get("inventory_hostname")]
    return bool(left[0] == task_vars.get("inventory_hostname"))


def _hosts_of(task_vars: Mapping[str, Any], inventory: list[str]) -> list[str]:
    """Return the play's hosts that are in the inventory; the whole inventory when the play is on the control machine."""
    play = {plain(name) for name in task_vars.get("ansible_play_hosts_all") or ()}
    return [name for name in inventory if name in play] or inventory
