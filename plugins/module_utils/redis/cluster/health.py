# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a Redis Cluster is well, and whether a member or a host of it may be stopped. Pure: no Ansible, no I/O.

Of one host's servers, each by itself, `instances/health.py` judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.health import BAD, NOTE, WARNING, Finding, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import judge as rules
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import (
    STRANGER,
    Member,
    Picture,
    look,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import is_new, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import ALL, text_of
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

LAG = 16 * 1024 * 1024
"""Bytes that a replica may be behind. Nodes do not answer at the same moment, and what is written meanwhile looks like a
lag: at 100 MB a second and a tenth of a second between two answers that is 10 MB."""
FULL = 0.9
"""The part of maxmemory from which on it is worth a word."""
NAMED = 5
"""How many are named where many are meant."""


@dataclass(frozen=True)
class Shard:
    """A master and its replicas; `good` are the living replicas that have its data, but for `lag` bytes."""

    master: Member
    replicas: tuple[Member, ...]
    good: tuple[str, ...]


def judge(wanted: ClusterSpec, nodes: Sequence[Node], *, lag: int = LAG) -> Verdict:
    """Return whether the cluster serves all its keys, would survive the loss of a host, and is what is wanted.

    `lag` is how many bytes a replica may be behind. Raises ValueError for a cluster of another mode.
    """
    picture = look(wanted, nodes)
    if is_new(wanted, picture, nodes):
        silent = [n.name for n in nodes if not n.answers]
        seen = f"{wanted.name}: none of its {len(nodes)} instances is in a cluster"
        seen += f"; no answer from {_some(silent)}" if silent else ""
        return Verdict.of([Finding(BAD, seen, "it serves nothing", "run site.yml, then scale.yml, which creates it")])
    shards = _shards(picture, lag)
    missing = sum(max(0, wanted.replicas - len(s.good)) for s in shards)
    # Their replicas may have gone to another shard meanwhile: what is missing is missing for their sake.
    excused = missing <= sum(m.state == "maintenance" and not m.answers for m in picture.members.values())
    findings = [
        *_serving(wanted, picture),
        *_members(picture),
        *(f for shard in shards for f in _copies(wanted, shard, lag, excused)),
        *_servers(picture),
        *_spread(wanted, picture),
    ]
    return Verdict.of([*findings, *_drift(wanted, nodes, any(f.severity == BAD for f in findings))])


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + rest


def _serving(wanted: ClusterSpec, picture: Picture) -> Iterator[Finding]:
    """Judge the slots, and what the nodes say of them."""
    lost = ALL & ~picture.owned
    if lost:
        yield Finding(BAD, f"{wanted.name}: nobody owns {text_of(lost)}", f"{lost.bit_count()} slots are not served",
                      "bring the node back that had them, or see the plan's refusal for repair")  # fmt: skip
    states = {m.name: m.node.cluster_state for m in picture.joined if m.node and m.answers}
    down = [name for name, state in states.items() if state not in ("", "ok")]
    if down:
        yield Finding(BAD, f"{_some(down)} say(s) that the cluster is {states[down[0]]}", "they refuse their clients",
                      "see the other findings")  # fmt: skip
    if picture.open:
        yield Finding(WARNING, f"{len(picture.open)} open slot(s), {min(picture.open)} the first",
                      "slots are being moved, or a run was killed", "run scale.yml: it finishes them")  # fmt: skip
    if picture.disagree:
        yield Finding(WARNING, f"{_some(picture.disagree)} see(s) other owners of slots", "clients are redirected twice",
                      "wait a moment; then run scale.yml")  # fmt: skip


def _members(picture: Picture) -> Iterator[Finding]:
    """Judge who answers, and who should not be there."""
    for member in picture.members.values():
        if member.answers:
            continue
        why = f"{member.name} does not answer" + (f": {member.node.error}" if member.node and member.node.error else "")
        if member.state == STRANGER:
            if member.failed:
                yield Finding(NOTE, f"{member.host} (node {member.name[:8]}) is dead and in no inventory",
                              "the others still look for it", "run scale.yml: it is forgotten")  # fmt: skip
            else:
                yield Finding(WARNING, f"{member.host} (node {member.name[:8]}) is in no inventory",
                              "nobody counted it", "put it back with redis_state: leaving, and run scale.yml")  # fmt: skip
        elif member.slots:
            yield Finding(BAD, why, f"{text_of(member.slots)} are not served", "bring it back, or let its replica take "
                          "over (scale.yml with repair)")  # fmt: skip
        elif member.state == "maintenance":
            yield Finding(NOTE, why, "it is in maintenance and not counted on")
        elif member.state == "leaving":
            yield Finding(NOTE, why, "it leaves", "run scale.yml")
        else:
            yield Finding(BAD, why, "a copy of data is missing", "bring it back, or give it redis_state: maintenance")
    for one, other in picture.twins:
        yield Finding(BAD, f"{one} and {other} have one node id", "one is a copy of the other", "empty the newer one")
    for name in picture.foreign:
        yield Finding(BAD, f"{name} is in another cluster", "it cannot join", "look whose it is")


def _shards(picture: Picture, lag: int) -> list[Shard]:
    found = []
    for leader, names in picture.shards().items():
        master = picture.members.get(leader)
        if master is None or not master.slots:
            continue
        replicas = tuple(picture.members[n] for n in names if n != leader)
        found.append(Shard(master, replicas, tuple(r.name for r in replicas if not _behind(r, master, lag))))
    return found


def _behind(replica: Member, master: Member, lag: int) -> str:
    """Return why a replica is no copy of its master's data; empty when it is one."""
    node = replica.node
    if node is None or not node.answers:
        return "does not answer"
    if node.syncing or not node.link_up:
        return "is fetching its master's data" if node.syncing else "has no link to its master"
    if master.node is not None and master.answers and master.node.offset - node.offset > lag:
        return f"is {format_size(master.node.offset - node.offset)} behind"
    return ""


def _copies(wanted: ClusterSpec, shard: Shard, lag: int, excused: bool) -> Iterator[Finding]:
    """Judge the copies of one shard: how many, how far, and where. `excused`: as many are in maintenance as missing."""
    master = shard.master
    for replica in shard.replicas:
        why = _behind(replica, master, lag) if replica.answers else ""
        if why:
            yield Finding(WARNING, f"{replica.name} {why} ({master.name})", "it could not take over without loss",
                          f"see the log of {replica.name}")  # fmt: skip
        if replica.host == master.host and wanted.replicas:
            yield Finding(WARNING, f"{replica.name} is on the host of its master {master.name}",
                          "one host's loss takes both", "run scale.yml")  # fmt: skip
    missing = wanted.replicas - len(shard.good)
    if missing > 0:
        bad = not shard.good and not excused and master.state != "leaving"
        means = f"{master.name} has the only copy of its data" if not shard.good else "fewer may be lost than stated"
        yield Finding(BAD if bad else WARNING, f"{len(shard.good)} of {wanted.replicas} replica(s) of {master.name}",
                      means, "bring them back, or run scale.yml")  # fmt: skip


def _servers(picture: Picture) -> Iterator[Finding]:
    """Judge what single servers say of themselves."""
    for member in picture.joined:
        node = member.node
        if node is None or not node.answers:
            continue
        if node.maxmemory and node.used_memory > node.maxmemory * FULL and member.leads:
            yield Finding(WARNING, f"{member.name} uses {format_size(node.used_memory)} of "
                          f"{format_size(node.maxmemory)}", "keys are evicted, or writes refused, soon",
                          "raise maxmemory, or add shards")  # fmt: skip
        if node.save_failed:
            yield Finding(BAD, f"{member.name} could not write its data", "a restart would lose what is newer",
                          f"see the disk of {member.host}")  # fmt: skip


def _spread(wanted: ClusterSpec, picture: Picture) -> Iterator[Finding]:
    leaders = [m.name for m in picture.joined if m.leads and m.slots]
    for kind, place, count in rules.crowded(wanted, leaders):
        yield Finding(WARNING, f"{kind} {place} has {count} of {len(leaders)} masters",
                      "when it is lost, the others cannot elect new ones",
                      f"add another {kind}, or run scale.yml where there are enough")  # fmt: skip


def _drift(wanted: ClusterSpec, nodes: Sequence[Node], known: bool) -> Iterator[Finding]:
    """Judge whether it is what the inventory says; `known`: what is bad was said already."""
    plan = make_plan(wanted, nodes)
    if plan.steps:
        seen = _some([s.id for s in plan.steps])
        yield Finding(NOTE, seen, "scale pending: the cluster is not what the inventory says", "run scale.yml")
    for refusal in plan.refusals if not known else ():
        yield Finding(WARNING, refusal.seen, f"it could not be scaled: {refusal.rule}", refusal.remedy)


def ok_to_stop(wanted: ClusterSpec, nodes: Sequence[Node], member: str, *, lag: int = LAG) -> Verdict:
    """Return whether an instance (`redis1:7000`), or all of a host's (`redis1`), may be stopped together.

    They lead nothing (a handover comes first), every shard keeps its master, and where more than one replica is wanted
    another copy; a majority of masters lives on, and nothing else is under way. `lag` is as in `judge`.
    """
    picture = look(wanted, nodes)
    going = {m.name for m in picture.joined if member in (m.name, m.host)}
    stated = {n for i in wanted.instances for n in (i.name, i.host)}
    if not any(n.answers for n in nodes):
        why = Finding(BAD, f"no node of {wanted.name} answers", "nobody can say what would be left", "see its health")
        return Verdict.of([why])
    if not going:
        unknown = member not in stated and ":" in member
        why = Finding(BAD, f"{member} is no instance of {wanted.name}", "its name may be wrong", "correct it")
        return Verdict.of([why] if unknown else [])
    if not any(picture.members[n].answers for n in going):
        return Verdict.of([Finding(NOTE, f"{_some(sorted(going))} is not running", "nothing more is lost")])
    return Verdict.of([*_under_way(picture, going), *_majority(picture, going), *_left(wanted, picture, going, lag)])


def _under_way(picture: Picture, going: Iterable[str]) -> Iterator[Finding]:
    if picture.open:
        yield Finding(
            BAD, f"{len(picture.open)} open slot(s)", "slots are being moved", "run scale.yml to its end first"
        )
    if picture.disagree:
        yield Finding(BAD, f"{_some(picture.disagree)} see(s) other owners of slots", "the cluster is being changed",
                      "wait until all agree")  # fmt: skip
    if picture.owned != ALL:
        yield Finding(BAD, f"nobody owns {text_of(ALL & ~picture.owned)}", "the cluster is not well already",
                      "repair it first")  # fmt: skip
    down = [m.name for m in picture.joined if m.name not in set(going) and m.node and m.answers
            and m.node.cluster_state not in ("", "ok")]  # fmt: skip
    if down:
        yield Finding(BAD, f"{_some(down)} say(s) that the cluster is not ok", "it is not well already",
                      "see its health first")  # fmt: skip


def _majority(picture: Picture, going: Iterable[str]) -> Iterator[Finding]:
    masters = [m for m in picture.joined if m.leads and m.slots]
    left = [m for m in masters if m.answers and m.name not in set(going)]
    if 2 * len(left) <= len(masters):
        yield Finding(BAD, f"{len(left)} of {len(masters)} masters would be left", "they could elect nobody",
                      "bring others back first, or hand over to other hosts")  # fmt: skip


def _left(wanted: ClusterSpec, picture: Picture, going: Iterable[str], lag: int) -> Iterator[Finding]:
    """Judge what each shard keeps that loses a copy."""
    gone = set(going)
    for shard in _shards(picture, lag):
        master = shard.master
        rest = [n for n in shard.good if n not in gone]
        if master.name in gone:
            yield from _leads(master, rest, shard.replicas, lag)
            continue
        lost = [r.name for r in shard.replicas if r.name in gone]
        if not lost:
            continue
        if not master.answers:
            if not rest:
                yield Finding(BAD, f"{_some(lost)} has the last copy of {master.name}'s data", "it would be gone",
                              f"bring {master.name} back first")  # fmt: skip
        elif not rest and wanted.replicas > 1:
            yield Finding(BAD, f"{_some(lost)} is the only replica of {master.name} that has its data",
                          "its data would be on one machine", "wait until another has caught up")  # fmt: skip


def _leads(master: Member, rest: Sequence[str], replicas: Sequence[Member], lag: int) -> Iterator[Finding]:
    """Say that a master must not be stopped, and whether another can take over."""
    seen = f"{master.name} is the master of {master.slots.bit_count()} slots"
    if rest:
        yield Finding(BAD, seen, "writes would fail until another is elected", f"hand over to {rest[0]} first")
        return
    states: Mapping[str, str] = {r.name: _behind(r, master, lag) for r in replicas}
    why = "; ".join(f"{n} {said or 'would be stopped, too'}" for n, said in states.items())
    yield Finding(BAD, f"{seen}, and nobody else can take over" + (f" ({why})" if why else ""),
                  "it has the last copy", "bring a replica back, or let it catch up, first")  # fmt: skip
