# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fingerprint of a plan: what was wanted, by which version, and the state that it rests on. Pure."""

from __future__ import annotations

import hashlib
import json
from typing import Any

TOOL_VERSION = "0.1.0"


def fingerprint(wanted: Any, rests_on: Any, version: str = TOOL_VERSION) -> str:
    """Return 16 hexadecimal digits over the wanted state, the touched objects' state and the tool's version.

    Both are JSON types; the order of mappings does not matter, the order of lists does. Leave out of
    `rests_on` whatever moves by itself (sizes, positions, who leads): those are gates.
    """
    text = json.dumps([version, wanted, rests_on], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
