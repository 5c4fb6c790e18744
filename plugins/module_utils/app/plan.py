# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a host has to what it should have: releases, files, instances. Values in, a plan out.

Nothing needs to be remembered between runs: each step's outcome is visible in what is read next, so a run
that was killed anywhere is finished by the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.steelyard.stack.plugins.module_utils.app import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance, Release, Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen, SeenInstance, SeenRelease
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import HEADER, Change, plan_files
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.instances import plan as instances
from ansible_collections.steelyard.stack.plugins.module_utils.instances.plan import restarts, starts, step
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, format_size

SERVICE = "app"


@dataclass(frozen=True)
class Wish(instances.Wish[int]):
    """What one call is asked for. `python` makes the virtual environments of releases."""

    instances: tuple[Instance, ...]
    whole: Slice = field(default_factory=Slice)
    python: str = ""

    @property
    def placed(self) -> tuple[Instance, ...]:
        """What should be on the host, in port order: everything that is not leaving."""
        return tuple(sorted((i for i in self.instances if i.state != "leaving"), key=lambda i: i.port))

    @property
    def releases(self) -> dict[str, Release]:
        """The releases that placed instances need, by id."""
        return {i.release.id: i.release for i in self.placed}


def file_changes(seen: Seen, wish: Wish) -> tuple[Change, ...]:
    """Return the files to create and to modify; removal goes with the instance that they belong to."""
    return plan_files(seen.files, unit_files.host_files(wish.placed, wish.whole))


def unplaced(seen: Seen, wish: Wish) -> tuple[int, ...]:
    """Return the ports of instances that are here and should not be: not named, or leaving."""
    return instances.unplaced(wish, seen.instances)


def restart_needed(seen: Seen, wish: Wish) -> tuple[int, ...]:
    """Return the ports whose running process has another configuration than the wanted one, or is too old."""
    found = []
    for instance in wish.placed:
        now = seen.instances.get(instance.port)
        if now is not None and now.running:
            other = now.config != unit_files.config_digest(instance)
            if other or (wish.started_before and now.started < wish.started_before):
                found.append(instance.port)
    return tuple(found)


def make_plan(seen: Seen, wish: Wish) -> Plan:
    """Return the steps for this host in order, or the reasons why nothing is done."""
    refusals = tuple(_refusals(seen, wish))
    steps: list[Step] = []
    if not refusals:
        changes = file_changes(seen, wish)
        steps = [
            *_prepare(seen, wish),
            *_configure(seen, wish, changes),
            *_serve(seen, wish),
            *(_remove(seen, wish) if wish.remove else []),
            *_prune(seen, wish),
        ]
    return Plan(
        service=SERVICE,
        cluster=wish.host,
        steps=tuple(steps),
        refusals=refusals,
        notes=tuple(_notes(seen, wish)),
        fingerprint=_fingerprint(seen, wish),
    )


def _refusals(seen: Seen, wish: Wish) -> Iterable[Refusal]:
    ports = [i.port for i in wish.placed]
    for port in sorted({p for p in ports if ports.count(p) > 1}):
        yield Refusal("a port is used once on a host", str(port), "give one of the classes another port")
    for release in wish.releases.values():
        there = seen.releases.get(release.id)
        if there is not None and there.complete and there.checksum != release.checksum:
            yield Refusal(
                "a release never changes once it is installed",
                f"{release.id} is {there.checksum}, wanted {release.checksum}",
                "build it under a new version",
            )
        elif there is not None and there.complete and wish.python and there.python not in ("", wish.python):
            yield Refusal(
                "an installed release keeps the interpreter that it was built with",
                f"{release.id} was built with {there.python}, app_python is {wish.python}",
                "build it under a new version, or set app_python back",
            )
    template = seen.files.get(unit_files.template_path())
    if wish.placed and template is not None and not template.content.startswith(HEADER):
        remedy = "rename the other unit, or remove it"
        yield Refusal("app@.service is ours", f"{unit_files.template_path()} was written by somebody else", remedy)


def _prepare(seen: Seen, wish: Wish) -> Iterable[Step]:
    if wish.placed and not seen.user:
        yield step(wish, "create user", unit_files.USER, "system user without a shell")
    for name, release in sorted(wish.releases.items()):
        there = seen.releases.get(name)
        if there is None or not there.complete:
            detail = f"{release.kind} {release.checksum[:14]}"
            yield step(wish, "install", name, detail if there is None else f"{detail}, interrupted before")


def _configure(seen: Seen, wish: Wish, changes: Sequence[Change]) -> Iterable[Step]:
    if changes:
        yield step(wish, "configure", SERVICE, f"{len(changes)} file(s)")
    if changes or not seen.loaded:
        yield step(wish, "reload", "systemd", "unit files and limits")


def _serve(seen: Seen, wish: Wish) -> Iterable[Step]:
    """Start what should run, restart what may be, prove both, then say which release serves."""
    starting, restarting, old = (
        starts(wish, seen.instances),
        restarts(wish, restart_needed(seen, wish)),
        restart_needed(seen, wish),
    )
    proving: list[Instance] = []
    for instance in wish.placed:
        now = seen.instances.get(instance.port, SeenInstance(instance.port))
        if instance.port in starting:
            yield step(wish, "start", str(instance.port), _limits(instance))
            proving.append(instance)
        elif instance.state != "maintenance":
            if not now.enabled:
                yield step(wish, "enable", str(instance.port), instance.class_name)
            unproven = not now.ready or now.good_config != unit_files.config_digest(instance)
            if instance.port not in old and unproven:
                proving.append(instance)
    for instance in proving:
        yield _prove(wish, instance)
    for instance in wish.placed:
        if instance.port in restarting:
            yield step(wish, "restart", str(instance.port), f"{instance.class_name} {instance.release.id}", "brief")
            yield _prove(wish, instance)
    for name, release in sorted(_current_after(seen, wish).items()):
        if seen.current.get(name) != release:
            yield step(wish, "switch", name, f"{seen.current.get(name, 'none')} → {release}")


