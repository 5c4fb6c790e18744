#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: Take, prove, read or release the lease of a cluster
version_added: 0.1.0
description:
  - Whoever changes a cluster holds its lease, a record on a majority of its members that names who works on it, from
    where, what they do and since when, under a token that only rises.
  - A run that finishes releases the lease. The run of a playbook that was killed is taken over by the next run of the
    same operator and operation, without a question, once its processes have ended. Everybody else is denied until
    the lease is unlocked, because the operation may be half done.
  - Tasks of one playbook run share one lease.
author:
  - Steelyard authors (@steelyard)
attributes:
  check_mode:
    support: full
    description: Nothing is written; the answer is what it would be.
  diff_mode:
    support: none
    description: A lease is no state of the cluster.
  idempotent:
    support: full
    description: Asking for a lease that the run holds prolongs it.
  action:
    support: full
    description: The action fills in who runs the playbook, and from which process.
options:
  state:
    description:
      - V(held) asks each host for the lease and waits where waiting helps. A host that denies it is no failure yet.
      - V(proved) looks at the answers of all members in O(seen) and fails, with exit code 4 in the result, unless
        the run holds the lease on a majority of them. What it does hold is then released.
      - V(absent) releases what this run holds. With O(force) it releases the lease whoever holds it (unlocks it).
      - V(read) only looks.
    type: str
    choices: [held, proved, absent, read]
    default: held
  service:
    description: The service, such as V(nginx).
    type: str
    required: true
  cluster:
    description: The cluster's name.
    type: str
    default: main
  operation:
    description: What is being done, such as V(scale). A killed run is taken over only by one of the same operation.
    type: str
    default: ""
  seen:
    description: With O(state=proved), the registered results of O(state=held) of all members.
    type: list
    elements: raw
    default: []
  members:
    description: The hosts a majority is counted of. The action takes the hosts of the play when not given.
    type: list
    elements: str
    default: []
  ttl:
    description:
      - How long the lease lasts when it is not renewed. Long enough for the longest stretch in which a member is not
        visited; a killed run on the same control machine is taken over at once, however long it is.
    type: str
    default: 5m
  force:
    description: Take or release the lease whoever holds it. For the operator's decision to unlock, never for a routine.
    type: bool
    default: false
  run:
    description: The run's id. Filled in by the action.
    type: str
    default: ""
  operator:
    description: Who runs it. Filled in by the action.
    type: str
    default: ""
  holder:
    description: The control process, as host, boot_id, pid and start. Filled in by the action.
    type: dict
  proved_dead:
    description: A control process whose end the control machine has proved. Filled in by the action.
    type: dict
  directory:
    description: Where a member keeps its leases.
    type: path
    default: /var/lib/steelyard/lease
"""

EXAMPLES = r"""
- name: Take the lease on every balancer
  steelyard.stack.lease:
    state: held
    service: nginx
    operation: scale
  register: __lease

- name: Go on only with a majority
  steelyard.stack.lease:
    state: proved
    service: nginx
    seen: "{{ ansible_play_hosts_all | map('extract', hostvars) | map(attribute='__lease', default={}) | list }}"

- name: Release it, in the always section of the block
  steelyard.stack.lease:
    state: absent
    service: nginx

- name: Unlock what an operator left behind
  steelyard.stack.lease:
    state: absent
    service: nginx
    force: true
"""

RETURN = r"""
held:
  description: Whether this run holds the lease here; with O(state=proved), on a majority; with O(state=read), anyone.
  type: bool
  returned: always
  sample: true
verdict:
  description: V(granted), V(denied) or V(wait).
  type: str
  returned: O(state=held)
  sample: granted
why:
  description: Who holds the lease, from where, what they do and since when.
  type: str
  returned: always
  sample: held by alice, process 4711 on ctl1, scale since 2026-11-21T07:24:00Z, run ctl1-4711-9f86d081
handle:
  description: What a cluster module takes as its argument C(lease).
  type: dict
  returned: O(state=held)
  sample: {cluster: main, run: ctl1-4711-9f86d081, token: 7}
