# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Control side of `app_instances`: prove and bring the releases before the first step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.utils.display import Display

from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance
from ansible_collections.steelyard.stack.plugins.module_utils.app.releases import archive_problems
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.payload import pack
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.modules.app_instances import ARGUMENTS
from ansible_collections.steelyard.stack.plugins.plugin_utils.instances import InstancesAction

display = Display()
MODULE = "steelyard.stack.app_instances"


def checked(instances: object) -> list[dict[str, Any]]:
    """Return the task's `instances` as the module's options describe them; raises Refused, and names no value."""
    validator = ArgumentSpecValidator({"instances": ARGUMENTS["instances"]})
    result = validator.validate({"instances": instances})
    if result.error_messages:
        wrong = "; ".join(result.error_messages)
        for secret in sorted(_secrets(instances), key=len, reverse=True):
            wrong = wrong.replace(secret, "********")
        remedy = "hand in lookup('steelyard.stack.wanted', 'app_instances')"
        raise Refused("instances are what the options describe", wrong, remedy, "app_instances")
    found: list[dict[str, Any]] = result.validated_parameters["instances"]
    return found


def _secrets(instances: object) -> set[str]:
    """Return the secret values of instances that may have any shape."""
    entries = instances if isinstance(instances, list) else []
    given = [e["secrets"] for e in entries if isinstance(e, Mapping) and e.get("secrets")]
    values = [v for g in given for v in (g.values() if isinstance(g, Mapping) else [g])]
    return {str(v) for v in values if str(v).strip()}


class ActionModule(InstancesAction):
    """Runs `app_instances`."""

    MODULE = MODULE

    def _packed(self, arguments: dict[str, Any]) -> dict[str, Any]:
        self._killed: list[int] = []
        self._instances = checked(arguments.pop("instances", None) or [])
        return {**arguments, "payload": pack(self._instances)}

    def _work(
        self, arguments: dict[str, Any], found: Mapping[str, Any], plan: Plan, variables: dict[str, Any]
    ) -> dict[str, Any]:
        """Bring the releases that are missing, and do the steps."""
        sources = self._local_archives(found["missing"])
        if plan.steps and not self._task.check_mode:
            arguments = {**arguments, "archives": {name: self._transfer(name, path) for name, path in sources.items()}}
        done = super()._work(arguments, found, plan, variables)
        if arguments.get("archives"):
            self._remove_tmp_path(self._connection._shell.tmpdir)
        for port in self._killed:
            display.warning(f"{arguments['host']}: app@{port}.service did not stop in time and was killed")
        return {**done, "killed": self._killed}

    def _execute_module(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Call the module, and keep what each call of the loop had to kill."""
        answer: dict[str, Any] = super()._execute_module(*args, **kwargs)
        self._killed += answer.get("killed") or []
        return answer

    def _local_archives(self, missing: list[str]) -> dict[str, str]:
        """Return the control machine's archives that this host lacks; raises Refused for a missing or wrong one."""
        wanted = [Instance.from_dict(raw).release for raw in self._instances]
        lacking = [r for r in wanted if r.id in missing and not r.is_url and not r.remote_src]
        problems = archive_problems(lacking, self._find)
        if problems:
            raise Refused.of(problems)
        return {release.id: str(self._find(release.src)) for release in lacking}

    def _find(self, src: str) -> str | None:
        """Return where Ansible finds a file of that name: beside the role, the playbook, or as it stands."""
        try:
            return str(self._find_needle("files", src))
        except AnsibleError:
            return None

    def _transfer(self, name: str, path: str) -> str:
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        tmpdir = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(tmpdir, f"{name}{os.path.splitext(path)[1]}")
        self._transfer_file(path, remote)
        self._fixup_perms2((tmpdir, remote))
        return str(remote)
