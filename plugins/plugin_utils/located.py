# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `playbooks/parts/redis/read.yml` found of clusters whose members know each other, from the hosts' variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import scale
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis import scaling as redis
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SERVICE
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import plain


def located(task_vars: Mapping[str, Any], fleet: Fleet) -> tuple[scale.Located, ...]:
    """Return the clusters that were asked for in this run: each by its first candidate, which noted what was found."""
    found = []
    for wanted in redis.clusters(fleet):
        asked_by = redis.candidates(wanted)[0]
        noted = task_vars["hostvars"][asked_by].get("__redis_found")
        one = plain(noted.get(wanted.name)) if isinstance(noted, Mapping) else None
        if one is None:
            continue
        seen = one["coordinator"]["seen"]
        found.append(scale.Located(
            service=SERVICE, name=wanted.name, coordinator=one["coordinator"]["host"],
            plan=Plan.from_summary(one["plan"]), hosts=redis.hosts(wanted), cluster=wanted.as_dict(),
            knows=one["coordinator"]["exists"], primary=redis.place(wanted, str(seen.get("primary") or "")),
            left=bool(seen.get("unfinished") or one["lease"].get("held")),
        ))  # fmt: skip
    return tuple(found)
