#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: nginx_pool
short_description: Read, plan and change who is a member of the pools of a cluster of nginx balancers
version_added: 0.1.0
description:
  - Compares the members that the inventory wants in each pool with those that every balancer has, and adds, drains
    and removes members so that no request fails.
  - A member is added after it has answered from every balancer that gains it, and the step is done when a request
    through the balancer has reached it.
  - A member is drained by marking it down and waiting until the kernel shows no connection from the balancer's nginx
    to it; only then its line is removed.
  - All changes of one phase on one balancer are one transaction - staged, checked by nginx itself, swapped, loaded by
    one reload, proved by asking the running nginx for the digest of what it has loaded - and the last good files come
    back when any of it fails.
  - Killed anywhere and run again, it finishes.
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.loop
  - steelyard.stack.planning
attributes:
  idempotent:
    support: full
    description: Without a difference there is no step, no write and no reload.
options:
  operation:
    description:
      - V(read) returns what this balancer shows.
      - V(plan) compares the answers of all balancers in O(seen) with the inventory. It contacts nobody.
      - V(apply) does this balancer's part of O(plan). The run must hold the lease of the cluster.
      - V(hold) takes the members on O(hosts) out of this balancer's pools for a while, under an undo note that the
        next V(plan) puts back if this run does not. V(unhold) puts them back. Both need the lease.
      - V(health) asks every member, pool and site from this balancer, and fails when it does not serve.
      - V(ok_to_stop) says, from the V(health) answers of all balancers in O(seen), whether O(member) may be stopped,
        and fails when that would hurt. It contacts nobody.
    type: str
    choices: [read, plan, apply, hold, unhold, health, ok_to_stop]
    required: true
  pools:
    description: The wanted pools, as the lookup P(steelyard.stack.wanted#lookup) returns them for C(nginx_pools).
    type: list
    elements: dict
    default: []
  seen:
    description: The registered results of V(read) or V(health), by balancer.
    type: dict
    default: {}
  phase:
    description:
      - Which steps of O(plan) to do. V(add) also enables members and loads what is written, V(drain) also disables
        members, V(remove) deletes lines, and notes whose member is gone. V(all) is these three in order.
    type: str
    choices: [add, drain, remove, all]
    default: all
  hosts:
    description: The application hosts whose members are held or put back.
    type: list
    elements: str
    default: []
  member:
    description: The application host or balancer that is to be stopped.
    type: str
    default: ""
  sites:
    description: The sites that O(operation=health) asks as well, as P(steelyard.stack.nginx_sites#filter) returns them.
    type: list
    elements: dict
    default: []
  cluster:
    description: The cluster of balancers. The action takes C(nginx_cluster_name), else V(main).
    type: str
    default: main
  status_listen:
    description: Where nginx's status listener is. The action takes C(nginx_status_listen).
    type: str
    default: 127.0.0.1:8080
  host:
    description: This balancer's name in the inventory. Filled in by the action.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Read every pool
  steelyard.stack.nginx_pool:
    operation: read
    pools: "{{ lookup('steelyard.stack.wanted', 'nginx_pools') }}"
  register: __nginx_seen

- name: Compare the pools with the inventory
  steelyard.stack.nginx_pool:
    operation: plan
    pools: "{{ lookup('steelyard.stack.wanted', 'nginx_pools') }}"
    seen: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars, '__nginx_seen'))) }}"
  register: __nginx_plan

- name: Drain what leaves
  steelyard.stack.nginx_pool:
    operation: apply
    phase: drain
    pools: "{{ lookup('steelyard.stack.wanted', 'nginx_pools') }}"
    plan: "{{ __nginx_plan.plan }}"

- name: Take a host out of the pools while it restarts
  steelyard.stack.nginx_pool:
    operation: hold
    hosts: [api1]
    pools: "{{ lookup('steelyard.stack.wanted', 'nginx_pools') }}"
"""

RETURN = r"""
balancer:
  description: What this balancer shows.
  type: dict
  returned: O(operation=read), O(operation=health)
  sample:
    host: lb1
    reachable: true
    installed: true
    running: true
    excused: false
    leaving: false
    leftovers: true
    version: 1.26.3
    old_generations: 0
    held: [[api, 192.0.2.12:8000]]
    pools:
      api:
        loaded: true
        digest: 3f9c01d2a4b5c6d7
        connections: {"192.0.2.11:8000": 4}
        members:
          - {host: api1, address: 192.0.2.11, port: 8000, down: false, backup: false, weight: 1, max_fails: 3,
             fail_timeout: 30, max_conns: 0, extra: []}
verdict:
  description: Whether the balancer serves, or the member may be stopped, and why not.
  type: dict
  returned: O(operation=health), O(operation=ok_to_stop)
  sample: {ok: true, findings: []}
