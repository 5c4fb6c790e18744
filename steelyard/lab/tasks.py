# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verbs of `steelyard lab`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from invoke import Collection, Exit, task

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size, parse_size
from steelyard import console
from steelyard.lab import cache, faults, lab, machines, secure
from steelyard.lab import up as bring_up
from steelyard.lab.image import LOGIN_USER
from steelyard.lab.inventory import VaultOptions, read_inventory
from steelyard.lab.lab import Lab
from steelyard.lab.model import Inventory, SeenLab, SeenStandIn

HELP = {
    "inventory": "the inventory's folder or file",
    "host": "host names, after the inventory",
    "name": "the lab's name, where it is not that of the inventory's folder",
    "also": "a further inventory file, as another -i of Ansible; may be repeated",
    "vault_id": "vault identity, as Ansible takes it; may be repeated",
    "vault_password_file": "file with the vault's password; may be repeated",
    "ask_vault_password": "ask for the vault's password",
    "json": "print JSON for programs",
}
VAULT = ["vault_id", "vault_password_file"]


def _help(*names: str, **own: str) -> dict[str, str]:
    return {name.replace("_", "-"): HELP[name] for name in names} | own


@task(
    positional=["inventory"],
    iterable=["also", *VAULT],
    auto_shortflags=False,
    help=_help(
        "inventory",
        "name",
        "also",
        *VAULT,
        "ask_vault_password",
        memory="memory for all stand-ins together, e.g. 4gb",
    ),
)
def up(
    _context: Any,
    inventory: str,
    name: str = "",
    memory: str = "",
    vault_id: Sequence[str] | None = None,
    vault_password_file: Sequence[str] | None = None,
    ask_vault_password: bool = False,
    also: Sequence[str] | None = None,
) -> None:
    """Give every host of an inventory a stand-in, and write the overlay inventory.

    Done again, it adds hosts that the inventory gained and starts those that stopped; nothing else changes.

    For example:
      steelyard lab up inventories/market
      steelyard lab up inventories/market --name second --memory 4gb
      steelyard lab up inventories/ape --vault-password-file ~/.vault
      steelyard lab up inventories/market --also more-hosts.yml
    """
    vault = VaultOptions(tuple(vault_id or ()), tuple(vault_password_file or ()), ask_vault_password)
    found = lab.find_lab(inventory, name or None)
    result = bring_up.up(found, vault, parse_size(memory, "--memory") if memory else None, _paths(also))
    state = "is up" if result.changed else "was up already, nothing changed"
    console.say(f"Lab {found.name} {state}: {len(result.plan.stand_ins)} stand-ins on {result.plan.subnet}.")
    given = shlex.quote(inventory) + (f" --name {shlex.quote(name)}" if name else "")
    for host in result.plan.gone:
        console.say(f"{host} is no longer in the inventory; its stand-in goes with: steelyard lab down {given} {host}")
    if result.old:
        console.say(f"Made from an earlier image: {', '.join(result.old)}; `steelyard lab down` and `up` renew them.")
    sources = " ".join(f"-i {shlex.quote(s)}" for s in (inventory, *(also or ()), _short(found.place.folder)))
    extra = "".join(f" {shlex.quote(argument)}" for argument in vault.argv())
    for line in next_steps(result.added):
        console.say(line.replace("RUN", f"ansible-playbook {sources}{extra}"))


def next_steps(added: Sequence[str]) -> tuple[str, ...]:
    """Return what to do after `lab up`: a lab is built first, and scaled when the inventory gained hosts. Pure."""
    if not added:
        return ("Go on with:", "  RUN playbooks/site.yml")
    return (
        f"{', '.join(added)} joined the lab. On a fleet that site.yml has built, go on with:",
        "  RUN playbooks/scale.yml --check --diff",
        "  RUN playbooks/scale.yml",
    )


@task(
    positional=["inventory"],
    iterable=["host"],
    auto_shortflags=False,
    help=_help("inventory", "host", "name", cache="also remove the package caches that labs share"),
)
def down(_context: Any, inventory: str, host: Sequence[str] | None = None, name: str = "", cache: bool = False) -> None:
    """Remove a lab: its containers, network and overlay, and nothing else.

    With hosts, only their stand-ins. The package caches are kept for the next lab unless --cache is given.

    For example:
      steelyard lab down inventories/market
      steelyard lab down inventories/market api3
      steelyard lab down inventories/market --cache
    """
    found = lab.find_lab(inventory, name or None)
    removed = lab.down(found, host or ())
    removed += _clean_cache(found, cache)
    for what in removed:
        console.say(f"removed {what}")
    if host:
        names, again = ", ".join(host), f"steelyard lab up {shlex.quote(inventory)}"
        console.say(f"While {inventory} names {names}, runs on this lab are refused: delete the line, or: {again}")
    if not removed:
        console.say(f"Lab {found.name} was not there.")


