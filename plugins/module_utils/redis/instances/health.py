# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The verdict over one host's servers and Sentinels, each by itself. Pure. Of a cluster as a whole `health.py` judges."""

from __future__ import annotations

from collections.abc import Iterable

from ansible_collections.steelyard.stack.plugins.module_utils.health import BAD, NOTE, WARNING, Finding, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import compare, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.plan import (
    file_changes,
    restart_reasons,
    unplaced,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Seen, SeenOne


def judge(seen: Seen, wish: Wish) -> Verdict:
    """Return the verdict: everything placed runs, serves, works with what is wanted and can write its data."""
    findings: list[Finding] = []
    for one in wish.placed:
        findings += _findings(one, seen.ones.get(one.key), wish)
        for why in restart_reasons(seen, wish, one):
            name, run = f"{wish.host} {unit_files.unit_of(one)}", "run playbooks/rolling_restart.yml"
            findings.append(Finding(WARNING, f"{name}: {why}", "the change is not in force yet", run))
    if wish.placed and (file_changes(seen, wish) or not seen.loaded):
        what = "the next start would not be with what is wanted"
        findings.append(
            Finding(WARNING, f"{wish.host}: files differ from the wanted ones", what, "run playbooks/site.yml")
        )
    if wish.placed and not seen.quiet:
        what = f"{wish.host} {wish.package.unit} is not masked"
        findings.append(Finding(WARNING, what, "the package may start a server of its own", "run playbooks/site.yml"))
    for key in unplaced(seen, wish):
        what = f"{wish.host} {key} is not in the inventory, or leaving"
        findings.append(Finding(NOTE, what, "it uses memory that nobody counted", "run playbooks/scale.yml"))
    return Verdict.of(findings)


def _findings(one: One, now: SeenOne | None, wish: Wish) -> Iterable[Finding]:
    unit = unit_files.unit_of(one)
    name, look = f"{wish.host} {unit} ({one.cluster})", f"journalctl -u {unit} on {wish.host}"
    if now is None:
        yield Finding(BAD, f"{name} does not exist", "the host was not converged", "run playbooks/site.yml")
    elif one.state == "maintenance" and not now.running:
        yield Finding(NOTE, f"{name} is in maintenance", "it serves nothing and is not counted on")
    elif now.active == "crashing":
        yield Finding(BAD, f"{name} ends and is started over and over", "it cannot serve", look)
    elif not now.running:
        yield Finding(BAD, f"{name} is {now.active}", "it does not serve", f"{look}, then run playbooks/site.yml")
    elif now.error:
        yield Finding(BAD, f"{name}: {now.error}", "it cannot be asked", look)
    elif now.loading:
        yield Finding(BAD, f"{name} reads its data", "it does not serve yet", "wait until it has")
    else:
        yield from _working(one, now, name)


def _working(one: One, now: SeenOne, name: str) -> Iterable[Finding]:
    again = "run playbooks/site.yml"
    if not now.enabled:
        yield Finding(WARNING, f"{name} is not enabled", "it stays away after a reboot", again)
    if now.save_failed:
        yield Finding(BAD, f"{name} could not write its data", "a restart would lose what is newer", "see its disk")
    for change in compare.settable(one, now):
        yield Finding(BAD, f"{name}: {change.text}", "it works with another setting than the wanted one", again)
    for line in compare.users(one, now).lines:
        yield Finding(BAD, f"{name}: {line}", "somebody may do more, or less, than the inventory says", again)
