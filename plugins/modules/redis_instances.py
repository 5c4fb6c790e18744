#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: redis_instances
short_description: Redis servers and Sentinels of one host as systemd units
version_added: "0.2.0"
description:
  - Writes units, settings, users and certificates, creates and starts servers and Sentinels, waits until they have read
    their data, sets live what differs, restarts where told to what only a restart brings into force, and removes what
    the inventory no longer places on the host.
  - It knows one host only. Whose replica a server is and which slots it has is written at its creation and never again;
    M(steelyard.stack.redis_cluster) changes that.
  - What a server works with is asked of the server (CONFIG GET, ACL LIST); what it was started with is a copy that its
    launcher leaves in C(/run). So a run that was killed anywhere is finished by the next one.
  - A server that had data refuses to start without it, says so in its journal, and is not restarted by systemd.
  - One that does not come up gets the settings back with which it was ready last; the module then fails with the last
    lines of its journal.
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.instances
  - steelyard.stack.loop
options:
  instances:
    description:
      - The servers that the inventory places on this host, from the lookup P(steelyard.stack.wanted#lookup).
    type: list
    elements: dict
    default: []
  sentinels:
    description: The Sentinels that the inventory places on this host, from the same lookup.
    type: list
    elements: dict
    default: []
  clusters:
    description: All clusters of the inventory, from the same lookup.
    type: list
    elements: dict
    default: []
  secrets:
    description: Passwords and certificates by cluster, from the same lookup.
    type: dict
    default: {}
  primaries:
    description:
      - Where a new replica finds its primary, as C(address port) by cluster, where the cluster lives already. Without
        it a new replica is given the primary that the inventory states.
    type: dict
    default: {}
  package:
    description: What the servers run on.
    type: dict
    default: {}
    suboptions:
      name:
        description: The package.
        type: str
        choices: [redis-server, redis, valkey-server]
        default: redis-server
      version: {description: The version that is wanted; empty takes any., type: str, default: ""}
      hold: {description: Whether the distribution's upgrades leave it alone., type: bool, default: true}
  facts:
    description: What the inventory says of the host.
    type: dict
    default: {}
    suboptions:
      memory: {description: Such as V(2gb); empty for what the host has., type: str, default: ""}
      cpus: {description: CPUs to count on; 0 for what the host has., type: float, default: 0}
      others: {description: Bytes that the inventory gives to other services., type: int, default: 0}
      shared: {description: Whether other services live there., type: bool, default: false}
      profile: {description: Which sizing rules apply., type: str, default: ""}
      tier: {description: Tier of the profile., type: str, default: ""}
  memory_max:
    description: Limit of each server's unit, such as V(3gb); V(auto) follows from its maxmemory, V(0) is no limit.
    type: str
    default: "0"
  data:
    description: With O(remove=true), whether data is set aside under another name or removed.
    type: str
    choices: [keep, remove]
    default: keep
"""

EXAMPLES = r"""
- name: What is on this host, and what would be done
  steelyard.stack.redis_instances:
    operation: read
    instances: "{{ lookup('steelyard.stack.wanted', 'redis_instances') }}"
    sentinels: "{{ lookup('steelyard.stack.wanted', 'redis_sentinels') }}"
    clusters: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"

- name: Configure, create, start what is missing and set live what differs; restart nothing, remove nothing
  steelyard.stack.redis_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'redis_instances') }}"
    clusters: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"

- name: Restart one server where it waits for it
  steelyard.stack.redis_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'redis_instances') }}"
    clusters: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"
    restart: needed
    ports: [7000]

- name: Remove what leaves this host, and its data; its slots have been moved and its peers have forgotten it
  steelyard.stack.redis_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'redis_instances') }}"
    clusters: "{{ lookup('steelyard.stack.wanted', 'redis_clusters') }}"
    secrets: "{{ lookup('steelyard.stack.wanted', 'redis_secrets') }}"
    remove: true
    data: remove
"""

RETURN = r"""
changed:
  description: Whether something was done, or would be.
  type: bool
  returned: always
  sample: true
plan:
  description: Steps, refusals and notes.
  type: dict
  returned: for read and apply
  sample: {service: redis, cluster: redis1, fingerprint: 3f9c0a1b2c3d4e5f, steps: [], refusals: [], notes: []}
applied:
  description: Ids of the steps that were done.
  type: list
  elements: str
  returned: for apply
  sample: [start/7000, prove/7000]