def _clean_cache(found: Lab, everything: bool) -> list[str]:
    cache.release(found.client)
    if not everything:
        return []
    others = machines.lab_names(found.client)
    if others:
        console.note(f"The package caches are kept: in use by {', '.join(others)}.")
        return []
    return cache.remove(found.client)


@task(
    positional=["inventory"],
    iterable=["also", *VAULT],
    auto_shortflags=False,
    help=_help("inventory", "name", "also", "json", *VAULT, "ask_vault_password"),
)
def status(
    _context: Any,
    inventory: str,
    name: str = "",
    json: bool = False,
    vault_id: Sequence[str] | None = None,
    vault_password_file: Sequence[str] | None = None,
    ask_vault_password: bool = False,
    also: Sequence[str] | None = None,
) -> None:
    """Show a lab's stand-ins: host, address, groups, memory, CPUs, release and state.

    For example:
      steelyard lab status inventories/market
      steelyard lab status inventories/market --json
      steelyard lab status inventories/market --also more-hosts.yml
    """
    found = lab.find_lab(inventory, name or None)
    vault = VaultOptions(tuple(vault_id or ()), tuple(vault_password_file or ()), ask_vault_password)
    rows = status_rows(read_inventory(found.inventory, vault, _paths(also)), found.seen(), found.cuts())
    if json:
        console.as_json({"lab": found.name, "overlay": str(found.place.folder), "hosts": rows})
        return
    columns = ("host", "address", "groups", "memory", "cpus", "release", "state")
    cells = [
        (
            row["host"],
            row["address"] or "-",
            ", ".join(row["groups"]),
            format_size(row["memory"]) if row["memory"] else "-",
            f"{row['cpus']:g}" if row["cpus"] else "-",
            row["release"],
            row["state"] + (f", cut from {', '.join(row['cut_from'])}" if row["cut_from"] else ""),
        )
        for row in rows
    ]
    console.table(columns, cells)


def status_rows(inventory: Inventory, seen: SeenLab, cuts: faults.Cuts) -> list[dict[str, Any]]:
    """Return one row for every host of the inventory, and for stand-ins it no longer names. Pure."""
    rows = []
    names = {host.name for host in inventory.hosts}
    for name in [*(host.name for host in inventory.hosts), *(s.host for s in seen.stand_ins if s.host not in names)]:
        host, have = inventory.host(name), seen.stand_in(name)
        state = have.state if have else "no stand-in"
        if host is None:
            state += ", not in the inventory"
        cut_from = [faults.ALL] if name in cuts.isolated else list(cuts.peers_of(name))
        rows.append(
            {
                "host": name,
                "address": str(have.address) if have else None,
                "groups": list(host.groups) if host else [],
                "memory": have.memory if have else None,
                "cpus": have.cpus if have else None,
                "release": have.os if have else (host.os if host else ""),
                "state": state,
                "cut_from": cut_from,
            }
        )
    return rows


@task(positional=["inventory", "host"], auto_shortflags=False, help=_help("inventory", "name", host="the host"))
def ssh(_context: Any, inventory: str, host: str, name: str = "") -> None:
    """Open a shell on a stand-in.

    For example:
      steelyard lab ssh inventories/market api1
    """
    found = lab.find_lab(inventory, name or None)
    stand_in = lab.pick(found.seen(), [host])[0]
    argv = ["ssh"]
    for option in secure.ssh_options(found.place.ssh):
        argv += option.split(" ", 1)
    argv += ["-i", str(found.place.ssh / "id_ed25519"), f"{LOGIN_USER}@{stand_in.address}"]
    os.execvp("ssh", argv)  # noqa: S606 - an argument list, and the user's own terminal


