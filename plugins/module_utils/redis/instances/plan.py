# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From what a host has to what it should have: files, servers, Sentinels. Values in, a plan out.

Nothing needs to be remembered between runs: each step's outcome is visible in what is read next, so a run that was
killed anywhere is finished by the next one. Nothing here restarts for what can be set live, or writes whose replica a
server is after its creation.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import HEADER, Change, plan_files
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.instances import plan as instances
from ansible_collections.steelyard.stack.plugins.module_utils.instances.plan import restarts, starts, step
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import compare, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Server, Watcher, Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Seen, SeenOne
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import UNIT_DIR
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

SERVICE = "redis"


def file_changes(seen: Seen, wish: Wish) -> tuple[Change, ...]:
    """Return the files to create and to modify; removal goes with the instance that they belong to."""
    wanted = unit_files.host_files(wish.placed_servers, wish.placed_watchers, wish.package)
    return plan_files(seen.files, wanted, stale_files(seen, wish))


def stale_files(seen: Seen, wish: Wish) -> tuple[str, ...]:
    """Return the certificates of placed instances that are no longer wanted; a running server may still use them."""
    found: list[str] = []
    for one in wish.placed:
        now, start = seen.ones.get(one.key), f"{unit_files.config_dir(one)}/tls-"
        used = {*unit_files.tls_paths(one).values()}
        if now is not None and now.running:
            used |= {*(now.live if now.answers else now.started_with).values()}
        found += [path for path in seen.files if path.startswith(start) and path not in used]
    return tuple(sorted(found))


def unplaced(seen: Seen, wish: Wish) -> tuple[str, ...]:
    """Return the keys of what is here and should not be: not named, or leaving."""
    return instances.unplaced(wish, seen.ones)


def restart_reasons(seen: Seen, wish: Wish, one: One) -> tuple[str, ...]:
    """Return why a running one has to be restarted for what is wanted; empty where it need not."""
    now = seen.ones.get(one.key)
    if now is None or not now.running:
        return ()
    reasons = list(compare.restart_only(one, now))
    if now.unit and now.unit != unit_files.unit_digest(one, wish.package):
        reasons.append("unit")
    if seen.server and now.version and now.version != seen.server:
        reasons.append(f"version {now.version} → {seen.server}")
    if wish.started_before and now.started < wish.started_before:
        reasons.append("started before")
    return tuple(reasons)


def restart_needed(seen: Seen, wish: Wish) -> tuple[str, ...]:
    """Return the keys of those that wait for a restart."""
    return tuple(one.key for one in wish.placed if restart_reasons(seen, wish, one))


def make_plan(seen: Seen, wish: Wish) -> Plan:
    """Return the steps for this host in order, or the reasons why nothing is done."""
    refusals = tuple(_refusals(seen, wish))
    steps: list[Step] = []
    if not refusals:
        steps = [*_configure(seen, wish), *_serve(seen, wish), *(_remove(seen, wish) if wish.remove else [])]
    return Plan(
        service=SERVICE,
        cluster=wish.host,
        steps=tuple(steps),
        refusals=refusals,
        notes=tuple(_notes(seen, wish)),
        fingerprint=_fingerprint(seen, wish),
    )


def _refusals(seen: Seen, wish: Wish) -> Iterable[Refusal]:
    if wish.placed and not seen.package:
        yield Refusal("the server is installed", f"no package {wish.package.name}", "run playbooks/site.yml")
    keys = [one.key for one in wish.placed]
    for key in sorted({k for k in keys if keys.count(k) > 1}):
        yield Refusal("a port is used once on a host", key, "give one of the clusters another port")
    for kind in ("server", "sentinel"):
        there = seen.files.get(unit_files.template_path(kind))
        if there is not None and not there.content.startswith(HEADER):
            path = unit_files.template_path(kind)
            yield Refusal("the unit is ours", f"{path} was written by somebody else", "rename that unit, or remove it")
    for one in wish.placed:
        now = seen.ones.get(one.key)
        if now is not None:
            yield from _refusals_of(one, now)


def _refusals_of(one: One, now: SeenOne) -> Iterable[Refusal]:
    unit = unit_files.unit_of(one)
    if now.foreign:
        seen, remedy = f"{unit_files.data_dir(one)} holds something else", "move it away, or choose another port"
        yield Refusal("a new instance starts in an empty directory", seen, remedy)
    if now.refused:
        remedy = (
            f"give the admin_password of {one.cluster} that is in force; restarted, {unit} takes the one of its file"
        )
        yield Refusal("the admin password is the one in force", f"{unit} refuses it", remedy)
    wanted = compare.maxmemory(one) if isinstance(one, Server) and not compare.may_evict(one) else 0
    if wanted and wanted < now.used_memory:
        seen = f"{unit} holds {format_size(now.used_memory)}, maxmemory would be {format_size(wanted)}"
        yield Refusal("maxmemory stays above what is in use", seen, "state a larger maxmemory, or delete data first")