lease:
  description: The record, as it was found (absent, read) or as it is now (held).
  type: dict
  returned: O(state=held), O(state=absent), O(state=read)
  sample:
    service: nginx
    cluster: main
    token: 7
    run: ctl1-4711-9f86d081
    operator: alice
    operation: scale
    since: 1795246000.0
    expires: 1795246300.0
    holder: {host: ctl1, boot_id: 3b5a77f2/4026531836, pid: 4711, start: 123456}
    remote: null
retry_after:
  description: Seconds after which asking again can help.
  type: float
  returned: O(state=held)
  sample: 0.0
exit_code:
  description: What the command exits with, 4 when somebody else holds the lease.
  type: int
  returned: on failure
  sample: 4
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.lease import DIRECTORY, LeaseFile
from ansible_collections.steelyard.stack.plugins.module_utils.lease_rules import GRANTED, WAIT, Request
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration

BUDGET = 8.0
PAUSE = 0.25


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["held", "proved", "absent", "read"], "default": "held"},
            "service": {"type": "str", "required": True},
            "cluster": {"type": "str", "default": "main"},
            "operation": {"type": "str", "default": ""},
            "seen": {"type": "list", "elements": "raw", "default": []},
            "members": {"type": "list", "elements": "str", "default": []},
            "ttl": {"type": "str", "default": "5m"},
            "force": {"type": "bool", "default": False},
            "run": {"type": "str", "default": ""},
            "operator": {"type": "str", "default": ""},
            "holder": {"type": "dict"},
            "proved_dead": {"type": "dict"},
            "directory": {"type": "path", "default": DIRECTORY},
        },
        supports_check_mode=True,
    )
    try:
        result = answer(module.params, module.check_mode)
    except SteelyardError as err:
        module.fail_json(msg=str(err), **err.details)
    module.exit_json(**result)


def answer(params: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Return the module's result; raises SteelyardError."""
    file = LeaseFile(params["service"], params["cluster"], params["directory"])
    if params["state"] == "held":
        return hold(file, request_of(params), dry)
    seen = file.read()
    found = {"held": seen is not None and seen.held, "why": str(seen or "held by nobody"),
             "lease": seen.as_dict() if seen else None}  # fmt: skip
    if params["state"] == "read":
        return {"changed": False, **found}
    changed = file.release(params["run"], params["force"], dry)
    held = seen is not None and seen.held and seen.run == params["run"] and not changed
    return {"changed": changed, **found, "held": held}


def hold(file: LeaseFile, request: Request, dry: bool) -> dict[str, Any]:
    """Ask for the lease, and for a few seconds again while an old run's module comes to its end here."""
    before = file.read()
    verdict = file.acquire(request, dry=dry)
    end = time.monotonic() + BUDGET
    while verdict.outcome == WAIT and verdict.record is not None and not dry and time.monotonic() < end:
        time.sleep(PAUSE)
        verdict = file.acquire(request)
    now = verdict.record or file.read()
    return {
        "changed": verdict.record is not None and (before is None or before.run != request.run),
        "held": verdict.outcome == GRANTED,
        "verdict": verdict.outcome,
        "why": verdict.why,
        "retry_after": verdict.retry_after,
        "handle": {"cluster": request.cluster, "run": request.run, "token": verdict.token},
        "lease": now.as_dict() if now else None,
    }


def request_of(params: dict[str, Any]) -> Request:
    """Return who asks; raises Refused when the action did not say."""
    if not params["run"] or not params["holder"]:
        raise Refused("a lease is asked for by a run", "no run", "use it as a task of a playbook", "lease")
    dead = params["proved_dead"]
    return Request(
        params["service"], params["cluster"], params["run"], params["operator"], params["operation"],
        Process.from_dict(params["holder"]), parse_duration(params["ttl"], "ttl"), params["force"],
        Process.from_dict(dead) if dead else None,
    )  # fmt: skip


if __name__ == "__main__":
    main()