@task(
    name="exec",
    positional=["inventory", "host"],
    auto_shortflags=False,
    help=_help("inventory", "name", host="the host", root="as root"),
)
def execute(context: Any, inventory: str, host: str, name: str = "", root: bool = False) -> None:
    """Run a command on a stand-in over SSH, and end with its exit status.

    For example:
      steelyard lab exec inventories/market api1 -- systemctl --failed
      steelyard lab exec inventories/market api1 --root -- nft list ruleset
    """
    argv = list(context.config.get("remainder", ()))
    if not argv:
        raise Refused("a command follows --", "none", "for example: steelyard lab exec INVENTORY HOST -- uptime")
    found = lab.find_lab(inventory, name or None)
    stand_in = lab.pick(found.seen(), [host])[0]
    command = shlex.join(["sudo", "-n", "--", *argv] if root else argv)
    with secure.connect(stand_in.address, found.place.ssh, timeout=10) as connection:
        result = connection.run(command, warn=True, in_stream=False, pty=False, echo=False)
    sys.stdout.flush()
    raise Exit(code=result.exited)


@task(positional=["inventory"], iterable=["host"], auto_shortflags=False, help=_help("inventory", "host", "name"))
def kill(_context: Any, inventory: str, host: Sequence[str] | None = None, name: str = "") -> None:
    """Stop stand-ins as a power failure does.

    For example:
      steelyard lab kill inventories/market api1
    """
    found, chosen = _chosen(inventory, host, name)
    lab.kill(found, chosen)
    console.say(f"killed {', '.join(s.host for s in chosen)}")


@task(positional=["inventory"], iterable=["host"], auto_shortflags=False, help=_help("inventory", "host", "name"))
def start(_context: Any, inventory: str, host: Sequence[str] | None = None, name: str = "") -> None:
    """Start stand-ins that were killed, at the same addresses, and wait until they can be worked with.

    For example:
      steelyard lab start inventories/market api1
    """
    found, chosen = _chosen(inventory, host, name)
    lab.start(found, chosen)
    console.say(f"started {', '.join(s.host for s in chosen)}")


def _chosen(inventory: str, hosts: Sequence[str] | None, name: str) -> tuple[Lab, tuple[SeenStandIn, ...]]:
    """Return the lab and the stand-ins that were named; raises Refused when none was, or one is unknown."""
    found = lab.find_lab(inventory, name or None)
    if not hosts:
        raise Refused("hosts are named", "none", "name them after the inventory")
    return found, lab.pick(found.seen(), hosts)


@task(
    positional=["inventory"],
    iterable=["host"],
    auto_shortflags=False,
    help=_help("inventory", "host", "name", control="cut the control machine off too"),
)
def cut(
    _context: Any, inventory: str, host: Sequence[str] | None = None, name: str = "", control: bool = False
) -> None:
    """Cut the network between stand-ins, both ways; open connections stop too. SSH from here stays.

    For example:
      steelyard lab cut inventories/market api1 lb1      (between these two)
      steelyard lab cut inventories/market api1 all      (from every other stand-in)
      steelyard lab cut inventories/market api1 --control  (from everything)
    """
    found = lab.find_lab(inventory, name or None)
    seen = found.seen()
    lab.pick(seen, [item for item in host or () if item != faults.ALL])
    everyone = [stand_in.host for stand_in in seen.stand_ins]
    _change_cuts(found, faults.cut(found.cuts(), host or (), everyone, control))


@task(positional=["inventory"], iterable=["host"], auto_shortflags=False, help=_help("inventory", "host", "name"))
def heal(_context: Any, inventory: str, host: Sequence[str] | None = None, name: str = "") -> None:
    """Join what was cut: between the named hosts, all cuts of one host, or all.

    For example:
      steelyard lab heal inventories/market
      steelyard lab heal inventories/market api1
      steelyard lab heal inventories/market api1 lb1
    """
    found = lab.find_lab(inventory, name or None)
    lab.pick(found.seen(), [item for item in host or () if item != faults.ALL])
    _change_cuts(found, faults.heal(found.cuts(), host or ()))


def _change_cuts(found: Lab, cuts: faults.Cuts) -> None:
    lab.change_cuts(found, cuts)
    for pair in cuts.as_dict()["pairs"]:
        console.say(f"cut: {' - '.join(pair)}")
    for host in sorted(cuts.isolated):
        console.say(f"cut: {host} from everything")
    if not cuts.pairs and not cuts.isolated:
        console.say("No cuts.")


def _paths(sources: Sequence[str] | None) -> tuple[Path, ...]:
    return tuple(Path(source) for source in sources or ())


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


namespace = Collection("lab")
for _verb in (up, down, status, ssh, execute, kill, start, cut, heal):
    namespace.add_task(_verb)
namespace.__doc__ = "Rehearse on stand-ins: a container for every host of any inventory."
