# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Render a set of files on the control machine and hand them to the module in one call."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.template import trust_as_template

from ansible_collections.steelyard.stack.plugins.modules.config_set import ARGUMENT_SPEC
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import SteelyardAction

MANAGED = "Managed by Steelyard (steelyard.stack): what is changed here by hand is overwritten."


class ActionModule(SteelyardAction):
    """`steelyard.stack.config_set`."""

    ARGUMENTS = ARGUMENT_SPEC

    def _arguments(self) -> dict[str, Any]:
        """Return the task's arguments; one thing to activate may stand without a list around it."""
        if isinstance(self._task.args.get("activate"), Mapping):
            self._task.args["activate"] = [self._task.args["activate"]]
        return super()._arguments()

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return the module's result."""
        files = [self._rendered(entry, variables) for entry in args.pop("files")]
        text = json.dumps(files, ensure_ascii=True).encode()
        args["payload"] = base64.b64encode(zlib.compress(text)).decode()
        return self.call_module("steelyard.stack.config_set", args, variables)

    def _rendered(self, entry: Mapping[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        """Return one entry with its content; raises AnsibleActionFail when it has none or two sources."""
        if (entry["template"] is None) == (entry["content"] is None):
            raise AnsibleActionFail(f"{entry['dest']} needs either a template or a content")
        content = entry["content"] if entry["template"] is None else self._render(entry, task_vars)
        if content and not content.endswith("\n"):
            content += "\n"
        kept = ("dest", "mode", "owner", "group", "secret", "keep")
        return {**{key: entry[key] for key in kept}, "content": str(content)}

    def _render(self, entry: Mapping[str, Any], task_vars: dict[str, Any]) -> str:
        try:
            source = self._find_needle("templates", entry["template"])
        except AnsibleError as error:
            raise AnsibleActionFail(f"{entry['dest']}: {error}") from error
        template = trust_as_template(self._loader.get_text_file_contents(source))
        roots = [*task_vars.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(source)]
        search = [path for root in roots for path in (os.path.join(root, "templates"), root)]
        variables = {"ansible_managed": MANAGED, "template_path": entry["template"], **task_vars, **entry["vars"]}
        templar = self._templar.copy_with_new_env(searchpath=search, available_variables=variables)
        overrides = {"trim_blocks": True, "lstrip_blocks": True}
        rendered = templar.template(template, escape_backslashes=False, overrides=overrides)
        return "" if rendered is None else str(rendered)
