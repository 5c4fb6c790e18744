# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why nothing may be done with a replicated cluster, and who may lead it. Pure: values in, refusals out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Refusal
from ansible_collections.steelyard.stack.plugins.module_utils.redis.check import FEWEST_SENTINELS
from ansible_collections.steelyard.stack.plugins.module_utils.redis.common_rules import Asked, is_password, judge_access
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.copies import behind
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import (
    SENTINEL,
    SENTINELS,
    Member,
    Picture,
)


def told(wanted: ClusterSpec) -> dict[str, float]:
    """Return what each Sentinel is to be told of its primary, by the names of SENTINEL SET; milliseconds."""
    sentinel = wanted.sentinel
    if sentinel is None:
        return {}
    return {
        "quorum": sentinel.quorum, "down-after-milliseconds": round(sentinel.down_after * 1000),
        "failover-timeout": round(sentinel.failover_timeout * 1000), "parallel-syncs": sentinel.parallel_syncs,
    }  # fmt: skip


def judge_wanted(wanted: ClusterSpec) -> Iterator[Refusal]:
    """Refuse what no cluster can be, whatever there is."""
    if not wanted.staying:
        yield Refusal("the last copy of data is not removed", f"all {len(wanted.instances)} instances leave",
                      "keep one, or take the cluster out of redis_clusters and remove it by hand")  # fmt: skip
    for host, count in Counter(i.host for i in wanted.staying).items():
        if count > 1:
            yield Refusal("a copy is on a host of its own", f"{count} instances on {host}",
                          "state one port; a second set of data is a second cluster")  # fmt: skip
    if wanted.sentinel is None:
        return
    group, staying = wanted.sentinel.group, [s for s in wanted.sentinel.instances if s.stays]
    hosts = {s.host for s in staying}
    rule = f"at least {FEWEST_SENTINELS} hosts have a Sentinel, so that a majority outlives one"
    if len(hosts) < FEWEST_SENTINELS:
        seen = f"{len(staying)} Sentinel(s) on {len(hosts)} host(s)"
        yield Refusal(rule, seen, f"add {FEWEST_SENTINELS - len(hosts)} host(s) to {group}")
    if not 1 <= wanted.sentinel.quorum <= len(staying):
        seen = f"quorum {wanted.sentinel.quorum} of {len(staying)} Sentinels"
        yield Refusal("as many Sentinels as the quorum can be reached", seen,
                      f"state {len(staying) // 2 + 1}, the majority, or add hosts to {group}")  # fmt: skip


def judge_seen(picture: Picture, *, repair: bool = False, upgrading: bool = False) -> list[Refusal]:
    """Refuse what must not be built upon."""
    asked: list[Asked] = [*(m.server for m in picture.members.values()), *(w.view for w in picture.watchers.values())]
    found = list(judge_access(asked, [m.server for m in picture.members.values()], upgrading))
    found += [
        Refusal("every instance runs outside of cluster mode", f"{m.name} has cluster-enabled yes",
                f"run site.yml for {m.server.host}; a server with data is moved by its own runbook")
        for m in picture.members.values() if m.server.cluster_enabled
    ]  # fmt: skip
    found += [*_foreign_watch(picture), *_leadership(picture, repair), *_newcomers(picture), *_strangers(picture)]
    found += [*_silent(picture), *_min_replicas(picture)]
    return found


def _foreign_watch(picture: Picture) -> Iterator[Refusal]:
    for watcher in picture.watchers.values():
        place = watcher.view.leader
        if watcher.view.watches and place not in picture.places:
            yield Refusal(f"what Sentinels call {picture.wanted.name} is this cluster",
                          f"{watcher.name} watches {place}",
                          "look whose that server is; give one of the two clusters another name, or put the server's "
                          "host back into the inventory")  # fmt: skip


def _leadership(picture: Picture, repair: bool) -> Iterator[Refusal]:
    leader, busy = picture.leader, picture.failing_over
    if busy:
        yield Refusal("no failover is under way", f"{', '.join(busy)} replaces the primary",
                      "wait until it has ended, and run again")  # fmt: skip
        return
    if leader.why and leader.by == SENTINELS:
        yield Refusal("a majority of the Sentinels agrees on who leads", leader.why,
                      "bring the missing Sentinels back, or wait until they agree")  # fmt: skip
    elif leader.why:
        yield Refusal("one primary has the data", leader.why,
                      "look which one is right; empty the others, or let them follow it by REPLICAOF")  # fmt: skip
    head = picture.primary
    if head is None or picture.new or is_password(head.server.error):
        return
    if not head.server.answers:
        yield from _dead_primary(picture, head, repair)
    elif not head.server.leads:
        yield Refusal("who leads takes writes", f"{head.name} follows {head.server.master}, and Sentinels say it leads",
                      "wait until they have noticed, and run again")  # fmt: skip


def _dead_primary(picture: Picture, head: Member, repair: bool) -> Iterator[Refusal]:
    seen = f"{head.name}: {head.server.error}"
    if any(w.view.watches for w in picture.watchers.values()):
        sentinel = picture.wanted.sentinel
        wait = f"{sentinel.down_after:g} s" if sentinel else "a moment"
        yield Refusal("the primary answers", seen,
                      f"wait: the Sentinels let a replica take over after {wait}; where they do not, bring "
                      f"{head.name} back")  # fmt: skip
    elif not repair or not heir_of(picture):
        heir = heir_of(picture)
        more = f"; or run with repair: {heir} takes its place" if heir else ""
        yield Refusal("the primary answers", seen, f"bring it back{more}")


