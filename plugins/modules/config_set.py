#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: config_set
short_description: Change a set of configuration files as one transaction
version_added: "0.1.0"
description:
  - Renders all files on the control machine, compares them with the host's in one call, checks a staged copy with
    the service's own checker, swaps all of them, makes the service take them over and proves that it did.
  - When anything fails, the last good files are put back and taken over again, and the module fails saying so.
  - Whether the files are in force is asked of the running service (O(activate[].loaded_url)) and of a note that is
    on the disk while a change is under way, so a run that died between writing and reloading is repaired by the next.
author:
  - Steelyard authors (@steelyard)
options:
  name:
    description: Name of the set, unique on the host. One run at a time works on a set.
    type: str
    required: true
  files:
    description: Files of the set.
    type: list
    elements: dict
    default: []
    suboptions:
      dest:
        description: Absolute path on the host. Missing parent directories are made, C(0755).
        type: path
        required: true
      template:
        description: Template, searched like C(ansible.builtin.template) does.
        type: str
      content:
        description: The content itself, instead of O(files[].template).
        type: str
      vars:
        description: Variables for this template only.
        type: dict
        default: {}
      mode:
        description: Permissions, quoted octal.
        type: str
        default: "0644"
      owner:
        description: Name of the owner.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      secret:
        description: Never show the content, not in a diff and not in a log.
        type: bool
        default: false
      keep:
        description: Write the file only where it is missing; somebody else maintains it afterwards.
        type: bool
        default: false
  absent:
    description: Paths of files that must not exist.
    type: list
    elements: path
    default: []
  prune:
    description: Shell patterns of paths. What matches and is not in O(files) is removed.
    type: list
    elements: str
    default: []
  stage:
    description:
      - Directory that the checker needs as a whole. It is copied, the new files go into the copy.
      - Without it the staged copy is a directory that holds the files of the set under their full paths.
    type: path
  validate:
    description: Argument list of the checker; C({stage}) is the staged copy.
    type: list
    elements: str
    default: []
  stamp:
    description: A file in which C({digest}) becomes the digest of the other files.
    type: dict
    suboptions:
      dest:
        description: Absolute path of the file.
        type: path
        required: true
      content:
        description: Its content, with C({digest}).
        type: str
        required: true
      mode:
        description: Permissions, quoted octal.
        type: str
        default: "0644"
  activate:
    description: How services take the files over. A single mapping is taken as a list of one.
    type: list
    elements: dict
    default: []
    suboptions:
      unit:
        description: systemd unit.
        type: str
      action:
        description: What a running unit needs when files of it changed. A unit that does not run is left alone.
        type: str
        choices: [reload, restart, none]
        default: none
      daemon_reload:
        description: systemd reads its unit files again first.
        type: bool
        default: false
      enable:
        description: The unit starts at boot.
        type: bool
        default: false
      start:
        description: The unit is started where it does not run.
        type: bool
        default: false
      command:
        description: Argument list of a command that puts the files in force, instead of or after the unit.
        type: list
        elements: str
        default: []
      loaded_url:
        description: URL on which the running service answers the digest of what it has loaded.
        type: str
      deadline:
        description: How long the service may take to answer the new digest.
        type: str
        default: 10s
      paths:
        description: Shell patterns; only a change of these files concerns this unit. All files when empty.
        type: list
        elements: str
        default: []
  payload:
    description: The rendered files, filled in by the action plugin.
    type: str
attributes:
  check_mode:
    support: full
    description: Shows what would change, and runs the checker over a staged copy where it is installed.
  diff_mode:
    support: full
    description: One diff a file, the same in check mode; secrets are masked.
  idempotent:
    support: full
    description: A second run makes no change and no reload.
