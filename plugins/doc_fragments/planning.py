# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What modules are asked for that plan on the control machine what is done on hosts."""

from __future__ import annotations


class ModuleDocFragment:
    """Used with extends_documentation_fragment, beside `steelyard.stack.loop`."""

    DOCUMENTATION = r"""
options:
  expect:
    description:
      - A saved plan. With O(operation=plan) its remaining steps are the plan; it fails, with exit code 3, when the
        inventory or the live state has moved since. A state in which some of its steps are done has not moved.
    type: dict
    default: {}
  show:
    description: Whether O(operation=plan) prints its table. V(false) where the plan becomes part of one that is printed;
      a plan with refusals is printed all the same.
    type: bool
    default: true
  required:
    description: Whether O(operation=health) and O(operation=ok_to_stop) fail when the verdict is not good.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: The plan is the same and nothing is changed.
  diff_mode:
    support: full
    description: The diff is the plan.
  action:
    support: full
    description: Plans are made on the control machine; long work is done in calls of a few seconds.
"""
