# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The `steelyard` command: rehearse, plan and run what the inventory says."""

from __future__ import annotations

__version__ = "0.1.0"
