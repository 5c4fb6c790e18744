#!/usr/bin/python
# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: host_users
short_description: Keep a host's accounts and their public keys, all in one call
version_added: "0.1.0"
description:
  - Creates, changes and removes accounts, and writes their C(authorized_keys).
  - Accounts get no password. Accounts that are not listed are left alone.
author:
  - Steelyard authors (@steelyard)
options:
  users:
    description: The accounts.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the account.
        type: str
        required: true
      state:
        description: Whether the account should exist. Its home directory stays when it is removed.
        type: str
        choices: [present, absent]
        default: present
      uid:
        description: Number of the account. Refused when the account exists with another one.
        type: int
      groups:
        description: Groups to be in, besides those the account is in already.
        type: list
        elements: str
        default: []
      shell:
        description: Login shell.
        type: path
        default: /bin/bash
      system:
        description: Number from the range of system accounts.
        type: bool
        default: false
      authorized_keys:
        description: All public keys that may log in; others are removed. Left alone when not given.
        type: list
        elements: str
attributes:
  check_mode:
    support: full
    description: Shows what would change.
  diff_mode:
    support: full
    description: The commands and files, the same in check mode.
  idempotent:
    support: full
    description: A second run changes nothing.
"""

EXAMPLES = r"""
- name: Let the operators in
  steelyard.stack.host_users:
    users:
      - name: alex
        groups: [adm]
        authorized_keys:
          - ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExa alex@example
      - name: former
        state: absent
"""

RETURN = r"""
accounts:
  description: Names of the accounts that changed, or would in check mode.
  type: list
  elements: str
  returned: always
  sample: [alex]
"""

import grp
import os
import pwd
import subprocess
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction, WantedFile, read_file
from ansible_collections.steelyard.stack.plugins.module_utils.host.users import (
    SeenUser,
    WantedUser,
    commands,
    keys_text,
    problems,
)

ARGUMENT_SPEC: dict[str, Any] = {
    "users": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "uid": {"type": "int"},
            "groups": {"type": "list", "elements": "str", "default": []},
            "shell": {"type": "path", "default": "/bin/bash"},
            "system": {"type": "bool", "default": False},
            "authorized_keys": {"type": "list", "elements": "str", "no_log": False},
        },
    }
}


def look(name: str) -> SeenUser | None:
    """Return one account as the host has it."""
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = frozenset(g.gr_name for g in grp.getgrall() if name in g.gr_mem or g.gr_gid == entry.pw_gid)
    found = read_file(f"{entry.pw_dir}/.ssh/authorized_keys")
    return SeenUser(entry.pw_uid, entry.pw_dir, entry.pw_shell, groups, found.content if found else "")


def execute(argv: list[str]) -> None:
    """Run one command; raises SteelyardError with what it says."""
    run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)
    if run.returncode != 0:
        raise SteelyardError(f"`{' '.join(argv)}` succeeds", run.stderr.strip(), "correct the entry in base_users")


def write_keys(user: WantedUser, text: str) -> None:
    """Write authorized_keys, readable by the account alone."""
    entry = pwd.getpwnam(user.name)
    directory = f"{entry.pw_dir}/.ssh"
    if os.path.islink(directory) or os.path.islink(entry.pw_dir):
        raise Refused("home and .ssh are directories", directory, "replace the link by a directory", user.name)
    if not os.path.isdir(directory):
        os.mkdir(directory, 0o700)
        os.chown(directory, entry.pw_uid, entry.pw_gid)
    file = WantedFile(f"{directory}/authorized_keys", text, 0o600, user.name, grp.getgrgid(entry.pw_gid).gr_name)
    with Transaction(f"user-{user.name}", (file,)) as transaction:
        transaction.plan()
        transaction.swap()
        transaction.commit()


def converge(user: WantedUser, check_mode: bool) -> list[str]:
    """Bring one account to what is wanted and return what was done, in words; raises SteelyardError."""
    seen = look(user.name)
    todo = commands(user, seen)
    text = keys_text(user)
    lines = [" ".join(argv) for argv in todo]
    stale = text is not None and text != (seen.authorized_keys if seen else "")
    if stale:
        lines.append(f"authorized_keys of {user.name}: {len(user.authorized_keys or ())} key(s)")
    if not check_mode:
        for argv in todo:
            execute(argv)
        if stale and text is not None:
            write_keys(user, text)
    return lines


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    users = [WantedUser.from_dict(raw) for raw in module.params["users"]]
    try:
        found = problems(users)
        if found:
            raise Refused.of(found)
        done = {user.name: converge(user, module.check_mode) for user in users}
    except SteelyardError as error:
        module.fail_json(msg=str(error), **error.details)
    lines = [line for part in done.values() for line in part]
    diff = {
        "before_header": "accounts",
        "after_header": "accounts",
        "before": "",
        "after": "".join(f"{li}\n" for li in lines),
    }
    module.exit_json(changed=bool(lines), accounts=[name for name, part in done.items() if part], diff=diff)


if __name__ == "__main__":
    main()
