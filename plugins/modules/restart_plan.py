#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: restart_plan
short_description: Say in which turns Redis servers are restarted
version_added: "0.2.0"
author:
  - Steelyard authors (@steelyard)
description:
  - Decides on the control machine alone; no host is contacted and nothing is changed.
  - A turn is what one host runs of one cluster. Its masters are handed over, its servers are restarted, and the next turn
    begins when the cluster is well again.
  - It is what C(playbooks/rolling_restart.yml) is built on, and reads what this playbook registers on the hosts of the
    play, C(__redis_restart) and C(__redis_found).
options:
  operation:
    description:
      - V(turns) returns the turns, and prints them as a table. It fails where a cluster has other work left than who leads.
      - V(handover) fails where O(plan) has a step that changes more than who leads.
      - V(settle) returns the clusters in which others lead than should, as C(scale_plan) returns clusters.
    type: str
    required: true
    choices: [turns, handover, settle]
  plan:
    description: With O(operation=handover), a cluster's plan.
    type: dict
    default: {}
attributes:
  check_mode:
    description: It only decides, and answers the same in check mode.
    support: full
  diff_mode:
    description: The table of turns is printed, with C(--diff) and without; there is no difference beside it.
    support: none
  idempotent:
    description: It changes nothing, and the same results give the same turns.
    support: full
seealso:
  - module: steelyard.stack.redis_cluster
  - module: steelyard.stack.redis_instances
"""

EXAMPLES = r"""
- name: Put the restarts in order
  steelyard.stack.restart_plan:
    operation: turns
  register: __redis_turns

- name: Go on only while nothing but who leads is changed
  steelyard.stack.restart_plan:
    operation: handover
    plan: "{{ __redis_plan.plan }}"
"""

RETURN = r"""
turns:
  description: What is restarted at once, in order; the same on every host.
  type: list
  elements: dict
  returned: O(operation=turns)
  contains:
    label: {description: What people call it., type: str, sample: sessions on redis1}
    host: {description: Whose turn it is., type: str, sample: redis1}
    name: {description: The cluster., type: str, sample: sessions}
    ports: {description: What is restarted there., type: list, elements: int, sample: [7000]}
    clustered: {description: Whether others carry on meanwhile., type: bool, sample: true}
    hosts: {description: Who takes part., type: list, elements: str, sample: [redis1, redis2, redis3]}
    survivors: {description: Who may speak for the cluster., type: list, elements: str, sample: [redis2, redis3]}
    cluster: {description: The wanted cluster., type: dict, sample: {name: sessions}}
    resting: {description: The same with the host in maintenance., type: dict, sample: {name: sessions}}
concerns:
  description: Whether this host takes part in any turn, or in any cluster that is to be settled.
  type: bool
  returned: O(operation=turns), O(operation=settle)
  sample: true
clusters:
  description: The clusters in which others lead than should.
  type: list
  elements: dict
  returned: O(operation=settle)
  sample: []
"""