"""

EXAMPLES = r"""
- name: Configure the balancer
  steelyard.stack.config_set:
    name: nginx
    files:
      - {dest: /etc/nginx/nginx.conf, template: nginx.conf.j2}
      - {dest: /etc/nginx/steelyard/key, content: "{{ vault_nginx_key }}", mode: "0600", secret: true}
    absent: [/etc/nginx/sites-enabled/default]
    prune: [/etc/nginx/steelyard/sites/*.conf]
    stage: /etc/nginx
    validate: [nginx, -t, -c, "{stage}/nginx.conf"]
    stamp:
      dest: /etc/nginx/steelyard/loaded/config.conf
      content: 'location = /steelyard/loaded/config { return 200 "{digest}"; }'
    activate:
      - unit: nginx.service
        action: reload
        loaded_url: http://127.0.0.1:8080/steelyard/loaded/config

- name: Write a drop-in and restart the one unit that reads it
  steelyard.stack.config_set:
    name: journal
    files:
      - dest: /etc/systemd/journald.conf.d/50-steelyard.conf
        content: |
          [Journal]
          SystemMaxUse=1G
    activate:
      - {unit: systemd-journald.service, action: restart}
"""

RETURN = r"""
digest:
  description: Digest of the wanted files, without the stamp and the files that are only seeded.
  type: str
  returned: always
  sample: 3f9c0d1e2a4b5c6d
files:
  description: Paths that changed, or would change in check mode.
  type: list
  elements: str
  returned: always
  sample: [/etc/nginx/nginx.conf]
activated:
  description: Whether a unit or command took the files over in this run.
  type: bool
  returned: always
  sample: true
actions:
  description: What was done to units, or would be in check mode.
  type: list
  elements: str
  returned: always
  sample: [reload nginx.service]
notes:
  description: What the operator should know, e.g. that the checker is not installed yet.
  type: list
  elements: str
  returned: always
  sample: []
"""

import base64
import glob
import json
import os
import zlib
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.activation import (
    Activation,
    Activator,
    take_over,
)
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction, WantedFile, digest
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration

ARGUMENT_SPEC: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "dest": {"type": "path", "required": True},
            "template": {"type": "str"},
            "content": {"type": "str"},
            "vars": {"type": "dict", "default": {}},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "secret": {"type": "bool", "default": False, "no_log": False},
            "keep": {"type": "bool", "default": False},
        },
    },
    "absent": {"type": "list", "elements": "path", "default": []},
    "prune": {"type": "list", "elements": "str", "default": []},
    "stage": {"type": "path"},
    "validate": {"type": "list", "elements": "str", "default": []},
    "stamp": {
        "type": "dict",
        "options": {
            "dest": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0644"},
        },
    },
    "activate": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "unit": {"type": "str"},
            "action": {"type": "str", "choices": ["reload", "restart", "none"], "default": "none"},
            "daemon_reload": {"type": "bool", "default": False},
            "enable": {"type": "bool", "default": False},
            "start": {"type": "bool", "default": False},
            "command": {"type": "list", "elements": "str", "default": []},
            "loaded_url": {"type": "str"},
            "deadline": {"type": "str", "default": "10s"},
            "paths": {"type": "list", "elements": "str", "default": []},
        },
    },
    "payload": {"type": "str", "no_log": True},
}


def wanted_files(params: dict[str, Any]) -> tuple[list[WantedFile], str]:
    """Return the files, the stamp included, and the digest; raises Refused on an unusable mode."""
    if params["payload"] is None and params["files"]:
        raise Refused("files are rendered on the control machine", "no payload", "call the module through its action")
    raw = json.loads(zlib.decompress(base64.b64decode(params["payload"]))) if params["payload"] else []
    files = [_wanted(entry) for entry in raw]
    mark = digest(files)
    if params["stamp"]:
        stamp = dict(params["stamp"])
        files.append(_wanted({**stamp, "content": stamp["content"].replace("{digest}", mark) + "\n"}))
    return files, mark


def _wanted(raw: dict[str, Any]) -> WantedFile:
    try:
        mode = int(str(raw["mode"]), 8)
    except ValueError as error:
        raise Refused("a mode is quoted octal", raw["mode"], 'write it as "0644"', raw["dest"]) from error
    options = {key: raw[key] for key in ("owner", "group", "secret", "keep") if key in raw}
    return WantedFile(path=raw["dest"], content=raw["content"], mode=mode, **options)


def paths_to_remove(params: dict[str, Any], files: list[WantedFile]) -> list[str]:
    """Return the paths stated absent and those that a prune pattern finds and nobody wants."""
    wanted = {file.path for file in files}
    found = {path for pattern in params["prune"] for path in glob.glob(pattern, recursive=True)}
    stray = {path for path in found - wanted if os.path.islink(path) or not os.path.isdir(path)}
    return sorted(set(params["absent"]) | stray)


def activators(params: dict[str, Any], mark: str) -> list[Activator]:
    """Return who takes the files over; raises Refused on an unusable deadline."""
    found = []
    for raw in params["activate"]:
        options = {key: value for key, value in raw.items() if value is not None}
        options["deadline"] = parse_duration(options["deadline"], "activate.deadline")
        options["command"], options["paths"] = tuple(options["command"]), tuple(options["paths"])
        found.append(Activator(Activation(**options), mark))
    return found


def check(module: AnsibleModule, transaction: Transaction, notes: list[str]) -> None:
    """Stage and validate; a checker that is not installed is only a note in check mode."""
    try:
        transaction.stage()
        transaction.validate()
    except Refused as error:
        if not module.check_mode:
            raise
        notes.append(f"not checked: {error}")


def run(module: AnsibleModule) -> dict[str, Any]:
    """Do the whole transaction; raises SteelyardError."""
    files, mark = wanted_files(module.params)
    absent = paths_to_remove(module.params, files)
    notes: list[str] = []
    stage, validate = module.params["stage"] or "", module.params["validate"]
    with Transaction(module.params["name"], files, absent, stage, validate) as transaction:
        changes = transaction.plan()
        touched = sorted({change.path for change in changes} | set(transaction.interrupted))
        units = activators(module.params, mark)
        todo = [unit.decide(touched) for unit in units]
        if changes:
            check(module, transaction, notes)
        if not module.check_mode:
            if changes:
                transaction.swap()
                todo = [unit.decide(touched) for unit in units]
            take_over(transaction, units, todo)
            transaction.commit()
    actions = [f"{verb} {unit.subject}" for unit, verbs in zip(units, todo, strict=True) for verb in verbs]
    diff = [change.as_diff() for change in changes]
    if actions:
        diff.append(
            {"before_header": "units", "after_header": "units", "before": "", "after": "\n".join(actions) + "\n"}
        )
    return {
        "changed": bool(changes or actions), "diff": diff, "digest": mark, "files": [c.path for c in changes],
        "activated": bool(actions) and not module.check_mode, "actions": actions, "notes": notes,
    }  # fmt: skip


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = run(module)
    except SteelyardError as error:
        module.fail_json(msg=str(error), **error.details)
    except OSError as error:
        module.fail_json(msg=f"the files could not be written: {error}; nothing was changed", exit_code=1)
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
