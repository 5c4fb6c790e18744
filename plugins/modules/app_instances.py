#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: app_instances
short_description: Application instances of one host as systemd units
version_added: "0.1.0"
description:
  - Installs releases, writes units, environments and limits, starts instances and waits until they are ready, restarts
    those that run another configuration where told to, and removes what the inventory no longer places on the host.
  - It knows one host only. Traffic is moved by M(steelyard.stack.nginx_pool); the playbooks order the two.
  - What an instance runs is asked of the running process, which carries C(STEELYARD_CONFIG) in its environment. So a
    run that was killed anywhere is finished by the next one.
  - An instance that does not get ready in time goes back to the configuration that was last ready, or is stopped when
    there is none; the module then fails with the last lines of its journal.
author:
  - Steelyard authors (@steelyard)
extends_documentation_fragment:
  - steelyard.stack.instances
  - steelyard.stack.loop
options:
  instances:
    description:
      - The instances that the inventory places on this host, from the lookup P(steelyard.stack.wanted#lookup).
    type: list
    elements: dict
    default: []
    suboptions:
      class_name: {description: Name of the class., type: str, required: true}
      host: {description: Inventory name of the host., type: str, required: true}
      address: {description: Where peers reach the host., type: str, required: true}
      bind_address: {description: What the instance binds., type: str, required: true}
      port: {description: Its port; the unit is C(app@PORT.service)., type: int, required: true}
      state:
        description: What the inventory says of it. Leaving instances are removed where O(remove=true).
        type: str
        choices: [present, maintenance, leaving]
        default: present
      release:
        description: The release that it runs.
        type: dict
        required: true
        suboptions:
          version: {description: Version., type: str, required: true}
          src: {description: Archive or wheel - a path on the control machine or a URL., type: str, required: true}
          checksum: {description: C(sha256:) and 64 digits., type: str, required: true}
          check:
            description: Argument list that must succeed before the release is used.
            type: list
            elements: str
            default: []
          remote_src:
            description: Whether O(instances[].release.src) is a path on the host.
            type: bool
            default: false
      command: {description: Argument list., type: list, elements: str, required: true}
      check: {description: The release's check with its placeholders filled in., type: list, elements: str, default: []}
      health: {description: Path of the liveness check., type: str, default: ""}
      readiness:
        description: Path of the readiness check; without one the liveness path, else a TCP connection.
        type: str
        default: ""
      environment: {description: Environment variables., type: dict, default: {}}
      secrets:
        description: Environment variables that nobody but root and the instance may read.
        type: dict
        default: {}
      cpu_quota: {description: Percent of one CPU; 0 is no limit., type: float, default: 0}
      memory_max: {description: Bytes; 0 is no limit., type: int, default: 0}
      stop_deadline: {description: Seconds between SIGTERM and SIGKILL., type: float, default: 20}
      start_deadline: {description: Seconds within which it must be ready., type: float, default: 30}
      keep_releases: {description: Releases to keep on the host., type: int, default: 3}
  slice:
    description: Quota of all instances of the host together.
    type: dict
    default: {}
    suboptions:
      cpu_quota: {description: Such as V(200%); 0 is no limit., type: str, default: "0"}
      memory_max: {description: Such as V(1gb); 0 is no limit., type: str, default: "0"}
  archives:
    description: Copies of releases on the host by release id; the action fills it in.
    type: dict
    default: {}
  python:
    description: Interpreter that virtual environments are made with.
    type: path
    default: /usr/bin/python3
"""

EXAMPLES = r"""
- name: What is on this host, and what would be done
  steelyard.stack.app_instances:
    operation: read
    instances: "{{ lookup('steelyard.stack.wanted', 'app_instances') }}"
    slice: "{{ app_slice }}"

- name: Install, configure and start what is missing; restart nothing, remove nothing
  steelyard.stack.app_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'app_instances') }}"
    slice: "{{ app_slice }}"

- name: Restart one instance where its running configuration is not the wanted one
  steelyard.stack.app_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'app_instances') }}"
    restart: needed
    ports: [8000]

- name: Remove what leaves this host
  steelyard.stack.app_instances:
    instances: "{{ lookup('steelyard.stack.wanted', 'app_instances') }}"
    remove: true
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
  sample: {service: app, cluster: api1, fingerprint: 3f9c0a1b2c3d4e5f, steps: [], refusals: [], notes: []}