def _newcomers(picture: Picture) -> Iterator[Refusal]:
    if picture.primary is None:
        return  # nobody can say who joins whom
    for member in picture.members.values():
        server = member.server
        if not server.answers or member.known or member.name == picture.leader.name:
            continue
        if server.master and server.master not in picture.places:
            yield Refusal("a server that joins follows nobody else's", f"{member.name} follows {server.master}",
                          "look whose it is; only then REPLICAOF NO ONE, or name another instance")  # fmt: skip
        elif server.leads and (server.keys or server.followers) and member.stays:
            seen = f"{member.name} has {server.keys} key(s)"
            seen += f" and {len(server.followers)} replica(s)" if server.followers else ""
            yield Refusal("a server that joins is empty, and the only primary leads", seen,
                          "look whose they are; only then FLUSHALL, or name another instance")  # fmt: skip


def _strangers(picture: Picture) -> Iterator[Refusal]:
    for stranger in picture.strangers:
        if stranger.alive:
            word = "Sentinel" if stranger.kind == SENTINEL else "replica"
            yield Refusal("every live member is in the inventory", f"{word} {stranger.place}",
                          "put its host back with redis_state: leaving and run; delete it after that")  # fmt: skip


def _silent(picture: Picture) -> Iterator[Refusal]:
    """Refuse to work while a member does not answer, but for one in maintenance, or dead and leaving."""
    for member in picture.members.values():
        server = member.server
        quiet = not server.answers and member.known and not is_password(server.error)
        if quiet and member.state == "present" and member.name != picture.leader.name:
            yield Refusal("every member answers", f"{member.name}: {server.error}", _remedy(server.host))
    for watcher in picture.watchers.values():
        quiet = not watcher.view.answers and watcher.known and not is_password(watcher.view.error)
        if quiet and watcher.state == "present":
            yield Refusal("every Sentinel answers", f"{watcher.name}: {watcher.view.error}",
                          _remedy(watcher.view.host))  # fmt: skip


def _remedy(host: str) -> str:
    return f"bring it back; or give {host} redis_state: maintenance, or leaving to replace it"


def _min_replicas(picture: Picture) -> Iterator[Refusal]:
    """Refuse a removal after which the primary would take no write."""
    least = max((m.server.min_replicas for m in picture.members.values() if m.server.answers and m.stays), default=0)
    stays = [m for m in picture.members.values() if m.stays and (m.server.answers or m.state == "present")]
    if least > len(stays) - 1 and stays:
        yield Refusal("a primary keeps the replicas that it waits for",
                      f"min-replicas-to-write {least}, {len(stays) - 1} replica(s) would be left",
                      "lower min_replicas_to_write and run site.yml, or keep more replicas")  # fmt: skip


def heir_of(picture: Picture) -> str:
    """Return who has most of a dead primary's data; empty where nobody follows it."""
    place = picture.leader.place
    found = [m for m in picture.members.values() if m.server.answers and m.server.master == place and m.stays]
    best = max(found, key=lambda m: (m.state == "present", m.server.offset), default=None)
    return best.name if best else ""


def heir_while_it_leads(picture: Picture, leads: str) -> str:
    """Return who leads instead of one that goes: the first that may and has the data, else that will when attached."""
    head = picture.members[leads].server
    able = [m for m in picture.members.values() if m.state == "present" and m.name != leads and m.server.priority]
    able = [m for m in able if m.server.answers or not m.known]
    ready = [m for m in able if not behind(m.server, head)]
    return (ready or able)[0].name if able else ""


def no_heir(leads: str) -> Refusal:
    """Refuse to remove the only one that can lead."""
    return Refusal("the last copy of data is not removed", f"{leads} leads and leaves, and no present replica can lead",
                   "add a replica, take one back from maintenance, or give one a replica-priority above 0")  # fmt: skip


def target_of(picture: Picture, leads: str, stated: str) -> tuple[str, list[Refusal]]:
    """Return who is to lead by the operator's word, an instance or a host; or why it cannot."""
    member = next((m for m in picture.members.values() if stated in (m.name, m.server.host)), None)
    if member is None:
        names = ", ".join(picture.members)
        return "", [Refusal("a switchover is to a member", stated, f"name one of {names}")]
    if member.name == leads:
        return leads, []
    why = ""
    if member.state != "present":
        why = f"{member.name} is {'in maintenance' if member.state == 'maintenance' else 'leaving'}"
    elif not member.server.priority:
        why = f"{member.name} has replica-priority 0: it is never to lead"
    else:
        said = behind(member.server, picture.members[leads].server)
        why = f"{member.name} {said}" if said else ""
    if why:
        remedy = "let it catch up first, or name another one"
        return "", [Refusal("a switchover is to a replica that has the primary's data", why, remedy)]
    return member.name, []


def spread_notes(wanted: ClusterSpec) -> list[str]:
    """Say where a host or, of three zones or more, a zone has half of the Sentinels."""
    staying = [s for s in (wanted.sentinel.instances if wanted.sentinel else ()) if s.stays]
    zones = {s.zone for s in staying}
    places = [("host", Counter(s.host for s in staying))]
    places += [("zone", Counter(s.zone for s in staying))] if len(zones) >= 3 else []
    return [
        f"{kind} {name} has {count} of {len(staying)} Sentinels: when it is lost, the others cannot elect a primary"
        for kind, counts in places for name, count in counts.items() if 2 * count >= len(staying)
    ]  # fmt: skip
