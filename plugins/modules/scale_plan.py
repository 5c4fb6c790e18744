#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: scale_plan
short_description: Say whom a scaling step concerns, and put the services' plans into one
version_added: "0.1.0"
author:
  - Steelyard authors (@steelyard)
description:
  - Decides on the control machine alone; no host is contacted and nothing is changed.
  - With O(operation=look) each host learns whether it must be read before a plan can be made. These are the hosts that
    a pool or a cluster would gain, those that leave, those with instances that are in none, and those whose firewall
    lets one of them in.
  - With O(operation=plan) the plans that C(nginx_pool), C(redis_cluster), C(app_instances), C(redis_instances) and
    C(firewall) made for their hosts become one plan in the order in which it is run. What joins is started, let in by
    the firewalls and added, to clusters of data before pools; then what leaves is drained, removed, stopped and shut
    out, and balancers that leave go last. The table is printed once, for the first host of the play.
  - With steps in the plan that same host says C(changed), and no other one. In check mode it is how pending work is
    told in the recap; C(playbooks/scale.yml) does not count it in a real run, which counts what it does.
  - It is what C(playbooks/scale.yml) is built on, and reads the results that this playbook registers on the hosts of the
    play. These are C(__nginx_plan) and C(__redis_found) for all operations, C(__scale_app), C(__redis_seen) and
    C(__scale_firewall) for O(operation=plan). A host without such a result has no part in it.
options:
  operation:
    description:
      - V(look) chooses the hosts to read, by the plan of the balancers.
      - V(plan) makes the whole plan, once those hosts were read. It fails with every refusal of every service when there
        is any.
      - V(clusters) returns the clusters that were asked for, for playbooks that leave membership alone.
    type: str
    required: true
    choices: [look, plan, clusters]
attributes:
  check_mode:
    description: It only decides, and answers the same in check mode.
    support: full
  diff_mode:
    description: The plan's table is printed, with C(--diff) and without; there is no difference beside it.
    support: none
  idempotent:
    description: It changes nothing, and the same results give the same plan.
    support: full
seealso:
  - module: steelyard.stack.nginx_pool
  - module: steelyard.stack.redis_cluster
  - module: steelyard.stack.app_instances
  - module: steelyard.stack.firewall
"""

EXAMPLES = r"""
- name: Find the machines that a step would concern
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Choose whom to look at, contacting nobody
      steelyard.stack.scale_plan:
        operation: look
      register: __scale_look

    - name: Group the machines to look at
      ansible.builtin.group_by:
        key: scale_{{ item }}
      loop: "{{ __scale_look.parts }}"

- name: Make the plan
  hosts: load_balancers:scale_look
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Put the services' plans in order and show them
      steelyard.stack.scale_plan:
        operation: plan
      register: __scale_plan
"""

RETURN = r"""
parts:
  description:
    - What this host has to do. Each word is the name of a group of the plays that follow, after C(scale_).
    - V(look) is read, and for V(look_app) and V(look_redis) what runs there. V(balance) keeps the pools, V(members) the
      lease of a cluster that is changed, V(join) is prepared and started, V(serve) lets others in or out, V(drop) stops
      what it has lost, V(leave) is stopped and cleaned, V(retire) is a balancer that goes. Empty for a host that no step
      needs.
  returned: O(operation=look), O(operation=plan)
  type: list
  elements: str
  sample: [balance]
plan:
  description: The whole plan, the same on every host.
  returned: O(operation=plan), where nothing is refused
  type: dict
  sample:
    service: fleet
    cluster: main
    fingerprint: 7bde467bb8bf21fe
    steps:
      - {id: "api3/start/8000", verb: start, subject: "8000 on api3", detail: "api api-1.0.0, memory 256 MiB", bytes: 0,
         seconds: null, disruption: none, hosts: [api3], args: {}}
    refusals: []
    notes: ["api3 is prepared by the role base first: packages, limits, firewall"]
clusters:
  description:
    - What each cluster's change needs to know, the same on every host. With O(operation=plan) these are the clusters that
      are changed, with O(operation=clusters) all that were asked for.
  returned: O(operation=plan), O(operation=clusters), where nothing is refused
  type: list
  elements: dict
  contains:
    service: {description: The service., type: str, sample: redis}
    name: {description: The cluster's name., type: str, sample: sessions}
    coordinator: {description: The host from which it is changed., type: str, sample: redis1}
    hosts: {description: The hosts that keep its lease., type: list, elements: str, sample: [redis1, redis2, redis3]}
    cluster: {description: Its wanted state., type: dict, sample: {name: sessions, mode: cluster}}
    plan: {description: Its plan., type: dict, sample: {service: redis, cluster: sessions, steps: []}}
primaries:
  description: Where a new replica finds who leads, as C(address port) by cluster, of clusters with one primary.
  returned: O(operation=plan), where nothing is refused
  type: dict
  sample: {cache: "192.0.2.41 6379"}
creates:
  description: Those of C(clusters) that do not exist.
  returned: O(operation=clusters)
  type: list
  elements: dict
  sample: []
pending:
  description: The steps of existing clusters that C(playbooks/scale.yml) would do.
  returned: O(operation=clusters)
  type: list
  elements: str
  sample: ["redis sessions: meet redis4:7000"]
problems:
  description: Why nothing may be done, from all services together.
  returned: on failure
  type: list
  elements: dict
  contains:
    where:
      description: The service and its cluster.
      type: str
      sample: fleet main
    rule:
      description: What it should have been.
      type: str
      sample: a pool is never emptied
    seen:
      description: What was found.
      type: str
      sample: api on lb1 would have 0 of 1
    remedy:
      description: What to do.
      type: str
      sample: add other members first
exit_code:
  description: The exit code of the command for this failure.
  returned: on failure
  type: int
  sample: 2
"""
