#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: inventory_check
short_description: Refuse a wrong inventory before any host is contacted
version_added: "0.1.0"
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.judging
description:
  - Judges the whole inventory on the control machine. No host is contacted and nothing is changed.
  - All problems of all hosts come in one table, each with where it is, the rule, what was seen and the remedy. The
    values of secrets are never shown.
  - "The rules: stand-ins of a lab and real machines never mix; a rehearsal is given the lab of its own inventory, last,
    and its stand-ins are reached at their own addresses; every group is known; every variable with a role's prefix is
    declared by the role; every value can be made, has its declared type and only known keys; sizes and durations can be
    read; every secret is given; addresses, ids and the ports of a host are unique; every pool has the members that it
    needs; C(--limit) does not hide hosts from an operation that compares the whole fleet."
  - Only the first host of the play does the work. Set C(any_errors_fatal) on the play, or the others go on after it
    has failed.
options:
  operation:
    description:
      - What will be done after the check.
      - For V(scale) and V(rolling_restart) a C(--limit) that leaves hosts out is refused, because the hosts left out
        would be taken for absent.
    type: str
    choices: [site, verify, scale, rolling_restart, unlock]
    default: site
  confirm:
    description:
      - The name of what the operation destroys. The run is refused unless it was started with C(-e confirm=NAME).
      - Empty when nothing is destroyed.
    type: str
    default: ""
notes:
  - Groups of your own are listed in C(steelyard_extra_groups), variables of your own that look like a role's in
    C(steelyard_extra_variables).
"""

EXAMPLES = r"""
- name: Refuse a wrong inventory before any host is contacted
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Check the inventory
      steelyard.stack.inventory_check:
        operation: scale
"""

RETURN = r"""
problems:
  description: Everything that is wrong; empty when the inventory is right.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The host, the variable and the file where it is.
      type: str
      sample: nginx_pools.api (inventories/market/group_vars/all.yml:31)
    rule:
      description: What it should have been.
      type: str
      sample: only known keys are used
    seen:
      description: What was found. Never a secret.
      type: str
      sample: metod
    remedy:
      description: What to do.
      type: str
      sample: did you mean method?
exit_code:
  description: The exit code of the command for this failure.
  returned: on failure
  type: int
  sample: 2
hosts:
  description: How many hosts the inventory has.
  returned: on the first host of the play
  type: int
  sample: 4
"""
