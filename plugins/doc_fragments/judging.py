# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What holds for modules that only judge, on the control machine."""

from __future__ import annotations


class ModuleDocFragment:
    """Used with extends_documentation_fragment."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: It only reads, and answers the same in check mode.
    support: full
  diff_mode:
    description: Nothing is changed, so that there is no difference.
    support: none
  idempotent:
    description: It changes nothing.
    support: full
"""
