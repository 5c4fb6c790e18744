# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What holds secrets on its way to a host, as one opaque text.

Ansible masks every value of a `no_log` option wherever it occurs in a result, also inside of other words: a secret
`market` would turn the step `install/market_api-1.0.0` into something else. The text as a whole occurs nowhere.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused


def pack(parts: Iterable[Mapping[str, Any]]) -> str:
    """Return parts of a module's arguments as the text that `unpack` reads."""
    text = json.dumps([dict(part) for part in parts], ensure_ascii=True)
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpack(text: str) -> list[dict[str, Any]]:
    """Return what was packed; raises Refused without saying what it saw."""
    try:
        found: list[dict[str, Any]] = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (ValueError, zlib.error):
        remedy = "leave it to the action of the same name"
        raise Refused("payload is what the action packed", f"{len(text)} characters", remedy, "payload") from None
    return found
