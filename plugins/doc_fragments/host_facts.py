# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `host_facts` and `preflight`, which calls it, are asked for."""

from __future__ import annotations


class ModuleDocFragment:
    """Used with extends_documentation_fragment."""

    DOCUMENTATION = r"""
options:
  packages:
    description: Debian packages whose installed version is wanted.
    type: list
    elements: str
    default: []
  units:
    description: systemd units whose state is wanted.
    type: list
    elements: str
    default: []
  resolve:
    description: Names to look up as this host sees them.
    type: list
    elements: str
    default: []
  sysctls:
    description: Kernel settings to read.
    type: list
    elements: str
    default: []
  stamps:
    description: Small files whose first 4 KiB are wanted, e.g. what a role left behind about what it installed.
    type: list
    elements: path
    default: []
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Changes nothing.
  idempotent:
    support: full
    description: Changes nothing.
  facts:
    support: full
    description: Returns C(steelyard_host).
"""