applied:
  description: Ids of the steps that were done.
  type: list
  elements: str
  returned: for apply
  sample: [start/8000, prove/8000]
remaining:
  description: Ids of the steps that were not.
  type: list
  elements: str
  returned: for apply
  sample: []
restart_needed:
  description: Ports of instances that run another configuration than the wanted one.
  type: list
  elements: int
  returned: always
  sample: [8000]
unplaced:
  description: Ports of instances that are on the host and that the inventory does not place there, or calls leaving.
  type: list
  elements: int
  returned: always
  sample: []
killed:
  description: Ports of instances that did not stop within their deadline and were killed.
  type: list
  elements: int
  returned: for apply
  sample: []
seen:
  description: Instances as found, by port.
  type: list
  elements: dict
  returned: always
  sample: [{port: 8000, class_name: api, active: active, ready: true, release: market_api-1.0.0}]
missing:
  description: Releases that are not installed.
  type: list
  elements: str
  returned: for read
  sample: [market_api-1.0.0]
venv:
  description: Whether O(python) can make virtual environments; only looked at when a release is missing.
  type: bool
  returned: for read
  sample: true
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

from ansible_collections.steelyard.stack.plugins.module_utils.app import apply as work
from ansible_collections.steelyard.stack.plugins.module_utils.app.arguments import INSTANCE, SLICE
from ansible_collections.steelyard.stack.plugins.module_utils.app.health import judge
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, restart_needed, unplaced
from ansible_collections.steelyard.stack.plugins.module_utils.app.releases import can_make_venv
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.health import Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.instances.module import INSTANCES_ARGUMENTS, HostWork
from ansible_collections.steelyard.stack.plugins.module_utils.payload import unpack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan

ARGUMENTS: dict[str, Any] = {
    **INSTANCES_ARGUMENTS,
    "instances": {"type": "list", "elements": "dict", "default": [], "options": INSTANCE},
    "slice": {"type": "dict", "default": {}, "options": SLICE},
    "archives": {"type": "dict", "default": {}},
    "python": {"type": "path", "default": "/usr/bin/python3"},
}


def wish_of(params: Mapping[str, Any]) -> Wish:
    """Return what the arguments ask for; raises Refused."""
    given = unpack(params["payload"]) if params["payload"] else params["instances"]
    instances = tuple(Instance.from_dict(raw) for raw in given)
    return Wish(
        instances=instances,
        whole=Slice.from_vars(params["slice"] or {}, "slice"),
        host=params["host"] or next((i.host for i in instances), "this host"),
        remove=params["remove"],
        restart=params["restart"],
        ports=tuple(params["ports"]),
        started_before=params["started_before"],
        python=params["python"],
    )


class AppWork(HostWork[Wish, Seen]):
    """One call of this module; raises Refused for arguments that are none."""

    GROUND = work.GROUND

    def look(self) -> tuple[Seen, Plan]:
        return work.read(self.wish)

    def diffs(self, seen: Seen, plan: Plan) -> list[dict[str, str]]:
        return work.diffs(seen, self.wish, plan)

    def executor(self, waited: float, hold: tuple[int, ...]) -> work.Executor:
        archives, python = self.params["archives"], self.params["python"]
        return work.Executor(self.wish, waited, archives=archives, python=python, hold=hold)

    def judge(self, seen: Seen) -> Verdict:
        return judge(seen, self.wish)

    def observed(self, seen: Seen) -> dict[str, Any]:
        return {
            "seen": [seen.instances[p].as_dict() for p in sorted(seen.instances)],
            "restart_needed": list(restart_needed(seen, self.wish)),
            "unplaced": list(unplaced(seen, self.wish)),
        }

    def lacking(self, seen: Seen) -> dict[str, Any]:
        """Return which releases are missing, and whether they could be built."""
        there = {name for name, release in seen.releases.items() if release.complete}
        missing = sorted(set(self.wish.releases) - there)
        return {"missing": missing, "venv": not missing or can_make_venv(self.params["python"])}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = AppWork(wish_of(module.params), module.params).run(module.check_mode)
    except SteelyardError as err:
        module.fail_json(msg=str(err), **err.details)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
