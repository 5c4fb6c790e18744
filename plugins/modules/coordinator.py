#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: coordinator
short_description: Choose the host from which a cluster is read and changed
version_added: "0.2.0"
author:
  - Steelyard authors (@steelyard)
description:
  - A service whose members know each other is read and changed from one of them, the coordinator. Its hosts are asked
    one after the other; this chooses among those that were asked, and contacts nobody.
  - It is the first host, in the order of O(candidates), that knows the cluster. Where nobody does, the cluster is to be
    created, and it is the first that answers. A host that does not answer, or has nothing installed yet, is passed over.
  - An answer that is an error is refused where nobody else knows the cluster. It is never taken for an empty one.
options:
  cluster:
    description: How the cluster is named to people, such as V(redis sessions).
    type: str
    required: true
  candidates:
    description: The hosts that may be chosen, in order.
    type: list
    elements: str
    required: true
  asked:
    description: The results of a loop that asked them, each with the host in C(item).
    type: list
    elements: dict
    required: true
attributes:
  check_mode:
    description: It only decides, and answers the same in check mode.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
  idempotent:
    description: It changes nothing, and the same answers give the same host.
    support: full
seealso:
  - module: steelyard.stack.redis_cluster
"""

EXAMPLES = r"""
- name: Ask who is a member, host by host until one knows the cluster
  steelyard.stack.redis_cluster:
    operation: read
    cluster: "{{ __ask.cluster }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"
  delegate_to: "{{ item }}"
  loop: "{{ __ask.candidates }}"
  loop_control:
    break_when: __redis_asked.clustered | default(false)
  register: __redis_asked
  failed_when: false

- name: Choose who speaks for it
  steelyard.stack.coordinator:
    cluster: redis {{ __ask.cluster.name }}
    candidates: "{{ __ask.candidates }}"
    asked: "{{ __redis_asked.results }}"
  register: __redis_coordinator
"""

RETURN = r"""
host:
  description: The coordinator.
  returned: success
  type: str
  sample: redis1
answers:
  description: Whether it answered what the cluster is like.
  returned: success
  type: bool
  sample: true
exists:
  description: Whether the cluster exists.
  returned: success
  type: bool
  sample: true
seen:
  description: What it answered; empty where nothing is installed yet.
  returned: success
  type: dict
  sample: {clustered: true, members: [], nodes: eJyLjgUAARUAuQ==, unfinished: []}
"""
