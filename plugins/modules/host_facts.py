#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_facts
short_description: Read what a run needs to know of a host, in one call
version_added: "0.1.0"
description:
  - Takes the place of fact gathering for the roles of this collection. Reads only, and only what somebody uses.
  - M(steelyard.stack.preflight) calls it and adds the clock skew.
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.host_facts
"""

EXAMPLES = r"""
- name: Read what the balancer's role needs
  steelyard.stack.host_facts:
    packages: [nginx, nginx-common]
    units: [nginx.service]
    sysctls: [net.core.somaxconn]
"""

RETURN = r"""
ansible_facts:
  description: The facts.
  type: dict
  returned: always
  contains:
    steelyard_host:
      description:
        - Operating system, boot, memory and CPUs with the limits of the control group, disks, listening ports with
          process and unit, and what was asked for of packages, units, names and kernel settings.
      type: dict
      returned: always
      sample:
        os: {id: debian, version_id: "13", codename: trixie, arch: amd64}
        memory_bytes: 8323837952
        cgroup_memory_bytes: null
        cpus: 4
        cgroup_cpus: null
        ssh_peer: 192.0.2.10
        virtualization: ""
        listening: [{address: 0.0.0.0, port: 22, process: sshd, slice: system.slice, unit: ssh.service}]
        packages: {nginx: 1.26.3-3, nginx-common: null}
        units: {nginx.service: {ActiveState: active, SubState: running, UnitFileState: enabled, MainPID: "812"}}
        sysctl: {net.core.somaxconn: "4096"}
        sysctl_readonly: []
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.host.facts import gather

LISTS = ("packages", "units", "resolve", "sysctls")


def main() -> None:
    """Run the module."""
    lists = {name: {"type": "list", "elements": "str", "default": []} for name in LISTS}
    stamps = {"type": "list", "elements": "path", "default": []}
    module = AnsibleModule(argument_spec={**lists, "stamps": stamps}, supports_check_mode=True)
    module.exit_json(changed=False, ansible_facts={"steelyard_host": gather(**module.params)})


if __name__ == "__main__":
    main()
