# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the whole inventory on the control machine, before any host is contacted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.app.releases import archive_problems
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.inventory import check
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import (
    INSTALLING,
    OPERATIONS,
    UNKNOWN,
    Inventory,
    declared_by,
)
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import tidy
from ansible_collections.steelyard.stack.plugins.plugin_utils.action import failure
from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import inventory_from_vars, plain
from ansible_collections.steelyard.stack.plugins.plugin_utils.labs import labs_of, sources_of
from ansible_collections.steelyard.stack.plugins.plugin_utils.loop import ClusterAction, display
from ansible_collections.steelyard.stack.plugins.plugin_utils.refuse import refused
from ansible_collections.steelyard.stack.plugins.plugin_utils.results import is_first_host

ROLES = Path(__file__).parents[2] / "roles"  # beside this plugin, in a checkout and in an installed collection
ARGUMENTS = {
    "operation": {"type": "str", "default": "site", "choices": list(OPERATIONS)},
    "confirm": {"type": "str", "default": ""},
}


class ActionModule(ClusterAction):
    """See the documentation of the module of the same name."""

    _requires_connection = False
    ARGUMENTS = ARGUMENTS

    def _answer(self, args: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Return no problems, or fail with all of them; only the first host of the play does the work."""
        result: dict[str, Any] = {"changed": False, "problems": []}
        if not is_first_host(variables):
            return result
        try:
            sources = sources_of(variables)
            inventory = replace(inventory_from_vars(variables), given=sources, labs=labs_of(sources))
            _note_forgotten_lab(inventory)
            problems = check.problems(inventory, declared_variables(ROLES), args["operation"])
            if args["operation"] in INSTALLING:
                problems += tidy(self._archive_problems(inventory), inventory.secret_values)
            if args["confirm"]:
                given = str(plain(variables.get("confirm")) or "")
                problems += check.confirm_problems(args["confirm"], given, args["operation"])
            result["hosts"] = len(inventory.fleet.hosts)
            if problems:
                result |= refused(problems, "the inventory")
        except SteelyardError as error:
            result |= failure(error)
        return self.finish(result, variables)

    def _archive_problems(self, inventory: Inventory) -> list[Problem]:
        """Return what is wrong with the releases' archives on this machine; an unreadable inventory was told before."""
        try:
            wanted = services.releases(inventory.fleet)
        except SteelyardError:
            return []
        return archive_problems((r for r in wanted if UNKNOWN not in r.src), self._find)

    def _find(self, src: str) -> str | None:
        """Return where the role app would find a file of that name: beside the playbook, in the role, or as it stands."""
        try:
            return str(self._find_needle("files", src))
        except AnsibleError:
            beside = (ROLES / "app" / "files" / src, ROLES / "app" / src)
            return next((str(p) for p in beside if p.is_file()), None)


def _note_forgotten_lab(inventory: Inventory) -> None:
    """Say that this run goes to the real machines where a lab would have been at hand."""
    if inventory.labs and not any(source.lab for source in inventory.given):
        overlays = " or ".join(f"-i {lab.path}" for lab in inventory.labs)
        display.display(f"  note: this run is of the real machines; a rehearsal of it adds {overlays} at the end")


def declared_variables(roles: Path) -> dict[str, Mapping[str, Any]]:
    """Return the options that the argument specs of all roles declare; raises Refused where none is found."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted(roles.glob("*/meta/argument_specs.yml")):
        found.update(declared_by(yaml.safe_load(path.read_text(encoding="utf-8")) or {}))
    if not found:
        raise Refused("the collection is complete", f"no argument specs in {roles}", "install it again")
    return found
