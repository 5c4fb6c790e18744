# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a replicated cluster is well, and whether a member or a host of it may be stopped. Pure: no Ansible, no I/O."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.steelyard.stack.plugins.module_utils.health import BAD, NOTE, WARNING, Finding, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.copies import LAG_SECONDS, behind
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import (
    Member,
    Picture,
    Watcher,
    look,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.watchers import incomplete
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

FULL = 0.9
"""The part of maxmemory from which on it is worth a word."""


def judge(wanted: ClusterSpec, state: State, *, lag: float = LAG_SECONDS) -> Verdict:
    """Return whether the cluster takes writes, would survive the loss of a host, and is what is wanted.

    `lag` is since how many seconds a replica may have told its primary nothing. Raises ValueError for a cluster of
    another mode.
    """
    picture = look(wanted, state)
    if picture.new:
        silent = [s.name for s in state.servers if not s.answers]
        seen = f"{wanted.name}: none of its {len(state.servers)} servers follows another"
        seen += f"; no answer from {', '.join(silent)}" if silent else ""
        remedy = "run site.yml, then scale.yml, which creates it"
        return Verdict.of([Finding(BAD, seen, "nothing is replicated", remedy)])
    findings = [
        *_leading(picture),
        *_members(picture, lag),
        *_copies(picture, lag),
        *_watching(picture),
        *_servers(picture),
    ]
    return Verdict.of([*findings, *_drift(wanted, state, any(f.severity == BAD for f in findings))])


def _leading(picture: Picture) -> Iterator[Finding]:
    """Judge who leads, and whether somebody else does, too."""
    head, leader = picture.primary, picture.leader
    if picture.failing_over:
        yield Finding(WARNING, f"{', '.join(picture.failing_over)} replaces the primary", "writes fail for a moment",
                      "wait until it has ended")  # fmt: skip
    if leader.why:
        yield Finding(BAD, leader.why, "nobody can say who leads", "see the plan's refusal")
    elif head is None:
        yield Finding(BAD, f"Sentinels watch {leader.place}", "it is in no inventory", "see the plan's refusal")
    elif not head.server.answers:
        yield Finding(BAD, f"{head.name} leads and does not answer: {head.server.error}", "no write is taken",
                      "bring it back, or wait for the Sentinels")  # fmt: skip
    elif not head.server.leads:
        yield Finding(BAD, f"{head.name} is to lead and follows {head.server.master}", "no write is taken",
                      "wait until the Sentinels have noticed")  # fmt: skip
    for member in picture.members.values():
        if member.server.leads and member.known and head is not None and member.name != head.name:
            yield Finding(BAD, f"{member.name} takes itself for a primary, too", "what clients write there is lost",
                          f"wait 15 s for the Sentinels, or run scale.yml; see the log of {member.name}")  # fmt: skip


def _members(picture: Picture, lag: float) -> Iterator[Finding]:
    """Judge who answers, who follows, and who should not be there."""
    head = picture.primary
    for member in picture.members.values():
        server = member.server
        if head is not None and member.name == head.name:
            continue
        if not server.answers:
            yield _silent(f"{member.name} does not answer: {server.error}", member.state, "a copy of data is missing")
        elif head is not None and head.server.leads and member.known and member.stays and not server.leads:
            why = behind(server, head.server, seconds=lag)
            if why:
                yield Finding(WARNING, f"{member.name} {why}", "it could not take over without loss",
                              f"see the log of {member.name}; a server that follows another one: scale.yml")  # fmt: skip
    for stranger in picture.strangers:
        seen, remedy = f"{stranger.kind} {stranger.place} is in no inventory", "put it back with redis_state: leaving"
        if stranger.alive:
            yield Finding(WARNING, seen, "nobody counted it", f"{remedy}, and run scale.yml")
        else:
            yield Finding(NOTE, f"{seen}, and dead", "the Sentinels still look for it", "run scale.yml")


def _silent(seen: str, state: str, means: str) -> Finding:
    if state == "maintenance":
        return Finding(NOTE, seen, "it is in maintenance and not counted on")
    if state == "leaving":
        return Finding(NOTE, seen, "it leaves", "run scale.yml")
    return Finding(BAD, seen, means, "bring it back, or give its host redis_state: maintenance")


def good_copies(picture: Picture, lag: float = LAG_SECONDS) -> list[Member]:
    """Return the replicas that have the primary's data."""
    head = picture.primary
    if head is None:
        return []
    others = [m for m in picture.members.values() if m.name != head.name]
    return [m for m in others if not behind(m.server, head.server, seconds=lag)]


def _copies(picture: Picture, lag: float) -> Iterator[Finding]:
    """Judge how many good copies there are, and whether the primary takes writes with them."""
    head = picture.primary
    if head is None or not head.server.leads:
        return
    good, resting = good_copies(picture, lag), [m for m in picture.members.values() if m.state == "maintenance"]
    expected = [m for m in picture.members.values() if m.state == "present" and m.name != head.name]
    if not good and expected:
        yield Finding(BAD, f"{head.name} has the only copy of the data", "when it is lost, all is", "see the others")
    elif not good and resting:
        yield Finding(WARNING, f"{head.name} has the only copy of the data", "others are in maintenance",
                      "take them back soon")  # fmt: skip
    if head.server.min_replicas > len(good):
        yield Finding(BAD, f"{head.name} waits for {head.server.min_replicas} replica(s) and has {len(good)}",
                      "it takes no write", "bring replicas back, or lower min_replicas_to_write")  # fmt: skip


def _watching(picture: Picture) -> Iterator[Finding]:
    """Judge the Sentinels: how many watch, and whether they could replace the primary."""
    if not picture.watchers:
        return
    for watcher in picture.watchers.values():
        view = watcher.view
        if not view.answers:
            yield _silent(f"Sentinel {watcher.name} does not answer: {view.error}", watcher.state,
                          "fewer may be lost than stated")  # fmt: skip
        elif not watcher.stays:
            continue
        elif view.reachable:
            yield Finding(BAD, f"Sentinel {watcher.name}: {view.reachable}", "it could not replace the primary",
                          "bring the others back, or see their logs")  # fmt: skip
        elif not picture.failing_over and (lacks := incomplete(watcher, picture)):
            yield Finding(WARNING, lacks, "it may decide wrongly", "wait a moment; then run scale.yml")
    watching, voters = picture.watching(), _voters(picture)
    if 2 * len(watching) <= voters:
        yield Finding(BAD, f"{len(watching)} of {voters} Sentinels watch", "they could not replace the primary",
                      "bring the others back")  # fmt: skip


def _voters(picture: Picture) -> int:
    """Return how many Sentinels there are by the word of those that answer, the inventory's at least."""
    known = {o.place for w in picture.watching() for o in w.view.others}
    return len(known | {w.view.place for w in picture.watchers.values() if w.stays})


def _servers(picture: Picture) -> Iterator[Finding]:
    """Judge what single servers say of themselves."""
    for member in picture.members.values():
        server = member.server
        if server.maxmemory and server.used_memory > server.maxmemory * FULL and member.name == picture.leader.name:
            yield Finding(WARNING, f"{member.name} uses {format_size(server.used_memory)} of "
                          f"{format_size(server.maxmemory)}", "keys are evicted, or writes refused, soon",
                          "raise maxmemory")  # fmt: skip
        if server.save_failed:
            yield Finding(BAD, f"{member.name} could not write its data", "a restart would lose what is newer",
                          f"see the disk of {server.host}")  # fmt: skip


def _drift(wanted: ClusterSpec, state: State, known: bool) -> Iterator[Finding]:
    """Judge whether it is what the inventory says; `known`: what is bad was said already."""
    plan = make_plan(wanted, state)
    if plan.steps:
        seen = ", ".join(s.id for s in plan.steps)
        yield Finding(NOTE, seen, "scale pending: the cluster is not what the inventory says", "run scale.yml")
    for refusal in plan.refusals if not known else ():
        yield Finding(WARNING, refusal.seen, f"it could not be scaled: {refusal.rule}", refusal.remedy)


def ok_to_stop(wanted: ClusterSpec, state: State, member: str, *, lag: float = LAG_SECONDS) -> Verdict:
    """Return whether a server or Sentinel (`redis1:6379`), or all of a host's (`redis1`), may be stopped together.

    They do not lead (a switchover comes first); where more than one replica is wanted another good copy is left, and
    as many as the primary waits for; a majority of the Sentinels, and the quorum, live on; nothing is under way.
    """
    picture = look(wanted, state)
    servers = [m for m in picture.members.values() if member in (m.name, m.server.host)]
    views = [w for w in picture.watchers.values() if member in (w.name, w.view.host)]
    if not servers and not views:
        why = Finding(BAD, f"{member} is no member of {wanted.name}", "its name may be wrong", "correct it")
        return Verdict.of([why] if ":" in member else [])
    if not any(s.answers for s in state.servers):
        why = Finding(BAD, f"no server of {wanted.name} answers", "nobody can say what would be left", "see its health")
        return Verdict.of([why])
    if not any(m.server.answers for m in servers) and not any(w.view.answers for w in views):
        return Verdict.of([Finding(NOTE, f"{member} is not running", "nothing more is lost")])
    going = {m.name for m in servers}
    return Verdict.of([*_under_way(picture), *_left(picture, going, lag), *_majority(picture, views)])


def _under_way(picture: Picture) -> Iterator[Finding]:
    if picture.failing_over:
        yield Finding(BAD, f"{', '.join(picture.failing_over)} replaces the primary", "it is being changed",
                      "wait until it has ended")  # fmt: skip
    elif picture.leader.why or picture.primary is None:
        yield Finding(BAD, picture.leader.why or f"Sentinels watch {picture.leader.place}", "nobody can say who leads",
                      "see its health first")  # fmt: skip
    others = [m.name for m in picture.members.values() if m.server.leads and m.known and picture.primary is not None
              and m.name != picture.leader.name]  # fmt: skip
    if others:
        yield Finding(BAD, f"{others[0]} takes itself for a primary, too", "it is not well already", "see its health")


def _left(picture: Picture, going: set[str], lag: float) -> Iterator[Finding]:
    """Judge which copies are left."""
    head = picture.primary
    if head is None or not going:
        return
    good = [m.name for m in good_copies(picture, lag)]
    rest = [n for n in good if n not in going]
    if head.name in going:
        if rest:
            yield Finding(BAD, f"{head.name} leads", "writes fail until another does",
                          f"switch over to {rest[0]} first")  # fmt: skip
        else:
            yield Finding(BAD, f"{head.name} leads, and no other has its data", "it has the last copy",
                          "let a replica catch up first")  # fmt: skip
        return
    running = [n for n in going if picture.members[n].server.answers and picture.members[n].known]
    if not running:
        return
    if not head.server.answers:
        yield Finding(BAD, f"{head.name} leads and does not answer", "one of these may have to take over",
                      "bring it back first")  # fmt: skip
    wanted = len([m for m in picture.members.values() if m.stays]) - 1
    if not rest and wanted > 1:
        yield Finding(BAD, f"{running[0]} is the only replica that has the data of {head.name}",
                      "it would be on one machine", "wait until another has caught up")  # fmt: skip
    if head.server.min_replicas > len(rest):
        yield Finding(BAD, f"{head.name} waits for {head.server.min_replicas} replica(s), {len(rest)} would be left",
                      "it would take no write", "bring others back, or lower min_replicas_to_write")  # fmt: skip


def _majority(picture: Picture, going: list[Watcher]) -> Iterator[Finding]:
    """Judge whether the Sentinels that are left could replace the primary."""
    gone = {w.name for w in going}
    if not any(w.view.watches for w in going):
        return
    left, voters = [w for w in picture.watching() if w.name not in gone], _voters(picture)
    bad = [w for w in left if w.view.reachable]
    if bad:
        yield Finding(BAD, f"Sentinel {bad[0].name}: {bad[0].view.reachable}", "they are not well already",
                      "see their health first")  # fmt: skip
    quorum = max((w.view.quorum for w in left), default=0)
    if 2 * len(left) <= voters:
        yield Finding(BAD, f"{len(left)} of {voters} Sentinels would be left", "they could not replace the primary",
                      "bring others back first")  # fmt: skip
    elif len(left) < quorum:
        yield Finding(BAD, f"{len(left)} Sentinels would be left, the quorum is {quorum}",
                      "they would not take a dead primary for dead", "bring others back first")  # fmt: skip
