# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a class may state, in the words of an argument spec; a test holds the role's spec against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ARCHIVES = (".tar.gz", ".tgz", ".whl")

Options = Mapping[str, Mapping[str, Any]]

RELEASE_OPTIONS: Options = {
    "version": {"type": "str", "required": True},
    "src": {"type": "str", "required": True},
    "checksum": {"type": "str", "required": True},
    "check": {"type": "raw", "default": ""},
    "remote_src": {"type": "bool", "default": False},
}

CLASS_OPTIONS: Options = {
    "group": {"type": "str", "default": ""},
    "ports": {"type": "list", "elements": "int", "required": True},
    "release": {"type": "dict", "required": True, "options": RELEASE_OPTIONS},
    "command": {"type": "raw", "required": True},
    "address": {"type": "str", "default": ""},
    "workers": {"type": "int", "default": 1},
    "health": {"type": "str", "default": ""},
    "readiness": {"type": "str", "default": ""},
    "environment": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "cpu_quota": {"type": "str", "default": "0"},
    "memory_max": {"type": "str", "default": "0"},
    "stop_deadline": {"type": "str", "default": "20s"},
    "start_deadline": {"type": "str", "default": "30s"},
    "keep_releases": {"type": "int", "default": 3},
    "allow_from": {"type": "list", "elements": "str", "default": []},
    "allow_from_networks": {"type": "list", "elements": "str", "default": []},
}

SLICE_OPTIONS: Options = {
    "cpu_quota": {"type": "str", "default": "0"},
    "memory_max": {"type": "str", "default": "0"},
}
