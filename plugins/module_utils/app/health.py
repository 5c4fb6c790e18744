# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Verdicts over a host's instances, and whether one of them may be stopped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Instance
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, restart_needed, unplaced
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen, SeenInstance
from ansible_collections.steelyard.stack.plugins.module_utils.health import BAD, NOTE, WARNING, Finding, Verdict


def judge(seen: Seen, wish: Wish) -> Verdict:
    """Return the verdict over one host: every placed instance runs, is ready, and is the wanted one."""
    findings: list[Finding] = []
    for instance in wish.placed:
        findings += _instance_findings(instance, seen.instances.get(instance.port))
    findings += [
        Finding(
            WARNING, f"{wish.host} app@{port}.service runs another configuration than the wanted one",
            "the change is not in force yet", "run playbooks/rolling_restart.yml",
        )
        for port in restart_needed(seen, wish)
    ]  # fmt: skip
    findings += [
        Finding(
            NOTE, f"{wish.host} app@{port}.service is not in the inventory, or leaving",
            "it uses memory that nobody counted", f"run playbooks/scale.yml -e steelyard_look={wish.host}",
        )
        for port in unplaced(seen, wish)
    ]  # fmt: skip
    return Verdict.of(findings)


def _instance_findings(instance: Instance, now: SeenInstance | None) -> Iterable[Finding]:
    name = f"{instance.host} {instance.unit} ({instance.class_name})"
    look = f"journalctl -u {instance.unit} on {instance.host}"
    if instance.state == "maintenance":
        yield Finding(NOTE, f"{name} is in maintenance", "it serves nothing and is not counted on")
    elif now is None:
        yield Finding(BAD, f"{name} does not exist", "the host was not converged", "run playbooks/site.yml")
    elif now.active == "crashing":
        yield Finding(BAD, f"{name} ends and is started over and over", "it cannot serve", look)
    elif not now.running:
        yield Finding(BAD, f"{name} is {now.active}", "it does not serve", f"{look}, then run playbooks/site.yml")
    elif not now.ready:
        yield Finding(BAD, f"{name}: {now.saw or 'no answer yet'}", "it should get no requests", look)
    elif not now.enabled:
        yield Finding(WARNING, f"{name} is not enabled", "it stays away after a reboot", "run playbooks/site.yml")


def ok_to_stop(
    instances: Iterable[Instance], seen: Mapping[str, Seen], host: str, port: int | None = None, least: int = 1
) -> Verdict:
    """Return whether an instance, or with no port all of a host, may be stopped: `least` of its class stay ready.

    `instances` are those of the whole fleet, `seen` what was read by host; a host that was not read counts as
    not ready.
    """
    fleet = tuple(instances)
    stopping = {(i.host, i.port) for i in fleet if i.host == host and port in (None, i.port)}
    findings = []
    for name in sorted({i.class_name for i in fleet if (i.host, i.port) in stopping}):
        left = [i for i in fleet if i.class_name == name and (i.host, i.port) not in stopping and _ready(i, seen)]
        if len(left) < least:
            findings.append(
                Finding(
                    BAD, f"{len(left)} other instance(s) of {name} ready", f"at least {least} must stay",
                    "make another instance ready first, or add one",
                )
            )  # fmt: skip
    return Verdict.of(findings)


def _ready(instance: Instance, seen: Mapping[str, Seen]) -> bool:
    host = seen.get(instance.host)
    now = host.instances.get(instance.port) if host else None
    return instance.state == "present" and now is not None and now.running and now.ready