answers:
  description: What members, pools and sites said; an empty word means well.
  type: dict
  returned: O(operation=health)
  sample:
    members: [{pool: api, endpoint: "192.0.2.11:8000", said: ""}]
    through: {api: ""}
    sites: {market: ""}
plan:
  description: The plan, or this balancer's part of it.
  type: dict
  returned: O(operation=plan), O(operation=apply), O(operation=hold), O(operation=unhold)
  sample:
    service: nginx
    cluster: main
    fingerprint: 3f9c01d2a4b5c6d7
    steps:
      - {id: "add/api/api3:8000", verb: add, subject: "api3:8000 in api on lb1", detail: "healthy first", bytes: 0,
         seconds: 1.0, disruption: none, hosts: [lb1], args: {pool: api, host: api3}}
    refusals: []
    notes: []
applied:
  description: The ids of the steps that were done.
  type: list
  elements: str
  returned: O(operation=apply), O(operation=hold), O(operation=unhold)
  sample: ["add/api/api3:8000"]
remaining:
  description: The ids of the steps that were not.
  type: list
  elements: str
  returned: O(operation=apply), O(operation=hold), O(operation=unhold)
  sample: []
exit_code:
  description: On failure, 2 for a refusal, 3 for moved state, 4 for a lease held by another, 5 for a gate not passed.
  type: int
  returned: on failure
  sample: 5
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.cluster import LOOP_ARGUMENTS, do_steps
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.lease import working_lease
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import Client, ask_everybody, read_balancer
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.health import judge
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sites import Site
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan

OPERATIONS = ["read", "plan", "apply", "hold", "unhold", "health", "ok_to_stop"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "operation": {"type": "str", "required": True, "choices": OPERATIONS},
            "pools": {"type": "list", "elements": "dict", "default": []},
            "seen": {"type": "dict", "default": {}},
            "expect": {"type": "dict", "default": {}},
            "show": {"type": "bool", "default": True},
            "phase": {"type": "str", "choices": ["add", "drain", "remove", "all"], "default": "all"},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "member": {"type": "str", "default": ""},
            "required": {"type": "bool", "default": True},
            "sites": {"type": "list", "elements": "dict", "default": []},
            "cluster": {"type": "str", "default": "main"},
            "status_listen": {"type": "str", "default": "127.0.0.1:8080"},
            "host": {"type": "str", "default": ""},
            **LOOP_ARGUMENTS,
        },
        supports_check_mode=True,
    )
    try:
        result = answer(module.params, module.check_mode)
    except SteelyardError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)


def answer(params: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Return the module's result; raises SteelyardError."""
    client = Client(params["status_listen"])
    wanted = tuple(Pool.from_dict(p) for p in params["pools"])
    if params["operation"] == "read":
        balancer = read_balancer(client, params["host"], wanted)
        return {"changed": False, "balancer": balancer.as_dict()}
    if params["operation"] == "health":
        return health(client, wanted, params)
    if params["operation"] == "apply":
        return apply(client, wanted, params, dry)
    raise Refused("this operation is the action's", params["operation"], "use it as a task of a playbook")


def health(client: Client, wanted: tuple[Pool, ...], params: dict[str, Any]) -> dict[str, Any]:
    """Return what this balancer and all behind it say; raises GateNotPassed where that is not good."""
    balancer = read_balancer(client, params["host"], wanted)
    sites = tuple(Site.from_dict(s) for s in params["sites"])
    answers = ask_everybody(client, balancer, wanted, sites)
    verdict = judge(wanted, balancer, answers, client.stub_status() if balancer.running else None)
    if params["required"] and not verdict.ok:
        remedy = "; ".join(f.remedy for f in verdict.findings if f.severity == "bad")
        raise GateNotPassed(f"{params['host']} serves", verdict.why_not, remedy, "nginx")
    return {
        "changed": False, "balancer": balancer.as_dict(), "answers": answers.as_dict(), "verdict": verdict.as_dict(),
    }  # fmt: skip


def apply(client: Client, wanted: tuple[Pool, ...], params: dict[str, Any], dry: bool) -> dict[str, Any]:
    """Do steps until the budget is used up; raises SteelyardError."""
    plan = Plan.from_summary(params["plan"])
    if dry:
        return {"changed": bool(plan.steps), "applied": [], "remaining": [s.id for s in plan.steps]}
    if not params["lease"]:
        raise Refused("members are changed under the cluster's lease", "no lease", "take it with steelyard.stack.lease")
    with working_lease("nginx", params["lease"]) as lease:
        applier = Applier(client, params["host"], wanted, plan.steps, params["waited"])
        applier.require_unmoved()
        work = do_steps(plan.steps, applier.execute, budget=params["budget"], renew=lease.renew)
    return work.as_dict()


if __name__ == "__main__":
    main()
