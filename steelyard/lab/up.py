# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`lab up`: reads, plans, says what it needs, then makes it so. Done twice, the second time changes nothing."""

from __future__ import annotations

import configparser
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size
from steelyard import console
from steelyard.lab import cache, image, lab, machines, overlay, secure
from steelyard.lab.inventory import VaultOptions, read_inventory
from steelyard.lab.lab import Lab
from steelyard.lab.model import LABEL_INVENTORY, LABEL_LAB, LABEL_OVERLAY, Inventory, SeenLab, SeenStandIn, StandIn
from steelyard.lab.network import gateway_of
from steelyard.lab.plan import LabPlan, make_plan

# What of the machine's own pip configuration a stand-in needs to reach the same index.
PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "timeout", "default-timeout", "retries")


@dataclass(frozen=True)
class UpResult:
    """What `lab up` did; `changed` is false when everything was there already.

    `old` are stand-ins made from an earlier recipe of the image, which are left as they are; `added` those that an
    existing lab gained.
    """

    plan: LabPlan
    changed: bool
    old: tuple[str, ...] = ()
    added: tuple[str, ...] = ()


def up(target: Lab, vault: VaultOptions, budget: int | None = None, also: Sequence[Path] = ()) -> UpResult:
    """Bring the lab up; raises Refused before anything is touched, SteelyardError when a step fails."""
    inventory = read_inventory(target.inventory, vault, also)
    if inventory.hidden:
        console.note("A run on the real machines would be refused, and a rehearsal would not show it:")
        raise Refused.of(inventory.hidden)
    overlay.require_own(target.place, target.name, inventory.path)
    first = not target.place.marker.exists()
    overlay.update_marker(target.place, lab=target.name, inventory=inventory.path)
    with overlay.locked(target.place):
        try:
            return _up(target, inventory, budget)
        except Refused:
            if first:  # nothing was made, so nothing is left
                overlay.remove_overlay(target.place)
            raise


def _up(target: Lab, inventory: Inventory, budget: int | None) -> UpResult:
    seen = target.seen()
    suites = sorted({host.os for host in inventory.hosts})
    plan = make_plan(target.name, inventory, seen, machines.see_machine(target.client, suites), budget)
    _say_needs(plan)
    labels = {LABEL_LAB: target.name, LABEL_INVENTORY: inventory.path, LABEL_OVERLAY: str(target.place.folder)}
    secure.make_control_directory(target.place.control)
    had_key = (target.place.ssh / "id_ed25519").exists()
    files = _first_files(secure.ensure_key(target.place.ssh))
    if plan.create_network:
        machines.create_network(target.client, target.name, plan.subnet, labels)
    _build_images(target, plan)
    with ThreadPoolExecutor(max_workers=1) as beside:
        cached = beside.submit(_ensure_cache, target, plan)
        _make_stand_ins(target, plan, seen, labels, files, had_key)
        changed = _finish(target, inventory, plan)
        _warn_without_cache(cached)
    old = tuple(s.host for s in seen.stand_ins if s.image != image.make_recipe(s.os).tag)
    added = tuple(s.host for s in plan.create) if seen.stand_ins else ()
    return UpResult(plan, changed or not plan.empty, old, added)


def _say_needs(plan: LabPlan) -> None:
    if plan.empty:
        return
    parts = []
    if plan.images:
        parts.append("build " + ", ".join(f"the image of {image.SUITE_NAMES[suite]}" for suite in plan.images))
    if plan.create:
        count = len(plan.create)
        parts.append(f"create {count} stand-in{'s' if count > 1 else ''}")
    if plan.resize:
        parts.append("resize " + ", ".join(stand_in.host for stand_in in plan.resize))
    if plan.start:
        parts.append("start " + ", ".join(plan.start))
    needs = f"needs {format_size(plan.memory)} of memory and about {format_size(plan.disk)} of disk"
    console.note(f"Lab {plan.lab} on {plan.subnet}: {'; '.join(parts) or 'create its network'}; {needs}.")


def _build_images(target: Lab, plan: LabPlan) -> None:
    if not plan.images:
        return
    with console.steps("images", len(plan.images)) as shown:

        def build(suite: str) -> None:
            shown.say(suite, "building, half a minute where the archive is near")
            image.build(target.client, image.make_recipe(suite))
            shown.finish(f"image of {image.SUITE_NAMES[suite]}", "built")

        lab.in_parallel(build, plan.images, workers=2)


