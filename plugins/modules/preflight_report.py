#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: preflight_report
short_description: Judge all hosts together before the first change
version_added: "0.1.0"
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.judging
description:
  - Judges what M(steelyard.stack.preflight) read of the hosts of the play, on the control machine, and changes nothing.
  - All problems of all hosts come in one table, each with the host, the rule, what was seen and the remedy.
  - "Always judged: every host answered; the operating system is supported (Debian 12 and 13; Ubuntu 22.04 and 24.04
    are accepted with a note that they are unproven); Python is at least 3.10; tasks run as root; clocks differ by at
    most a second."
  - "Where something is installed (V(site), V(scale)) also: memory; free disk on C(/) and C(/var); names resolve both
    ways, of those that M(steelyard.stack.preflight) was asked to look up; the ports that the inventory wants are free
    or held by units of ours; the inventory places no more on a host than it has; SSH stays allowed from where it
    comes from now."
  - Run it in the same play as M(steelyard.stack.preflight). A host that does not answer is reported with all the others
    when that task has C(ignore_unreachable=true) and C(any_errors_fatal=false); with C(any_errors_fatal) Ansible ends
    the play there, ignored or not. Set C(any_errors_fatal) on the play, so that no host goes on after the report failed.
  - A host that did not answer is told with Ansible's reason when that task also registers C(__steelyard_preflight).
options:
  operation:
    description: What will be done after the check.
    type: str
    choices: [site, verify, scale, rolling_restart]
    default: site
  hosts:
    description:
      - The hosts to judge.
      - By default those of the play; when none of them is in the inventory (a play on localhost), all of the inventory.
    type: list
    elements: str
    default: []
  allow_unreachable:
    description: Hosts that may be dead, such as one that is leaving because it is.
    type: list
    elements: str
    default: []
seealso:
  - module: steelyard.stack.preflight
  - module: steelyard.stack.inventory_check
"""

EXAMPLES = r"""
- name: Look at every machine before the first change
  hosts: all
  gather_facts: false
  any_errors_fatal: true
  ignore_unreachable: true
  become: true
  tasks:
    - name: Read the host
      steelyard.stack.preflight:
        resolve: "{{ lookup('steelyard.stack.wanted', 'peer_names') }}"
      register: __steelyard_preflight
      any_errors_fatal: false

    - name: Judge all hosts together
      steelyard.stack.preflight_report:
        operation: scale
        allow_unreachable: [api3]
"""

RETURN = r"""
problems:
  description: Everything that is wrong; empty when all hosts are ready.
  returned: always
  type: list
  elements: dict
  contains:
    where:
      description: The hosts, and what of them.
      type: str
      sample: "api1, api2: clock"
    rule:
      description: What it should have been.
      type: str
      sample: clocks differ by at most 1 s
    seen:
      description: What was found.
      type: str
      sample: 42 s behind the control machine
    remedy:
      description: What to do.
      type: str
      sample: set the clock; chronyc makestep
notes:
  description: What is not wrong but good to know.
  returned: always
  type: list
  elements: str
  sample: ["ubuntu 24.04 takes the same path as Debian, unproven: api1"]
hosts:
  description: The hosts that were judged.
  returned: on the first host of the play
  type: list
  elements: str
  sample: [lb1, api1]
exit_code:
  description: The exit code of the command for this failure.
  returned: on failure
  type: int
  sample: 2
"""
