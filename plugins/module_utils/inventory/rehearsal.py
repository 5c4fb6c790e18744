# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A rehearsal never touches production: what the sources of a run and its hosts must be. Pure: no Ansible.

Every playbook asks this first, through `inventory_check`, before anybody is contacted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import Inventory, Source
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import gather, host_list
from ansible_collections.steelyard.stack.plugins.module_utils.validate import HIDDEN

CONNECTION = re.compile(
    r"^ansible_(connection|host|port|user|pass(word)?|private_key\w*|host_key_checking|control_path\w*"
    r"|(ssh|scp|sftp|paramiko)_\w+)$"
)
"""Variables that decide who is reached, and how. An overlay states each that its inventory states."""

_SECRET = re.compile(r"_pass(word)?$|_passphrase$|_private_key$")
_ADDRESS = ("ansible_host", "ansible_ssh_host")
NOT_OVERRIDDEN = "take away what overrides it: -e, or host_vars beside the playbook"
NEVER_MIXED = "a rehearsal never touches real machines: every host is in the lab, or none"


def lab_problems(inventory: Inventory) -> list[Problem]:
    """Every host is a stand-in of one lab, the one of this inventory, and is reached there; or none is."""
    wrong = list(_of_another_inventory(inventory))
    if wrong:  # what else is odd follows from it, and would mislead
        return wrong
    return [
        *_mixed(inventory),
        *_overlay_not_last(inventory),
        *_reached_elsewhere(inventory),
        *gather(_reached_otherwise(inventory), [host.name for host in inventory.fleet.hosts]),
    ]


def no_host_problems(inventory: Inventory) -> list[Problem]:
    """A run of an inventory without hosts would do nothing and seem to have done its work; an overlay names none."""
    given = ", ".join(f"-i {source.path}" for source in inventory.given)
    overlay = next((source for source in inventory.given if source.lab), None)
    remedy = "give the inventory with -i, and see its hosts with: ansible-inventory -i INVENTORY --graph"
    if overlay is not None:
        remedy = f"give the inventory before its lab: -i {overlay.stands_for or 'INVENTORY'} -i {overlay.path}"
    return [Problem("inventory", "an inventory has hosts", f"none in {given}" if given else "none given", remedy)]


def _mixed(inventory: Inventory) -> Iterator[Problem]:
    labs: dict[str, list[str]] = {}
    for host in inventory.fleet.hosts:
        labs.setdefault(str(host.vars.get("steelyard_lab") or ""), []).append(host.name)
    real = labs.pop("", [])
    overlays = {source.lab: source for source in inventory.given if source.lab}
    if labs and real:
        seen = f"lab {', '.join(sorted(labs))} has no {host_list(real, 12)}"
        remedy = f"run `{_up(inventory, min(labs))}`: it adds the hosts that the lab lacks"
        yield Problem("steelyard_lab", NEVER_MIXED, seen, remedy)
    if len(labs) > 1:
        seen = "; ".join(f"{_named(lab, overlays)}: {host_list(names)}" for lab, names in sorted(labs.items()))
        remedy = "give -i for one lab only, the one of this inventory"
        yield Problem("steelyard_lab", "a run works in one lab", seen, remedy)
    if labs and inventory.given and not overlays:
        seen = f"lab {', '.join(sorted(labs))}, and no overlay among the inventories"
        remedy = "add -i .lab/NAME at the end; a real inventory does not set steelyard_lab"
        yield Problem("steelyard_lab", "a rehearsal is given its lab's overlay", seen, remedy)


def _of_another_inventory(inventory: Inventory) -> Iterator[Problem]:
    real = [source for source in inventory.given if not source.lab]
    ours = {source.place for source in real}
    for overlay in inventory.given:
        if not overlay.lab or not overlay.stands_for or not real or overlay.stands_for in ours:
            continue
        own = next((lab for lab in inventory.labs if lab.lab != overlay.lab), None)
        remedy = (
            f"give -i {own.path} in its place, the lab of {real[0].path}"
            if own is not None
            else f"take it out and run `steelyard lab up {real[0].path}`, which says what to give in its place"
        )
        seen = f"lab {overlay.lab} stands in for {overlay.stands_for}, and this run is of {real[0].path}"
        yield Problem(f"-i {overlay.path}", "a run rehearses in the lab of its own inventory", seen, remedy)


def _overlay_not_last(inventory: Inventory) -> Iterator[Problem]:
    """A source that follows the overlay may say again where a host is, and Ansible would go there."""
    labs = [at for at, source in enumerate(inventory.given) if source.lab]
    after = [source.path for source in inventory.given[labs[0] :] if not source.lab] if labs else []
    if after:
        overlay = inventory.given[labs[0]].path
        rule = "a lab's overlay comes last: what it says of a host counts"
        remedy = f"put -i {overlay} at the end"
        yield Problem(f"-i {overlay}", rule, f"-i {', -i '.join(after)} after it", remedy)


def _reached_elsewhere(inventory: Inventory) -> Iterator[Problem]:
    addresses = {name: where for source in inventory.given for name, where in source.addresses.items()}
    for host in inventory.fleet.hosts:
        own = addresses.get(host.name)
        if not host.vars.get("steelyard_lab") or own is None:
            continue
        # Where both are given, Ansible goes to the second.
        found = {"ansible_host": host.vars.get("ansible_host")}
        found["ansible_ssh_host"] = host.vars.get("ansible_ssh_host", own)
        for name, place in found.items():
            if str(place) != own:
                rule = f"a stand-in is reached at its own address, {own}"
                yield Problem(f"{host.name}: {name}", rule, str(place), NOT_OVERRIDDEN)


def _reached_otherwise(inventory: Inventory) -> Iterator[tuple[str, Problem]]:
    """Somebody else may answer to another port, connection or command than the overlay's."""
    told = {name: own for source in inventory.given for name, own in source.reached.items()}
    for host in inventory.fleet.hosts:
        own, found = told.get(host.name), inventory.reached.get(host.name, {})
        if own is None:
            continue
        for name in sorted(n for n in {*own, *found} if CONNECTION.match(n) and n not in _ADDRESS):
            if name not in own or _text(found.get(name)) != _text(own[name]):
                should = _shown(name, own[name]) if name in own else "without this variable"
                rule = f"a stand-in is reached as its lab says, {should}"
                yield host.name, Problem(name, rule, _shown(name, found.get(name)), NOT_OVERRIDDEN)


def _text(value: Any) -> str:
    """What `-e` gives is text: `true` is True, `22` is 22, and null is an empty text."""
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _shown(name: str, value: Any) -> str:
    return HIDDEN if _SECRET.search(name) else _text(value)


def _up(inventory: Inventory, lab: str) -> str:
    """Return the command that brings up a lab of this run's inventory: the source that it stands for, and the others."""
    stands_for = {source.stands_for for source in inventory.given if source.lab == lab}
    real = sorted((s for s in inventory.given if not s.lab), key=lambda source: source.place not in stands_for)
    if not real:
        return "steelyard lab up INVENTORY"
    also = "".join(f" --also {source.path}" for source in real[1:])
    folder = real[0].place.rpartition("/")[2].lower()
    return f"steelyard lab up {real[0].path}{also}{'' if folder == lab else f' --name {lab}'}"


def _named(lab: str, overlays: dict[str, Source]) -> str:
    known = overlays.get(lab)
    return f"{lab} ({known.path})" if known is not None else lab