def _configure(seen: Seen, wish: Wish) -> Iterable[Step]:
    if (wish.placed or seen.package) and not seen.quiet:
        yield step(wish, "silence", wish.package.unit, "the package's own instance")
    if wish.hold and seen.package and not seen.held:
        yield step(wish, "hold", wish.package.name, seen.package)
    changes = file_changes(seen, wish)
    if changes:
        yield step(wish, "configure", SERVICE, f"{len(changes)} file(s)")
    if not seen.loaded or any(c.path.startswith(UNIT_DIR) for c in changes):
        yield step(wish, "reload", "systemd", "unit files")


def _serve(seen: Seen, wish: Wish) -> Iterable[Step]:
    """Create and start what is missing, set live what differs, restart what may be."""
    starting, restarting = starts(wish, seen.ones), restarts(wish, restart_needed(seen, wish))
    for one in wish.placed:
        now = seen.ones.get(one.key) or SeenOne(one.key)
        if not now.own:
            yield step(wish, "create", one.key, _creation(one))
        if one.key in starting:
            yield step(wish, "start", one.key, one.title)
        elif not now.enabled and one.state != "maintenance":
            yield step(wish, "enable", one.key, one.title)
    for one in wish.placed:
        now = seen.ones.get(one.key) or SeenOne(one.key)
        if one.key in starting or (now.running and not now.answers and one.key not in restarting):
            yield step(wish, "prove", one.key, "answers and has read its data")
        elif one.key not in restarting and now.running:
            yield from _adjust(wish, one, now)
    for one in wish.placed:
        if one.key in restarting:
            why = ", ".join(restart_reasons(seen, wish, one))
            yield step(wish, "restart", one.key, why, "brief")
            yield step(wish, "prove", one.key, "answers and has read its data")


def _creation(one: One) -> str:
    if isinstance(one, Watcher):
        return f"watches {one.cluster}"
    return f"replica of {one.replicaof}" if one.replicaof else one.mode


def _adjust(wish: Wish, one: One, now: SeenOne) -> Iterable[Step]:
    """Set live what can be: settings, what a Sentinel was told, users; and note what has to be known later."""
    changes = compare.settable(one, now)
    if changes:
        yield step(wish, "set", one.key, ", ".join(c.text for c in changes))
    users = compare.users(one, now)
    if not users.empty:
        yield step(wish, "set users", one.key, "; ".join(users.lines))
    if now.note.admin != one.admin_password:
        yield step(wish, "prove", one.key, "takes the admin password")


def _remove(seen: Seen, wish: Wish) -> Iterable[Step]:
    gone = unplaced(seen, wish)
    for key in gone:
        now = seen.ones[key]
        if now.active not in ("inactive", "failed"):
            yield step(wish, "stop", key, "saves, then ends", "brief")
        kept = "its data is kept" if wish.data == "keep" else "with its data"
        yield step(wish, "remove", key, f"unit, settings, users, {kept}")
    if not wish.placed and (gone or seen.leftovers):
        yield step(wish, "clean", SERVICE, "unit templates, launcher")


def _notes(seen: Seen, wish: Wish) -> Iterable[str]:
    left = unplaced(seen, wish)
    if left and not wish.remove:
        yield f"not in the inventory, or leaving, and left as they are: {', '.join(left)} (playbooks/scale.yml removes them)"
    if seen.package and wish.version and not fnmatchcase(seen.package, wish.version):
        yield f"{wish.package.name} is {seen.package}, wanted is {wish.version} (playbooks/upgrade.yml)"
    done = restarts(wish, restart_needed(seen, wish))
    for one in wish.placed:
        why = restart_reasons(seen, wish, one)
        if why and one.key not in done:
            yield f"restart needed for {unit_files.unit_of(one)}: {', '.join(why)} (playbooks/rolling_restart.yml)"
        now = seen.ones.get(one.key)
        if now is not None and now.answers and now.save_failed:
            yield f"{unit_files.unit_of(one)} could not write its data: see its journal and the disk"


def _fingerprint(seen: Seen, wish: Wish) -> str:
    wanted = [
        [one.key, one.state, unit_files.unit_digest(one, wish.package), unit_files.settings_of(one)]
        for one in wish.placed
    ]
    rests = {key: [now.running, now.own] for key, now in sorted(seen.ones.items())}
    return fingerprint([wanted, wish.remove, wish.data, wish.restart, list(wish.ports)], rests)
