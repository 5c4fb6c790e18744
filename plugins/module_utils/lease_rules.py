# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who may work on a cluster: the rules of the lease, values in and values out. Pure: no Ansible, no clock.

A lease is a record on every member of a cluster; who holds it on a majority may change the cluster. The record
outlives the run that wrote it, so that a run that was killed can be told from one that finished:

- a run that finishes releases; the token stays in the record, so that it only ever rises;
- a run that was killed is taken over, without a question, by the same operator doing the same operation, once its
  control process has ended (proved on the control machine, else its lease and one step have passed);
- everybody else is denied until the lease is unlocked, because the operation may be half done;
- whoever takes over writes the record at once, which fences the old run's module by token at its next step, and is
  granted the lease only when that module's process has ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process

GRANTED = "granted"
DENIED = "denied"
WAIT = "wait"

LONGEST_STEP = 30.0
"""Seconds that one call of a module may last: its budget of 10 s and the atomic step that was under way."""


@dataclass(frozen=True)
class Record(Portable):
    """What a member remembers. `run` is empty when nobody holds the lease; the token is kept then.

    Times are seconds since 1970 by the member's own clock. `holder` is the control process; `remote` is the module's
    process that works, or worked last, under the lease on this member.
    """

    service: str
    cluster: str
    token: int
    run: str = ""
    operator: str = ""
    operation: str = ""
    since: float = 0.0
    expires: float = 0.0
    holder: Process | None = None
    remote: Process | None = None

    @property
    def held(self) -> bool:
        """Return whether a run holds this member's lease (be it past its time)."""
        return bool(self.run)

    def __str__(self) -> str:
        if not self.held:
            return "held by nobody"
        since = datetime.fromtimestamp(self.since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"held by {self.operator}, {self.holder}, {self.operation} since {since}, run {self.run}"


@dataclass(frozen=True)
class Request:
    """Who asks, and for what. `proved_dead` is a holder whose end the control machine has proved."""

    service: str
    cluster: str
    run: str
    operator: str
    operation: str
    holder: Process
    ttl: float
    force: bool = False
    proved_dead: Process | None = None


@dataclass(frozen=True)
class Verdict:
    """`granted`, `denied` or `wait`; why; and the record to write, if one is to be written."""

    outcome: str
    token: int
    why: str
    record: Record | None = None
    retry_after: float = 0.0


def decide(seen: Record | None, request: Request, now: float, remote_alive: bool) -> Verdict:
    """Return whether `request` gets the lease that the member remembers as `seen`.

    `remote_alive` says whether the process `seen.remote` still runs on this member.
    """
    if seen is None or not seen.held:
        return _take(seen, request, now, remote_alive, "nobody held it")
    if seen.run == request.run:
        return _take(seen, request, now, remote_alive, "this run holds it")
    if request.force:
        return _take(seen, request, now, remote_alive, f"taken by force; it was {seen}")
    if (seen.operator, seen.operation) != (request.operator, request.operation):
        return Verdict(DENIED, seen.token, f"{seen}")
    if request.proved_dead is not None and request.proved_dead == seen.holder:
        return _take(seen, request, now, remote_alive, f"goes on after a run that was killed ({seen.run})")
    if seen.holder is not None and _one_place(seen.holder, request.holder):
        return Verdict(DENIED, seen.token, f"{seen}, and that run has not ended")
    free_at = seen.expires + LONGEST_STEP
    if now < free_at:
        return Verdict(WAIT, seen.token, f"{seen}, on a machine that cannot be asked", retry_after=free_at - now)
    return _take(seen, request, now, remote_alive, f"goes on after a run that stopped renewing ({seen.run})")


def release(seen: Record | None, run: str, force: bool, remote_alive: bool) -> Record | None:
    """Return the record to write to let go of the lease; None when there is nothing to let go of.

    A run releases what it holds itself; with `force`, whoever holds it loses it. A module that still works is kept
    in the record: the next holder waits for its end.
    """
    if seen is None or not seen.held or not (force or seen.run == run):
        return None
    return Record(seen.service, seen.cluster, seen.token, remote=seen.remote if remote_alive else None)


def renewed(seen: Record, now: float, ttl: float) -> Record:
    """Return the record with its time prolonged; never shortened."""
    return replace(seen, expires=max(seen.expires, now + ttl))


def why_not_ours(seen: Record | None, run: str, token: int | None, now: float, grace: bool) -> str:
    """Return why `run` may not work under the lease; empty when it may.

    A lease past its time is only good with `grace`: nobody has taken it, so at the start of a call it may be
    prolonged, but a step that outlasted it must not be followed by another.
    """
    if seen is None or not seen.held:
        return "nobody holds it"
    if seen.run != run:
        return str(seen)
    if token is not None and seen.token != token:
        return f"its token is {seen.token}, not {token}: it was lost and taken again"
    if not grace and now > seen.expires:
        return "it has passed its time"
    return ""


def _one_place(holder: Process, asker: Process) -> bool:
    """Return whether the asker could see the holder's end: one host, boot and number space.

    A machine that does not tell its boot (no /proc) can tell a run that ended, but not one that is still there from
    another with the same number: then the lease's time has to pass, as for another machine.
    """
    return bool(holder.boot_id) and (holder.host, holder.boot_id) == (asker.host, asker.boot_id)


def _take(seen: Record | None, request: Request, now: float, remote_alive: bool, why: str) -> Verdict:
    mine = seen is not None and seen.run == request.run
    token = 1 if seen is None else seen.token if mine else seen.token + 1
    since = seen.since if seen is not None and mine else now
    record = Record(
        request.service, request.cluster, token, request.run, request.operator, request.operation,
        since, now + request.ttl, request.holder, seen.remote if seen is not None and remote_alive else None,
    )  # fmt: skip
    if record.remote is not None:
        return Verdict(WAIT, token, f"{why}; waits until {record.remote} has ended", record, retry_after=1.0)
    return Verdict(GRANTED, token, why, record)


def majority(answers: Mapping[str, Mapping[str, Any]], members: Sequence[str], cluster: str) -> list[Problem]:
    """Return why the lease is not held by a majority of `members`, one problem for each one that lacks it; or none.

    `answers` are the results of the module `lease` by member; a member without one did not answer.
    """
    held = [m for m in members if answers.get(m, {}).get("held")]
    if 2 * len(held) > len(members):
        return []
    rule = f"a run holds the lease on a majority of the members ({len(held)} of {len(members)} do)"
    remedy = (
        "wait until that run has ended; if it was killed and its operator does not run it again, unlock the cluster "
        "(playbooks/unlock.yml)"
    )
    lacking = [m for m in members if m not in held]
    seen = [str(answers.get(m, {}).get("why") or "no answer") for m in lacking]
    return [Problem(f"{cluster} on {m}", rule, s, remedy) for m, s in zip(lacking, seen, strict=True)]
