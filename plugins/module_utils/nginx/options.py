# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a pool and a site may state, in the words of an argument spec; a test holds the role's spec against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Options = Mapping[str, Mapping[str, Any]]

POOL_OPTIONS: Options = {
    "class": {"type": "str", "required": True},
    "method": {"type": "str", "default": "round_robin"},
    "keepalive": {"type": "int", "default": 32},
    "max_fails": {"type": "int", "default": 3},
    "fail_timeout": {"type": "str", "default": "30s"},
    "max_conns": {"type": "int", "default": 0},
    "min_members": {"type": "int", "default": 1},
    "drain_deadline": {"type": "str", "default": "150s"},
}

SITE_OPTIONS: Options = {
    "pool": {"type": "str", "required": True},
    "listen": {"type": "list", "elements": "str", "default": ["80"]},
    "server_names": {"type": "list", "elements": "str", "default": ["_"]},
    "websocket": {"type": "bool", "default": False},
    "connect_timeout": {"type": "str", "default": "5s"},
    "send_timeout": {"type": "str", "default": "60s"},
    "read_timeout": {"type": "str", "default": "60s"},
    "max_body_size": {"type": "str", "default": "1mb"},
    "allow_from": {"type": "list", "elements": "str", "default": []},
    "allow_from_networks": {"type": "list", "elements": "str", "default": []},
}

SETTING_OPTIONS: Options = {
    "worker_processes": {"type": "int"},
    "worker_connections": {"type": "int"},
    "worker_rlimit_nofile": {"type": "int"},
    "worker_shutdown_timeout": {"type": "str"},
    "keepalive_timeout": {"type": "str"},
    "keepalive_requests": {"type": "int"},
    "client_header_timeout": {"type": "str"},
    "client_body_timeout": {"type": "str"},
    "send_timeout": {"type": "str"},
    "backlog": {"type": "int"},
}
