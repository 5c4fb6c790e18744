#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster
short_description: Create, grow, shrink, balance and repair a Redis Cluster
version_added: "0.2.0"
description:
  - Compares the cluster that the inventory wants with the one that its nodes show, and changes who is a member, who is
    whose replica and who has which slots, while clients go on.
  - It runs on one host with an instance of the cluster, the coordinator, and talks to all nodes from there.
  - Slots move many keys at a time, slower where clients would feel it. A slot is given away only when its old owner
    counts no key in it, and its new owner knows before anybody else.
  - Killed anywhere and run again, it finishes, also what somebody else left half moved.
  - Dead masters are replaced, and slots without an owner given away, only where O(repair) says so.
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.loop
  - steelyard.stack.planning
attributes:
  idempotent:
    support: full
    description: Without a difference there is no step and no write.
options:
  operation:
    description:
      - V(read) returns what the nodes show.
      - V(plan) compares that, in O(seen), with the inventory. It contacts nobody.
      - V(apply) does O(plan). The run must hold the cluster's lease on this host.
      - V(put_back) puts temporary settings back that a killed run left from this host; nothing else. It needs the lease.
      - V(health) judges the cluster, and fails when it is not well.
      - V(ok_to_stop) says, from the answer of V(read) or V(health) in O(seen), whether O(member) may be stopped, and
        fails when that would hurt. It contacts nobody.
    type: str
    choices: [read, plan, apply, put_back, health, ok_to_stop]
    required: true
  cluster:
    description: The wanted cluster, one of those that the lookup P(steelyard.stack.wanted#lookup) returns for
      C(redis_clusters). Its mode is C(cluster).
    type: dict
    required: true
  secrets:
    description: Passwords and certificates by cluster, as the lookup returns them for C(redis_secrets). Needed where
      nodes are contacted.
    type: dict
    default: {}
  payload:
    description: What holds secrets, as one text that hides them. Filled in by the action.
    type: str
    default: ""
  seen:
    description:
      - The registered result of V(read) or V(health). Without it no node is there yet, and the plan follows from the
        inventory alone.
    type: dict
    default: {}
  repair:
    description: Whether the plan may promote replicas of dead masters, and give slots that nobody has, empty, to the
      masters that are left.
    type: bool
    default: false
  confirm:
    description: The cluster's name. Needed with O(operation=apply) where the plan gives slots away whose keys are lost.
    type: str
    default: ""
  rebalance:
    description: Whether slots move between shards that stay, too; else only where a shard joins or leaves.
    type: bool
    default: true
  upgrading:
    description: Whether servers of two major versions are what is wanted for the moment.
    type: bool
    default: false
  member:
    description: The instance (V(redis1:7000)) or host that is to be stopped.
    type: str
    default: ""
  interpreter:
    description: The Python on the coordinator that has the client library. The role base installs it at the default.
    type: str
    default: /opt/steelyard/client/bin/python
"""

EXAMPLES = r"""
- name: Read every node
  steelyard.stack.redis_cluster:
    operation: read
    cluster: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') | selectattr('name', 'eq', 'sessions') | first }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"
  register: __redis_seen

- name: Compare the cluster with the inventory
  steelyard.stack.redis_cluster:
    operation: plan
    cluster: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') | selectattr('name', 'eq', 'sessions') | first }}"
    seen: "{{ __redis_seen }}"
  register: __redis_plan

- name: Do it
  steelyard.stack.redis_cluster:
    operation: apply
    cluster: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') | selectattr('name', 'eq', 'sessions') | first }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"
    plan: "{{ __redis_plan.plan }}"
    lease: "{{ __redis_lease.handle }}"

- name: Say whether a host may be rebooted
  steelyard.stack.redis_cluster:
    operation: ok_to_stop
    cluster: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') | selectattr('name', 'eq', 'sessions') | first }}"
    seen: "{{ __redis_seen }}"
    member: redis2
"""

RETURN = r"""
nodes:
  description: What every node answered, as one text; hand the whole result in as O(seen).
  type: str
  returned: O(operation=read), O(operation=health)
  sample: eJyLjgUAARUAuQ==
members:
  description: The instances, as people read them.
  type: list
  elements: dict
  returned: O(operation=read), O(operation=health)
  sample:
    - {name: "redis1:7000", role: master, of: "", slots: 5461, keys: 166921, used_memory: 25690112, version: 8.0.2,
       state: ok, error: ""}
clustered:
  description: Whether any instance is in a cluster.
  type: bool
  returned: O(operation=read), O(operation=health)
  sample: true
unfinished:
  description: The settings that a killed run left from this host; V(put_back) puts them back.
  type: list
  elements: str
  returned: O(operation=read)
  sample: []
verdict:
  description: Whether the cluster is well, or the member may be stopped, and why not.
  type: dict
  returned: O(operation=health), O(operation=ok_to_stop)
  sample: {ok: true, findings: []}
summary:
  description: The findings as a table; empty when there are none.
  type: str
  returned: O(operation=health)
  sample: ""
plan:
  description: The plan.
  type: dict
  returned: O(operation=plan), O(operation=apply)
  sample:
    service: redis
    cluster: sessions
    fingerprint: 3f9c01d2a4b5c6d7
    steps:
      - {id: "meet/redis4:7000", verb: meet, subject: "redis4:7000", detail: joins empty, bytes: 0, seconds: 3.0,
         disruption: none, hosts: [redis4], args: {name: "redis4:7000", reset: false, start: {joined: false}}}
    refusals: []
    notes: []
applied:
  description: The ids of the steps that were done.
  type: list
  elements: str
  returned: O(operation=apply)
  sample: ["meet/redis4:7000"]
remaining:
  description: The ids of the steps that were not.
  type: list
  elements: str
  returned: O(operation=apply)
  sample: []
silent:
  description: The instances that could not be asked to take a temporary setting back; it is put back by a later run.
  type: list
  elements: str
  returned: O(operation=apply), O(operation=put_back)
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
from ansible_collections.steelyard.stack.plugins.module_utils.errors import (
    GateNotPassed,
    Locked,
    Refused,
    SteelyardError,
)
from ansible_collections.steelyard.stack.plugins.module_utils.lease import working_lease
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack, unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.access import opened
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.apply import Applier
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.health import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.measure import measured
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SERVICE, ClusterSpec, Secrets
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import require_library
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

OPERATIONS = ["read", "plan", "apply", "put_back", "health", "ok_to_stop"]
ARGUMENTS: dict[str, Any] = {
    **LOOP_ARGUMENTS,
    "operation": {"type": "str", "required": True, "choices": OPERATIONS},
    "cluster": {"type": "dict", "required": True},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "payload": {"type": "str", "default": "", "no_log": True},
    "seen": {"type": "dict", "default": {}},
    "expect": {"type": "dict", "default": {}},
    "show": {"type": "bool", "default": True},
    "repair": {"type": "bool", "default": False},
    "confirm": {"type": "str", "default": ""},
    "rebalance": {"type": "bool", "default": True},
    "upgrading": {"type": "bool", "default": False},
    "member": {"type": "str", "default": ""},
    "required": {"type": "bool", "default": True},
    "interpreter": {"type": "str", "default": "/opt/steelyard/client/bin/python"},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = answer(module.params, module.check_mode)
    except SteelyardError as error:
        module.fail_json(msg=str(error), **error.details)
    module.exit_json(**result)


def answer(params: dict[str, Any], dry: bool, notes: UndoNotes | None = None) -> dict[str, Any]:
    """Return the module's result; raises SteelyardError."""
    wanted = ClusterSpec.from_dict(params["cluster"])
    operation, notes = params["operation"], notes or UndoNotes()
    if operation == "apply" and dry:
        plan = Plan.from_summary(params["plan"])
        return {"changed": bool(plan.steps), "applied": [], "remaining": [s.id for s in plan.steps]}
    if operation not in ("read", "apply", "put_back", "health"):
        raise Refused("this operation is the action's", operation, "use it as a task of a playbook")
    require_library()
    secrets = Secrets.from_dict(unpack(params["payload"])[0] if params["payload"] else params["secrets"])
    with opened(wanted, secrets) as client:
        if operation == "read":
            found = observed(measured(client, wanted, client.read()))
            return {"changed": False, **found, "unfinished": left_behind(wanted, notes)}
        if operation == "health":
            return health(client, wanted, params["required"])
        if not params["lease"]:
            raise Refused("a cluster is changed under its lease", "no lease", "take it with steelyard.stack.lease")
        if operation == "put_back":
            return put_back(client, wanted, params, notes, dry)
        return apply(client, wanted, params, notes)


def observed(nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Return what the nodes show: for programs as one text, since each one's view of all others is long."""
    names = {n.id: n.name for n in nodes if n.answers}
    return {
        "nodes": pack(n.as_dict() for n in nodes),
        "members": [_as_people_read_it(n, names) for n in nodes],
        "clustered": any(n.answers and (n.known_nodes > 1 or (n.myself and n.myself.slots)) for n in nodes),
    }


def _as_people_read_it(node: Node, names: dict[str, str]) -> dict[str, Any]:
    mine = node.myself
    kept = ("name", "role", "keys", "used_memory", "version", "error")
    return {
        **{key: getattr(node, key) for key in kept},
        "of": names.get(mine.master_id, mine.master_id) if mine else "",
        "slots": sum(last - first + 1 for first, last in mine.slots) if mine else 0,
        "state": node.cluster_state,
    }


def left_behind(wanted: ClusterSpec, notes: UndoNotes) -> list[str]:
    """Return what undo notes of this host say of the cluster."""
    return [note.what for note in notes.list(f"redis-{wanted.name}-")]


def health(client: Client, wanted: ClusterSpec, required: bool) -> dict[str, Any]:
    """Return the verdict over the whole cluster; raises GateNotPassed where that is not good."""
    nodes = client.read()
    verdict = judge(wanted, nodes)
    if required and not verdict.ok:
        remedy = "; ".join(dict.fromkeys(f.remedy for f in verdict.findings if f.severity == "bad" and f.remedy))
        raise GateNotPassed(f"{wanted.name} is well", verdict.why_not, remedy, SERVICE)
    return {"changed": False, **observed(nodes), "verdict": verdict.as_dict(), "summary": verdict.as_table()}


def put_back(
    client: Client, wanted: ClusterSpec, params: dict[str, Any], notes: UndoNotes, dry: bool
) -> dict[str, Any]:  # fmt: skip
    """Put back what a killed run left; raises Locked."""
    found = left_behind(wanted, notes)
    if dry or not found:
        return {"changed": bool(found), "silent": []}
    with working_lease(SERVICE, params["lease"]):
        silent = Applier(client, wanted, notes=notes).put_back()
    return {"changed": len(left_behind(wanted, notes)) < len(found), "silent": silent}


def apply(client: Client, wanted: ClusterSpec, params: dict[str, Any], notes: UndoNotes) -> dict[str, Any]:
    """Do steps until the budget is used up; raises SteelyardError.

    Temporary settings stay while this run goes on with its next call: a replica that finds itself free between two
    calls counts from then on for how long its new master was alone. They are put back at the end, and when a step
    fails, but for one that lost its lease: whoever has it now needs them.
    """
    plan = Plan.from_summary(params["plan"])
    with working_lease(SERVICE, params["lease"]) as lease:
        applier = Applier(client, wanted, (), plan.steps, params["waited"], notes=notes)
        try:
            work = do_steps(plan.steps, applier.execute, budget=params["budget"], renew=lease.renew)
        except Locked:
            raise
        except BaseException:
            applier.put_back()
            raise
        silent = [] if work.remaining else applier.put_back()
    return {**work.as_dict(), "silent": silent}


if __name__ == "__main__":
    main()
