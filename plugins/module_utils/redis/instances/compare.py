# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a running server or Sentinel works with, held against what is wanted. Pure.

Servers are compared by `config.plan_config`. A Sentinel has no CONFIG GET: what it reads once is compared with the copy
that its launcher left, what it is told of its primary with what it says of it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.redis.acl import AclPlan, plan_users
from ansible_collections.steelyard.stack.plugins.module_utils.redis.config import HIDDEN, ConfigPlan, plan_config, shown
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Server, Watcher
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.start import directives
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import SeenOne


@dataclass(frozen=True)
class Setting:
    """One directive to set live, and how to speak of it."""

    name: str
    value: str
    text: str


def wanted_settings(server: Server) -> dict[str, str]:
    """Return every directive that a server is to have, in normal form, secret ones included."""
    return {**unit_files.settings_of(server), **server.secrets}


def _config_plan(server: Server, now: SeenOne) -> ConfigPlan:
    return plan_config(wanted_settings(server), now.live) if now.answers else ConfigPlan()


def settable(one: One, now: SeenOne) -> tuple[Setting, ...]:
    """Return what is to be set live: of a server settings, of a Sentinel what it was told of its primary."""
    if isinstance(one, Watcher):
        return _told(one, now)
    live = _config_plan(one, now).live
    return tuple(
        Setting(name, value, f"{name} {shown(name, now.live.get(name, ''))} → {shown(name, value)}")
        for name, value in live.items()
    )


def _told(watcher: Watcher, now: SeenOne) -> tuple[Setting, ...]:
    if not now.answers:
        return ()
    found = [
        Setting(name, value, f"{name} {now.live[name]} → {value}")
        for name, value in sorted(watcher.watched.items())
        if name in now.live and now.live[name] != value
    ]
    if watcher.concealed and now.note.secrets != digest_of(dict(watcher.concealed)):
        found += [Setting(name, value, f"{name} {HIDDEN}") for name, value in sorted(watcher.concealed.items())]
    return tuple(found)


def restart_only(one: One, now: SeenOne) -> tuple[str, ...]:
    """Return the directives that only a restart brings into force: fixed at the start, or no longer stated."""
    if not now.started_with:
        return ()
    stated = directives(unit_files.settings_text(one)) | directives(unit_files.secrets_text(one))
    gone = {name for name in now.started_with if name not in stated}
    if isinstance(one, Watcher):
        differ = {name for name, value in stated.items() if now.started_with.get(name) != value}
    else:
        differ = set(_config_plan(one, now).restart)
    return tuple(sorted(differ | gone))


def users(one: One, now: SeenOne) -> AclPlan:
    """Return what makes the users in force the wanted ones."""
    return plan_users(one.users, now.users, now.categories) if now.answers else AclPlan()


def digest_of(value: object) -> str:
    """Return a digest of JSON types that may hold secrets."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def maxmemory(server: Server) -> int:
    """Return the bytes that a server may use; 0 is no limit."""
    return int(server.settings.get("maxmemory", "0"))


def may_evict(server: Server) -> bool:
    """Whether any key may go when memory runs out, so that less of it is a smaller cache and no error."""
    return server.settings.get("maxmemory-policy", "").startswith("allkeys-")
