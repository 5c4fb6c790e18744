# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Read a host's facts and how far its clock is off, in one round trip
version_added: "0.1.0"
description:
  - Runs M(steelyard.stack.host_facts) on the host and adds the clock skew, measured from the control machine.
  - Called again with other packages or units it keeps what earlier calls found of others.
  - This is an action plugin; nothing of it runs on the host but M(steelyard.stack.host_facts).
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.host_facts
"""

EXAMPLES = r"""
- name: Read what every role needs
  steelyard.stack.preflight:
    packages: [chrony, nftables]
    units: [chrony.service, ssh.service]
    resolve: [api1, api2]
"""

RETURN = r"""
ansible_facts:
  description: The facts of M(steelyard.stack.host_facts) with C(clock_skew).
  type: dict
  returned: always
  contains:
    steelyard_host:
      description: As returned by M(steelyard.stack.host_facts). C(clock_skew) is in seconds, above 0 when the host is
        ahead of the control machine, and 0 when the difference is within what the round trip can tell.
      type: dict
      returned: always
      sample: {clock_skew: 0.0, uid: 0}
"""
