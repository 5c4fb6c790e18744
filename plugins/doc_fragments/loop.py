# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The arguments that the loop of the action plugins gives every cluster module (`LOOP_ARGUMENTS` in cluster.py)."""

from __future__ import annotations


class ModuleDocFragment:
    """Used with extends_documentation_fragment."""

    DOCUMENTATION = r"""
options:
  plan:
    description: The plan to do, as the operation C(plan) or C(read) returned it.
    type: dict
    default: {}
  budget:
    description: Seconds after which a call begins no further step. Filled in by the action.
    type: float
    default: 10.0
  waited:
    description: Seconds that the first step has been under way in earlier calls. Filled in by the action.
    type: float
    default: 0.0
  lease:
    description: The run that calls, and its lease, as M(steelyard.stack.lease) returned it in C(handle).
    type: dict
    suboptions:
      cluster:
        description: The cluster's name.
        type: str
        required: true
      run:
        description: The run that holds the lease.
        type: str
        required: true
      token:
        description: The lease's token.
        type: int
"""
