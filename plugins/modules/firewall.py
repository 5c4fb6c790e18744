#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: Keep a host's packet filter as the inventory wants it
version_added: "0.1.0"
description:
  - Maintains one nftables table, C(inet steelyard), that drops what nobody is stated to need. Other tables, and the
    forward and output hooks, are left alone; the rule set is never flushed.
  - Peers are named sets, two for each inventory group. A host that joins or leaves a group changes elements of these
    sets in place; rules keep their handles and counters.
  - When rules change, the table is replaced in one transaction. Before that a timer is armed on the host that puts
    the former table back, and it is only stopped over a new connection from the control machine.
  - Where packet filtering is forbidden, as in a container without the right to it, that is said and nothing is done.
author:
  - Steelyard authors (@steelyard)
options:
  wanted:
    description: The table as the lookup C(steelyard.stack.wanted) gives it for C(firewall).
    type: dict
    required: true
  leaving:
    description:
      - What to do with addresses of leaving hosts that are in a set. They may still serve until they are drained, so
        V(keep) leaves them; V(remove) takes them out. New ones are never added.
      - Addresses in a set that are of no host of the group stay with either, and a note says so. They may be those of a
        live machine whose line was deleted, or changed, before it had left; see O(prune).
    type: str
    choices: [keep, remove]
    default: remove
  prune:
    description: Take out addresses that are of no host of the group. It has left for good.
    type: bool
    default: false
  confirm_within:
    description: How long a new rule set is on trial.
    type: str
    default: 60s
  operation:
    description: Which part to do; the action plugin calls V(confirm) by itself.
    type: str
    choices: [apply, confirm]
    default: apply
attributes:
  check_mode:
    support: full
    description: Shows the plan.
  diff_mode:
    support: full
    description: The plan, the same in check mode.
  idempotent:
    support: full
    description: A second run does nothing.
"""

EXAMPLES = r"""
- name: Open exactly what the inventory says
  steelyard.stack.firewall:
    wanted: "{{ lookup('steelyard.stack.wanted', 'firewall') }}"

- name: Do not cut off a host that is leaving but not drained yet
  steelyard.stack.firewall:
    wanted: "{{ lookup('steelyard.stack.wanted', 'firewall') }}"
    leaving: keep
    confirm_within: 30s
"""

RETURN = r"""
plan:
  description: The plan, as of every module of this collection.
  type: dict
  returned: always
  sample:
    service: firewall
    cluster: api1
    steps:
      - {id: add_elements/load_balancers_v4, verb: add_elements, subject: load_balancers_v4, detail: 192.0.2.11}
applied:
  description: Ids of the steps that were done.
  type: list
  elements: str
  returned: always
  sample: [add_elements/load_balancers_v4]
armed:
  description: Whether a rollback waits for the confirmation.
  type: bool
  returned: always
  sample: false
notes:
  description: What the operator should know.
  type: list
  elements: str
  returned: always
  sample: []
"""

import socket
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.apply import apply_plan, confirm, read
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import Table
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.plan import Keep, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.host.facts import ssh_peer
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration

ARGUMENT_SPEC: dict[str, Any] = {
    "wanted": {"type": "dict", "required": True},
    "leaving": {"type": "str", "choices": ["keep", "remove"], "default": "remove"},
    "prune": {"type": "bool", "default": False},
    "confirm_within": {"type": "str", "default": "60s"},
    "operation": {"type": "str", "choices": ["apply", "confirm"], "default": "apply"},
}


def run(module: AnsibleModule, client: Client) -> dict[str, Any]:
    """Read, plan and do; raises SteelyardError."""
    wanted = Table.from_dict(module.params["wanted"])
    keep = Keep(leaving=module.params["leaving"] == "keep", unknown=not module.params["prune"])
    if module.params["operation"] == "confirm":
        confirm(client, wanted, keep)
        return {"changed": True, "armed": False}
    seconds = parse_duration(module.params["confirm_within"], "confirm_within")
    seen = read(client, wanted, ssh_peer(), keep)
    plan = make_plan(seen, wanted, socket.gethostname(), keep)
    plan.require_allowed()
    armed = False
    if not module.check_mode:
        if not seen.armed:
            client.forget_rollback()  # left by a run whose control side died; the timer has fired since
        armed = apply_plan(client, plan, seen, wanted, keep, seconds)
    return {
        "changed": bool(plan.steps), "plan": plan.summary(), "diff": plan.as_diff() if plan.steps else {},
        "applied": [] if module.check_mode else [step.id for step in plan.steps], "armed": armed,
        "notes": list(plan.notes),
    }  # fmt: skip


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module, Client())
    except SteelyardError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
