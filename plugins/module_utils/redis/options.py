# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Redis cluster may state, in the words of an argument spec; a test holds the role's spec against it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MODES = ("standalone", "replication", "cluster")
STATES = ("present", "maintenance", "leaving")
APPEND_ONLY = ("no", "everysec", "always")
BALANCE_BY = ("slots", "keys", "bytes")
POLICIES = (
    "noeviction", "allkeys-lru", "allkeys-lfu", "allkeys-random",
    "volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl",
)  # fmt: skip

Options = Mapping[str, Mapping[str, Any]]

SENTINEL_OPTIONS: Options = {
    "group": {"type": "str", "default": ""},
    "port": {"type": "int", "default": 26379},
    "quorum": {"type": "int", "default": 2},
    "down_after": {"type": "str", "default": "5s"},
    "failover_timeout": {"type": "str", "default": "60s"},
    "parallel_syncs": {"type": "int", "default": 1},
    "password": {"type": "str", "default": "", "no_log": True},
}

USER_OPTIONS: Options = {
    # Required by `readers.read_password`, which tells where to put it.
    "password": {"type": "str", "default": "", "no_log": True},
    "commands": {"type": "list", "elements": "str", "default": ["+@all", "-@dangerous"]},
    "keys": {"type": "list", "elements": "str", "default": ["*"]},
    "channels": {"type": "list", "elements": "str", "default": ["*"]},
}

TLS_OPTIONS: Options = {
    "certificate": {"type": "str", "required": True},
    "key": {"type": "str", "required": True, "no_log": True},
    "ca": {"type": "str", "required": True},
}

CLUSTER_OPTIONS: Options = {
    "mode": {"type": "str", "default": "standalone", "choices": MODES},
    "group": {"type": "str", "default": "redis"},
    "ports": {"type": "list", "elements": "int", "default": [6379]},
    "replicas": {"type": "int", "default": 1},
    "shards": {"type": "int", "default": 0},
    "primary": {"type": "str", "default": ""},
    "maxmemory": {"type": "str", "default": "0"},
    "maxmemory_policy": {"type": "str", "default": "noeviction", "choices": POLICIES},
    "appendonly": {"type": "str", "default": "everysec", "choices": APPEND_ONLY},
    "save": {"type": "list", "elements": "str", "default": ["3600 1", "300 100", "60 10000"]},
    "node_timeout": {"type": "str", "default": "5s"},
    "min_replicas_to_write": {"type": "int", "default": 0},
    "balance_by": {"type": "str", "default": "slots", "choices": BALANCE_BY},
    "threshold": {"type": "str", "default": "2%"},
    "sentinel": {"type": "dict", "options": SENTINEL_OPTIONS},
    "users": {"type": "dict", "default": {}, "no_log": True},
    "admin_password": {"type": "str", "default": "", "no_log": True},
    "replication_password": {"type": "str", "default": "", "no_log": True},
    "tls": {"type": "dict", "options": TLS_OPTIONS},
    "write_rate": {"type": "str", "default": "0"},
    "settings": {"type": "dict", "default": {}},
    "allow_from": {"type": "list", "elements": "str", "default": []},
    "allow_from_networks": {"type": "list", "elements": "str", "default": []},
}

INSTANCE_OPTIONS: Options = {
    "cluster": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "state": {"type": "str", "default": "present", "choices": STATES},
}