def _ensure_cache(target: Lab, plan: LabPlan) -> None:
    suite = min((stand_in.os for stand_in in plan.stand_ins), key=image.SUITES.index)
    cache.ensure(target.client, image.make_recipe(suite), target.name, plan.subnet)


def _warn_without_cache(cached: Future[None]) -> None:
    """A lab without its cache is slower and nothing else, so it is said and not raised."""
    try:
        cached.result()
    except (SteelyardError, *lab.EXPECTED) as err:
        console.note(f"Without the package cache: {err}")


def _first_files(public_key: str) -> bytes:
    """Return an archive of what a stand-in gets before its first boot."""
    home = f"home/{image.LOGIN_USER}/.ssh"
    entries = [
        (home + "/", 0o700, image.LOGIN_UID, b""),
        (home + "/authorized_keys", 0o600, image.LOGIN_UID, public_key.encode() + b"\n"),
        ("etc/pip.conf", 0o644, 0, _pip_configuration().encode()),
    ]
    return machines.archive(entries)


def _pip_configuration() -> str:
    config = configparser.ConfigParser(interpolation=None)
    config["global"] = {"cache-dir": machines.PIP_FOLDER, "cert": "/etc/ssl/certs/ca-certificates.crt"}
    argv = [sys.executable, "-m", "pip", "config", "list"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    for line in done.stdout.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if key in PIP_SETTINGS:
            config["global"]["timeout" if key == "default-timeout" else key] = value.strip("'\"")
    lines = [f"{key} = {value}" for key, value in config["global"].items()]
    return "\n".join(
        ["# Lab only: the cache that stand-ins share, and this machine's own index.", "[global]", *lines, ""]
    )


def _make_stand_ins(
    target: Lab, plan: LabPlan, seen: SeenLab, labels: dict[str, str], files: bytes, had_key: bool
) -> None:
    machines.ensure_volume(target.client, machines.PIP_VOLUME)
    for stand_in in plan.resize:
        have = seen.stand_in(stand_in.host)
        if have is not None:
            machines.resize(target.client, have, stand_in)
    todo = [*plan.create, *(s for s in plan.stand_ins if s.host in plan.start)]
    if not had_key:  # the overlay was removed by hand: the stand-ins that are there get the new key
        for have in seen.stand_ins:
            machines.container_of(target.client, have).put_archive("/", files)
    if not todo:
        return
    with console.steps("stand-ins", len(todo)) as shown:

        def make(stand_in: StandIn) -> None:
            have = seen.stand_in(stand_in.host)
            if have is None:
                shown.say(stand_in.host, "creating")
                container = machines.create_container(target.client, target.name, stand_in, labels, files)
            else:
                container = machines.container_of(target.client, have)
            if container.status == "paused":
                container.unpause()
            else:
                container.start()
            shown.say(stand_in.host, "booting")
            lab.boot(container, stand_in.host)
            shown.finish(stand_in.host, f"up at {stand_in.address}, {format_size(stand_in.memory)}")

        lab.in_parallel(make, todo)


def _finish(target: Lab, inventory: Inventory, plan: LabPlan) -> bool:
    """Names, keys, overlay, cuts, and a login to every stand-in; returns whether the overlay changed."""
    seen = target.seen()
    names = {stand_in.host for stand_in in plan.stand_ins}
    ours = tuple(s for s in seen.stand_ins if s.host in names)
    lab.write_names(target, ours, plan.subnet)
    keys = dict(lab.in_parallel(lambda s: (s.address, _host_key(target, s)), ours))
    changed = secure.write_private(target.place.ssh / "known_hosts", secure.known_hosts(keys))
    made = overlay.generated_secrets(inventory.secrets, overlay.read_secrets(target.place))
    gateway = gateway_of(plan.subnet)
    stated = {host.name: host.connection_variables for host in inventory.hosts}
    variables = {
        s.host: overlay.host_variables(target.name, s, gateway, target.place, made, stated[s.host])
        for s in plan.stand_ins
    }
    changed |= overlay.write_overlay(target.place, variables, made)
    cuts = target.cuts()
    lab.apply_cuts(target, seen, cuts, [*plan.start])
    lab.in_parallel(
        lambda s: lab.prove_login(target, s.host, s.address), [s for s in ours if s.host not in cuts.isolated]
    )
    return changed


def _host_key(target: Lab, stand_in: SeenStandIn) -> str:
    return lab.boot(machines.container_of(target.client, stand_in), stand_in.host)
