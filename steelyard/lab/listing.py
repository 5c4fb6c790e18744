# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`ansible-inventory --list` that also judges what a rehearsal cannot see. A process of its own:

    python -m steelyard.lab.listing --inventory inventories/market --list

An overlay says anew where every host is, how large, and who may reach it by SSH. What the real inventory says of these
is in force nowhere in a rehearsal, so it is judged here, with the rules that every playbook begins with.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible.cli.inventory import InventoryCLI
from ansible.vars.hostvars import HostVars

from steelyard.main import find_collection


def hidden_problems(inventory: Any, declared: Mapping[str, Mapping[str, Any]]) -> list[Any]:
    """Return the problems that the inventory has as it stands, and no longer has under an overlay. Pure.

    Secrets and values that cannot be made are left out: a rehearsal has secrets of its own, and sees the rest.
    """
    from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
    from ansible_collections.steelyard.stack.plugins.module_utils.inventory import check

    bare = replace(inventory, failures={}, secrets={})
    hosts = tuple(
        replace(host, vars={**host.vars, **_overlaid(number)}) for number, host in enumerate(bare.fleet.hosts, 1)
    )
    rehearsed = set(check.problems(replace(bare, fleet=Fleet(hosts)), declared))
    return [problem for problem in check.problems(bare, declared) if problem not in rehearsed]


def _overlaid(number: int) -> dict[str, Any]:
    """What an overlay would say of the host; an address of its own, of the block for benchmarks (RFC 2544)."""
    address = f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}"
    return {
        "ansible_host": address,
        "ansible_port": 22,
        "steelyard_address": address,
        "steelyard_memory": "64gb",
        "steelyard_cpus": 64,
        "steelyard_control_networks": ["198.18.0.0/32"],
    }


class Listing(InventoryCLI):
    """Ansible's own command, with one more key in its answer."""

    def json_inventory(self, top: Any) -> dict[str, Any]:
        """Return Ansible's listing and the problems that an overlay would hide."""
        from ansible_collections.steelyard.stack.plugins.action.inventory_check import ROLES, declared_variables
        from ansible_collections.steelyard.stack.plugins.plugin_utils.fleet import inventory_from_vars
        from steelyard.lab.inventory import HIDDEN

        listing: dict[str, Any] = super().json_inventory(top)
        hostvars = HostVars(inventory=self.inventory, variable_manager=self.vm, loader=self.loader)
        known = inventory_from_vars({"hostvars": hostvars, "groups": self.inventory.get_groups_dict()})
        listing[HIDDEN] = [p.as_dict() for p in hidden_problems(known, declared_variables(Path(ROLES)))]
        return listing


if __name__ == "__main__":
    find_collection()
    Listing.cli_executor(["ansible-inventory", *sys.argv[1:]])