def _current_after(seen: Seen, wish: Wish) -> dict[str, str]:
    """Return the release that each placed class's current link names once all is proven."""
    renewed, old = (
        {*starts(wish, seen.instances), *restarts(wish, restart_needed(seen, wish))},
        restart_needed(seen, wish),
    )
    found = {}
    for instance in wish.placed:
        runs = instance.port in renewed or (instance.state != "maintenance" and instance.port not in old)
        if runs:
            found[instance.class_name] = instance.release.id
    return found


def _prove(wish: Wish, instance: Instance) -> Step:
    path = instance.readiness or instance.health or "TCP"
    return step(wish, "prove", str(instance.port), f"{path} within {format_duration(instance.start_deadline)}")


def _limits(instance: Instance) -> str:
    memory = format_size(instance.memory_max) if instance.memory_max else "no limit"
    return f"{instance.class_name} {instance.release.id}, memory {memory}"


def _remove(seen: Seen, wish: Wish) -> Iterable[Step]:
    gone = unplaced(seen, wish)
    for port in gone:
        now = seen.instances[port]
        if now.active not in ("inactive", "failed"):
            yield step(wish, "stop", str(port), now.class_name, "brief")
        yield step(wish, "remove", str(port), f"{now.class_name} unit, environment, secrets")
    if not wish.placed and (gone or seen.leftovers):
        yield step(wish, "clean", SERVICE, "releases, slices, unit template, user")
    elif wish.placed:
        for name in unused_classes(seen, wish):
            yield step(wish, "drop class", name, "slice, current release")


def unused_classes(seen: Seen, wish: Wish) -> tuple[str, ...]:
    """Return the classes that have a slice or a current release here, and no instance any more."""
    used = {i.class_name for i in wish.placed}
    start, end = unit_files.slice_path("x").split("x.", maxsplit=1)[0], ".slice"
    named = {p[len(start) : -len(end)] for p in seen.files if p.startswith(start) and p.endswith(end)}
    return tuple(sorted((named | set(seen.current)) - used))


def _prune(seen: Seen, wish: Wish) -> Iterable[Step]:
    """Remove releases beyond the number to keep; never one that anything here still refers to."""
    if not wish.placed:
        return
    keep = max(i.keep_releases for i in wish.placed)
    used = _releases_after(seen, wish)
    by_name: dict[str, list[SeenRelease]] = {}
    for release in seen.releases.values():
        by_name.setdefault(release.id.rsplit("-", 1)[0], []).append(release)
    for releases in by_name.values():
        newest = sorted(releases, key=lambda r: (r.complete, r.installed, r.id), reverse=True)
        wanted = sum(1 for name in wish.releases if name not in seen.releases and _same_name(name, releases))
        kept = {r.id for r in newest[: max(0, keep - wanted)]}
        for release in sorted(newest, key=lambda r: (r.installed, r.id)):
            if release.id not in used and (release.id not in kept or not release.complete):
                yield step(wish, "prune", release.id, "old release" if release.complete else "never completed")


def _releases_after(seen: Seen, wish: Wish) -> set[str]:
    """Return the releases that files, processes and ways back refer to once the steps are done."""
    current = {**seen.current, **_current_after(seen, wish)}
    if wish.remove:
        current = {name: current[name] for name in {i.class_name for i in wish.placed} & set(current)}
    used = set(wish.releases) | set(current.values())
    gone = unplaced(seen, wish)
    renewed = {*starts(wish, seen.instances), *restarts(wish, restart_needed(seen, wish))}
    old = restart_needed(seen, wish)
    resting = {i.port for i in wish.placed if i.state == "maintenance"}
    for port, now in seen.instances.items():
        if port in gone and not wish.remove:
            used |= {now.release, now.file_release, now.good_release}
        elif port not in gone and port not in renewed and (port in old or port in resting):
            used |= {now.release, now.good_release}
    return used


def _same_name(name: str, releases: Sequence[SeenRelease]) -> bool:
    return name.rsplit("-", 1)[0] == releases[0].id.rsplit("-", 1)[0]


def _notes(seen: Seen, wish: Wish) -> Iterable[str]:
    left = unplaced(seen, wish)
    if left and not wish.remove:
        names = ", ".join(str(p) for p in left)
        how = f"playbooks/scale.yml -e steelyard_look={wish.host}"
        yield f"not in the inventory, or leaving, and left as they are: {names} ({how} removes them)"
    later = [str(p) for p in restart_needed(seen, wish) if p not in restarts(wish, restart_needed(seen, wish))]
    if later:
        yield f"restart needed for {', '.join(later)} (playbooks/rolling_restart.yml)"


def _fingerprint(seen: Seen, wish: Wish) -> str:
    wanted = [[i.port, i.state, unit_files.config_digest(i)] for i in wish.placed]
    rests = {
        "instances": {str(p): [n.running, n.config] for p, n in sorted(seen.instances.items())},
        "releases": sorted(seen.releases),
    }
    return fingerprint([wanted, wish.remove, wish.restart, list(wish.ports)], rests)
