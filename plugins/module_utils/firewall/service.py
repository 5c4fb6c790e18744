# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The firewall, as the shared parts see it: it runs everywhere, as a part of the role base. Pure."""

from __future__ import annotations

from ansible_collections.steelyard.stack.plugins.module_utils.firewall import model
from ansible_collections.steelyard.stack.plugins.module_utils.service import Service

SERVICE = Service(name="firewall", problems=model.problems)
