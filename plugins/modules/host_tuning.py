#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_tuning
short_description: Put kernel settings in force where they differ
version_added: "0.1.0"
description:
  - Compares live settings with what is wanted, on the control machine, from facts that M(steelyard.stack.preflight)
    has read, and contacts the host only when something differs that can be set.
  - What a container or host forbids is said in one note and left out.
  - Files that keep the settings over a boot are not written by this module.
author:
  - Steelyard authors (@steelyard)
options:
  sysctls:
    description: Kernel settings by name. M(steelyard.stack.preflight) must have been asked for them.
    type: dict
    default: {}
  thp:
    description: Transparent huge pages; V(keep) leaves them alone.
    type: str
    choices: [always, madvise, never, keep]
    default: keep
  swap:
    description: V(off) turns swap off, now and for later boots; V(keep) leaves it alone.
    type: str
    choices: [keep, 'off']
    default: keep
  timezone:
    description: Time zone, e.g. C(Europe/Vienna). Empty leaves it alone.
    type: str
    default: ''
  time_sync:
    description: Time synchronisation is wanted; a container gets a note instead.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Shows what differs.
  diff_mode:
    support: full
    description: Live values before and after, the same in check mode.
  idempotent:
    support: full
    description: A second run does not contact the host.
"""

EXAMPLES = r"""
- name: Read the settings
  steelyard.stack.preflight:
    sysctls: [vm.swappiness]

- name: Put them in force
  steelyard.stack.host_tuning:
    sysctls: {vm.swappiness: 1}
    thp: madvise
    swap: 'off'
"""

RETURN = r"""
notes:
  description: What the host does not allow or know.
  type: list
  elements: str
  returned: always
  sample: ["docker does not allow setting vm.swappiness: set them on the machine below"]
"""

import os
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.host.parse import sysctl_path

ARGUMENT_SPEC: dict[str, Any] = {
    "sysctls": {"type": "dict", "default": {}},
    "thp": {"type": "str", "choices": ["always", "madvise", "never", "keep"], "default": "keep"},
    "swap": {"type": "str", "choices": ["keep", "off"], "default": "keep"},
    "timezone": {"type": "str", "default": ""},
    "time_sync": {"type": "bool", "default": False},
}
ZONES = "/usr/share/zoneinfo"


def write(path: str, value: str, name: str) -> None:
    """Write one kernel setting; raises Refused when the kernel does not take the value."""
    try:
        with open(path, "w", encoding="ascii") as stream:
            stream.write(value)
    except OSError as error:
        seen = f"{value!r}: {error.strerror}"
        raise Refused(f"the kernel accepts {name}", seen, "correct the value in base_sysctls or base_thp") from error


def swap_off() -> None:
    """Turn swap off, and keep systemd from turning it on at boot; raises SteelyardError."""
    for argv in (["swapoff", "-a"], ["systemctl", "mask", "swap.target"]):
        run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=600, check=False)
        if run.returncode != 0:
            remedy = "free memory first, or set base_swap: keep"
            raise SteelyardError(f"`{' '.join(argv)}` succeeds", run.stderr.strip(), remedy)


def set_timezone(name: str) -> None:
    """Point /etc/localtime at a zone; raises Refused when the host does not know it."""
    if not os.path.isfile(f"{ZONES}/{name}"):
        raise Refused("the time zone exists on the host", name, "check the spelling, and that tzdata is installed")
    temporary = "/etc/.localtime.steelyard-new"
    if os.path.lexists(temporary):
        os.unlink(temporary)
    os.symlink(f"{ZONES}/{name}", temporary)
    os.replace(temporary, "/etc/localtime")


def main() -> None:
    """Run the module; it is given only what differs."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = module.params
    if not module.check_mode:
        try:
            for name, value in sorted(params["sysctls"].items()):
                write(sysctl_path(name), str(value), name)
            if params["thp"] != "keep":
                write("/sys/kernel/mm/transparent_hugepage/enabled", params["thp"], "transparent huge pages")
            if params["swap"] == "off":
                swap_off()
            if params["timezone"]:
                set_timezone(params["timezone"])
        except SteelyardError as error:
            module.fail_json(msg=str(error), **error.details)
    module.exit_json(changed=True)


if __name__ == "__main__":
    main()
