#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_cluster
short_description: Create, grow, shrink, balance and repair a set of Redis servers
version_added: "0.2.0"
description:
  - Compares a cluster, a set of Redis servers, with what the inventory wants, and changes who is a member and as what,
    while clients go on. What there is to change follows from the mode of O(cluster).
  - "C(cluster), a Redis Cluster: who is whose replica and who has which slots. Slots move many keys at a time, slower
    where clients would feel it. A slot is given away only when its old owner counts no key in it, and its new owner
    knows before anybody else."
  - "C(replication), one primary and its replicas, watched by Sentinels: who follows, who watches, with which settings,
    and by a switchover that loses no write who leads. Who leads is otherwise the Sentinels' own business: the
    inventory's word counts for the creation alone."
  - It runs on one host with an instance of the cluster, the coordinator, and talks to all servers and Sentinels from
    there.
  - Killed anywhere and run again, it finishes, also what somebody else left half done.
  - What is dead is replaced, and slots without an owner given away, only where O(repair) says so.
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
      - V(read) returns what servers and Sentinels show; it waits a few seconds for a failover that is under way.
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
      C(redis_clusters). Its mode is C(cluster) or C(replication).
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
    description: Whether the plan may promote replicas of dead masters, where no Sentinel does it, and give slots that
      nobody has, empty, to the masters that are left.
    type: bool
    default: false
  confirm:
    description: The cluster's name. Needed with O(operation=apply) where the plan gives slots away whose keys are lost.
    type: str
    default: ""
  rebalance:
    description: Whether slots move between shards that stay, too; else only where a shard joins or leaves. For clusters
      of mode C(cluster).
    type: bool
    default: true
  switchover_to:
    description:
      - The instance (V(redis2:6379)) or host that is to lead. For clusters of mode C(replication).
      - Without it another leads only where the primary leaves or is in maintenance.
    type: str
    default: ""
  upgrading:
    description: Whether servers of two major versions are what is wanted for the moment.
    type: bool
    default: false
  member:
    description: The instance (V(redis1:7000)) or host that is to be stopped.
    type: str
    default: ""
  within:
    description: How long O(operation=health) waits until the verdict is good, where it is required.
    type: str
    default: 0s
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

- name: Let another server lead
  steelyard.stack.redis_cluster:
    operation: plan
    cluster: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') | selectattr('name', 'eq', 'cache') | first }}"
    seen: "{{ __redis_seen }}"
    switchover_to: redis2
  register: __redis_plan

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
  description: The instances, and the Sentinels, as people read them.
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
primary:
  description: Who leads; empty where that is not known. Of clusters of mode C(replication).
  type: str
  returned: O(operation=read), O(operation=health)
  sample: redis1:6379
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
from ansible_collections.steelyard.stack.plugins.module_utils.payload import unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SERVICE, ClusterSpec, Secrets
from ansible_collections.steelyard.stack.plugins.module_utils.redis.modes import mode_of
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
    "switchover_to": {"type": "str", "default": ""},
    "upgrading": {"type": "bool", "default": False},
    "member": {"type": "str", "default": ""},
    "required": {"type": "bool", "default": True},
    "within": {"type": "str", "default": "0s"},
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
    mode = mode_of(wanted)
    require_library()
    secrets = Secrets.from_dict(unpack(params["payload"])[0] if params["payload"] else params["secrets"])
    with mode.opened(wanted, secrets) as client:
        if operation == "read":
            found = mode.shown(wanted, mode.read(client, wanted, True))
            return {"changed": False, **found, "unfinished": left_behind(wanted, notes)}
        if operation == "health":
            return health(client, wanted, params["required"])
        if not params["lease"]:
            raise Refused("a cluster is changed under its lease", "no lease", "take it with steelyard.stack.lease")
        if operation == "put_back":
            return put_back(client, wanted, params, notes, dry)
        return apply(client, wanted, params, notes)


def left_behind(wanted: ClusterSpec, notes: UndoNotes) -> list[str]:
    """Return what undo notes of this host say of the cluster."""
    return [note.what for note in notes.list(f"redis-{wanted.name}-")]


def health(client: Any, wanted: ClusterSpec, required: bool) -> dict[str, Any]:
    """Return the verdict over the whole cluster; raises GateNotPassed where that is not good."""
    mode = mode_of(wanted)
    seen = mode.read(client, wanted, False)
    verdict = mode.judge(wanted, seen)
    if required and not verdict.ok:
        remedy = "; ".join(dict.fromkeys(f.remedy for f in verdict.findings if f.severity == "bad" and f.remedy))
        raise GateNotPassed(f"{wanted.name} is well", verdict.why_not, remedy, SERVICE)
    return {"changed": False, **mode.shown(wanted, seen), "verdict": verdict.as_dict(), "summary": verdict.as_table()}


def put_back(
    client: Any, wanted: ClusterSpec, params: dict[str, Any], notes: UndoNotes, dry: bool
) -> dict[str, Any]:  # fmt: skip
    """Put back what a killed run left; raises Locked."""
    found = left_behind(wanted, notes)
    if dry or not found:
        return {"changed": bool(found), "silent": []}
    with working_lease(SERVICE, params["lease"]):
        silent = mode_of(wanted).applier(client, wanted, notes=notes).put_back()
    return {"changed": len(left_behind(wanted, notes)) < len(found), "silent": silent}


def apply(client: Any, wanted: ClusterSpec, params: dict[str, Any], notes: UndoNotes) -> dict[str, Any]:
    """Do steps until the budget is used up; raises SteelyardError.

    Temporary settings stay while this run goes on with its next call: a replica that finds itself free between two
    calls counts from then on for how long its new master was alone. They are put back at the end, and when a step
    fails, but for one that lost its lease: whoever has it now needs them.
    """
    plan = Plan.from_summary(params["plan"])
    with working_lease(SERVICE, params["lease"]) as lease:
        applier = mode_of(wanted).applier(client, wanted, plan.steps, params["waited"], notes)
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
