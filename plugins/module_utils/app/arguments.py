# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an instance is described to the module: argument specs of the parts of `app_instances`."""

from __future__ import annotations

from typing import Any

RELEASE: dict[str, dict[str, Any]] = {
    "version": {"type": "str", "required": True},
    "src": {"type": "str", "required": True},
    "checksum": {"type": "str", "required": True},
    "check": {"type": "list", "elements": "str", "default": []},
    "remote_src": {"type": "bool", "default": False},
}
INSTANCE: dict[str, dict[str, Any]] = {
    **{name: {"type": "str", "required": True} for name in ("class_name", "host", "address", "bind_address")},
    "port": {"type": "int", "required": True},
    "state": {"type": "str", "choices": ["present", "maintenance", "leaving"], "default": "present"},
    "release": {"type": "dict", "required": True, "options": RELEASE},
    "command": {"type": "list", "elements": "str", "required": True},
    "check": {"type": "list", "elements": "str", "default": []},
    "health": {"type": "str", "default": ""},
    "readiness": {"type": "str", "default": ""},
    "environment": {"type": "dict", "default": {}},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "cpu_quota": {"type": "float", "default": 0},
    "memory_max": {"type": "int", "default": 0},
    "stop_deadline": {"type": "float", "default": 20},
    "start_deadline": {"type": "float", "default": 30},
    "keep_releases": {"type": "int", "default": 3},
}
SLICE: dict[str, dict[str, Any]] = {
    "cpu_quota": {"type": "str", "default": "0"},
    "memory_max": {"type": "str", "default": "0"},
}
