# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules are asked for that run instances on a host (`INSTANCES_ARGUMENTS` in module_utils/instances)."""

from __future__ import annotations


class ModuleDocFragment:
    """Used with extends_documentation_fragment, beside `steelyard.stack.loop`."""

    DOCUMENTATION = r"""
options:
  operation:
    description:
      - V(read) returns what is there and the plan, V(apply) does the plan, V(health) judges the instances.
    type: str
    choices: [read, apply, health]
    default: apply
  host:
    description: Inventory name of the host; the action fills it in.
    type: str
    default: ""
  remove:
    description: Stop and remove what the inventory does not place on this host, or calls leaving.
    type: bool
    default: false
  restart:
    description: V(needed) restarts what runs with another configuration than the wanted one, one after the other.
    type: str
    choices: [never, needed]
    default: never
  ports:
    description: Restart only these; all when empty.
    type: list
    elements: int
    default: []
  started_before:
    description: With O(restart=needed), also restart what started before this time (seconds since 1970).
    type: float
    default: 0
  payload:
    description: What holds secrets, as one text that hides them; the action fills it in.
    type: str
    default: ""
attributes:
  check_mode:
    description: The plan is made and shown, nothing is changed.
    support: full
  diff_mode:
    description: The plan, and each file; secrets are masked. It is the same text in check mode.
    support: full
  idempotent:
    description: Without a difference nothing is done, and nothing is restarted.
    support: full
"""