remaining:
  description: Ids of the steps that were not.
  type: list
  elements: str
  returned: for apply
  sample: []
restart_needed:
  description: What waits for a restart, by port (C(sentinel-26379) for a Sentinel), with the reasons.
  type: dict
  returned: always
  sample: {"7000": [io-threads]}
unplaced:
  description: What is on the host and the inventory does not place there, or calls leaving.
  type: list
  elements: str
  returned: always
  sample: ["7001"]
seen:
  description: Servers and Sentinels as found.
  type: list
  elements: dict
  returned: always
  sample: [{key: "7000", active: active, ready: true, role: master, version: 8.0.2}]
package:
  description: Installed and wanted version of the package, and whether the package's own instance is masked.
  type: dict
  returned: always
  sample: {name: redis-server, installed: "5:8.0.2-3+deb13u3", wanted: "", quiet: true}
verdict:
  description: C(ok) and findings, each with severity, what was seen, what it means and what to do.
  type: dict
  returned: for health
  sample: {ok: true, findings: []}
summary:
  description: The findings as a table; empty when there are none.
  type: str
  returned: for health
  sample: ""
"""

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.health import Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.host.facts import gather
from ansible_collections.steelyard.stack.plugins.module_utils.instances.module import INSTANCES_ARGUMENTS, HostWork
from ansible_collections.steelyard.stack.plugins.module_utils.payload import unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import apply as work
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.health import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.plan import restart_reasons, unplaced
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.remove import GROUND
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.wanted import SYSCTLS, wish_of

PACKAGE: dict[str, dict[str, Any]] = {
    "name": {"type": "str", "choices": ["redis-server", "redis", "valkey-server"], "default": "redis-server"},
    "version": {"type": "str", "default": ""},
    "hold": {"type": "bool", "default": True},
}
FACTS: dict[str, dict[str, Any]] = {
    "memory": {"type": "str", "default": ""},
    "cpus": {"type": "float", "default": 0},
    "others": {"type": "int", "default": 0},
    "shared": {"type": "bool", "default": False},
    "profile": {"type": "str", "default": ""},
    "tier": {"type": "str", "default": ""},
}
ARGUMENTS: dict[str, Any] = {
    **INSTANCES_ARGUMENTS,
    "instances": {"type": "list", "elements": "dict", "default": []},
    "sentinels": {"type": "list", "elements": "dict", "default": []},
    "clusters": {"type": "list", "elements": "dict", "default": []},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "primaries": {"type": "dict", "default": {}},
    "package": {"type": "dict", "default": {}, "options": PACKAGE},
    "facts": {"type": "dict", "default": {}, "options": FACTS},
    "memory_max": {"type": "str", "default": "0"},
    "data": {"type": "str", "choices": ["keep", "remove"], "default": "keep"},
}


def with_payload(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with what the action packed, because it holds secrets."""
    return {**params, **(unpack(params["payload"])[0] if params["payload"] else {})}


class RedisWork(HostWork[Wish, Seen]):
    """One call of this module."""

    GROUND = GROUND

    def look(self) -> tuple[Seen, Plan]:
        return work.read(self.wish)

    def diffs(self, seen: Seen, plan: Plan) -> list[dict[str, str]]:
        return work.diffs(seen, self.wish, plan)

    def executor(self, waited: float, _hold: tuple[int, ...]) -> work.Executor:
        return work.Executor(self.wish, waited)

    def judge(self, seen: Seen) -> Verdict:
        return judge(seen, self.wish)

    def observed(self, seen: Seen) -> dict[str, Any]:
        reasons = {one.key: list(restart_reasons(seen, self.wish, one)) for one in self.wish.placed}
        package = {"name": self.wish.package.name, "installed": seen.package, "quiet": seen.quiet}
        return {
            "seen": [seen.ones[key].as_dict() for key in sorted(seen.ones)],
            "restart_needed": {key: why for key, why in reasons.items() if why},
            "unplaced": list(unplaced(seen, self.wish)),
            "package": {**package, "wanted": (self.params["package"] or {}).get("version", "")},
        }


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        params = with_payload(module.params)
        result = RedisWork(wish_of(params, gather(sysctls=SYSCTLS)), params).run(module.check_mode)
    except SteelyardError as err:
        module.fail_json(msg=str(err), **err.details)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
