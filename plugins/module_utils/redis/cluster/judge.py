# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a Redis Cluster must not be, or not be made into: refusals, each with its remedy. Pure, values in and out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Refusal
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import STRANGER, Member, Picture
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.placement import Placement
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import ALL, text_of
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.common_rules import is_password, judge_access
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

FEWEST = 3
"""Masters, and hosts: with fewer the majority that elects a new master can be lost with one host."""
HEADROOM = 0.95
"""The part of maxmemory that data may fill after a move: replica buffers and the move itself take the rest."""
STAYS = ("present", "maintenance")


def judge_wanted(wanted: ClusterSpec) -> Iterator[Refusal]:
    """Refuse what no cluster can be, whatever is found."""
    staying, shards, copies = wanted.staying, wanted.wanted_shards, 1 + wanted.replicas
    hosts = Counter(i.host for i in staying)
    places = Counter((i.address, i.port) for i in wanted.instances)
    names = Counter(i.name for i in wanted.instances)
    for (address, port), times in places.items():
        if times > 1:
            yield Refusal("every instance has an address and port of its own", f"{address}:{port} {times} times",
                          "give the instances different ports")  # fmt: skip
    for name, times in names.items():
        if times > 1:
            yield Refusal("every instance is stated once", f"{name} {times} times", "delete the others")
    if shards < FEWEST:
        yield Refusal(f"a cluster has at least {FEWEST} masters",
                      f"{len(staying)} staying instances with {wanted.replicas} replica(s) each make {shards}",
                      "add instances, keep some that leave, or lower replicas")  # fmt: skip
    if len(hosts) < FEWEST:
        yield Refusal(f"a cluster spans at least {FEWEST} hosts", f"{len(hosts)}: {', '.join(hosts) or 'none'}",
                      "add hosts: with fewer, one of them holds half of the masters")  # fmt: skip
    if shards * copies > len(staying):
        yield Refusal("there are instances for every shard and its replicas",
                      f"{shards} shards × {copies} copies, {len(staying)} staying instances",
                      "add instances, or lower shards or replicas")  # fmt: skip
    if copies > len(hosts):
        yield Refusal("the copies of a shard are on different hosts", f"{copies} copies, {len(hosts)} hosts",
                      "add hosts, or lower replicas")  # fmt: skip


def judge_seen(wanted: ClusterSpec, picture: Picture, *, repair: bool, upgrading: bool) -> Iterator[Refusal]:
    """Refuse to work on what was found."""
    members = picture.members.values()
    yield from _servers([m.node for m in members if m.node], upgrading)
    yield from _identities(picture)
    yield from _newcomers(picture)
    yield from _strangers(members)
    yield from _silent(members, repair)
    yield from _lost_for_good(picture) if repair else ()
    if not repair:
        yield from _dead_masters(picture, wanted)
        lost = ALL & ~picture.owned
        if lost and len(picture.joined) > 1:
            yield Refusal("every slot has an owner", f"no node owns {text_of(lost)} ({lost.bit_count()} slots)",
                          "bring the node back that had them; or run with repair, which gives them, empty, to the "
                          "masters that are left, and says what is lost")  # fmt: skip


def _servers(nodes: Sequence[Node], upgrading: bool) -> Iterator[Refusal]:
    yield from judge_access(nodes, nodes, upgrading)
    for node in nodes:
        if node.answers and not node.cluster_enabled:
            yield Refusal("every instance runs in cluster mode", f"{node.name} has cluster-enabled no",
                          f"run site.yml for {node.host}; a server with data is moved by its own runbook")  # fmt: skip


def _identities(picture: Picture) -> Iterator[Refusal]:
    for one, other in picture.twins:
        yield Refusal("every instance has a node id of its own", f"{one} and {other} have the same",
                      "one data directory is a copy of the other: empty the newer one's, and start it again")  # fmt: skip


def _newcomers(picture: Picture) -> Iterator[Refusal]:
    for member in picture.members.values():
        node = member.node
        if node is None or not node.answers or member.state == "leaving":
            continue
        if member.name in picture.foreign:
            yield Refusal("an instance that joins belongs to no cluster", f"{member.name} is in another one",
                          "look whose it is; only then CLUSTER RESET it, or name another instance")  # fmt: skip
        elif not member.joined and node.keys:
            yield Refusal("an instance that joins is empty", f"{member.name} has {node.keys} key(s)",
                          "look whose they are; only then FLUSHALL, or name another instance")  # fmt: skip


def judge_alone(picture: Picture) -> Iterator[Refusal]:
    """Refuse to grow a cluster out of one node with some of the slots: it is none of ours."""
    for member in picture.joined if len(picture.joined) == 1 and picture.owned != ALL else ():
        yield Refusal("an instance that joins belongs to no cluster",
                      f"{member.name} owns {text_of(member.slots)}, and knows nobody",
                      "look whose it is; only then CLUSTER RESET it, or name another instance")  # fmt: skip


def _strangers(members: Iterable[Member]) -> Iterator[Refusal]:
    for member in members:
        if member.state == STRANGER and not member.failed:
            yield Refusal("every live member is in the inventory", f"{member.host} (node {member.name[:8]})",
                          "put it back with redis_state: leaving and run; delete it after that")  # fmt: skip


def _silent(members: Iterable[Member], repair: bool) -> Iterator[Refusal]:
    """Refuse to work while a member does not answer, but for one in maintenance or known to be dead and leaving."""
    for member in members:
        if not member.joined or member.answers or member.state == STRANGER:
            continue
        why = member.node.error if member.node and member.node.error else "it was not asked"
        if is_password(why):
            continue
        if not member.failed and (member.state != "maintenance" or member.slots):
            yield Refusal("every member answers", f"{member.name}: {why}; the others think that it runs",
                          "make it reachable, or wait until the others notice that it is gone")  # fmt: skip
        elif member.failed and member.state == "present" and not repair:
            yield Refusal("every member answers", f"{member.name}: {why}",
                          f"bring it back; or give {member.host} redis_state: maintenance, or leaving to replace "
                          "it")  # fmt: skip


def _dead_masters(picture: Picture, wanted: ClusterSpec) -> Iterator[Refusal]:
    for member in picture.joined:
        if not member.failed or not member.slots:
            continue
        heirs = heirs_of(picture, member.name)
        remedy = f"bring {member.name} back; or run with repair: "
        if heirs:
            remedy += f"{heirs[0].name} takes its place (the cluster does so by itself after {wanted.node_timeout:g} s)"
        else:
            remedy += f"its slots go, empty, to the other masters, and what only {member.name} has is lost"
        yield Refusal("every master with slots lives", f"{member.name} is dead and owns {text_of(member.slots)}",
                      remedy)  # fmt: skip


def _lost_for_good(picture: Picture) -> Iterator[Refusal]:
    """Refuse to give a dead master's slots away while the inventory says that it stays: it has their only copy."""
    for member in picture.joined:
        if member.failed and member.slots and not heirs_of(picture, member.name) and member.state in STAYS:
            yield Refusal("a master whose slots are given up leaves",
                          f"{member.name} is dead, and the only one with data of {text_of(member.slots)}",
                          f"bring it back; or, if it is lost, give {member.host} redis_state: leaving")  # fmt: skip


def heirs_of(picture: Picture, name: str) -> list[Member]:
    """Return the living replicas of a dead master, the one with most of its data first; who leaves comes last."""
    found = [m for m in picture.joined if m.leader == name and m.answers]
    return sorted(found, key=lambda m: (-(m.node.offset if m.node else 0), m.state == "leaving"))


def judge_placement(placement: Placement, names: Mapping[str, str], unplaced: Iterable[str]) -> Iterator[Refusal]:
    """Refuse two copies of a shard on one host, and a shard that nobody can lead."""
    for shard, host in placement.together:
        yield Refusal("the copies of a shard are on different hosts",
                      f"{host} would have two of {names.get(shard, shard)}",
                      f"move an instance of {host} to another host, or state more shards")  # fmt: skip
    for shard in unplaced:
        yield Refusal("every shard has a master", f"no instance is free to lead {names.get(shard, shard)}",
                      "take instances back from maintenance, or add some")  # fmt: skip


def judge_memory(will_use: Mapping[str, int], limits: Mapping[str, int]) -> Iterator[Refusal]:
    """Refuse to move more to a master than it has memory for; both in bytes, by master, limits of 0 are none."""
    for name, used in will_use.items():
        limit = limits.get(name, 0)
        if limit and used > limit * HEADROOM:
            yield Refusal("data fits into the memory of the masters that stay",
                          f"{name} would use {format_size(used)} of {format_size(limit)} (at most {HEADROOM:.0%})",
                          "keep more shards, raise maxmemory, or delete data first")  # fmt: skip


def crowded(wanted: ClusterSpec, leaders: Iterable[str]) -> list[tuple[str, str, int]]:
    """Return the hosts, and of three zones or more the zones, that have half of the masters or more, and how many."""
    where = {i.name: i for i in wanted.instances}
    zones = {i.zone for i in wanted.staying}
    places: list[tuple[str, Callable[[Instance], str]]] = [
        ("host", lambda i: i.host),
        *([("zone", lambda i: i.zone)] if len(zones) >= 3 else []),
    ]
    names = list(leaders)
    found = []
    for kind, of in places:
        counts = Counter(of(where[name]) for name in names if name in where)
        found += [(kind, place_name, count) for place_name, count in counts.items() if 2 * count >= len(names)]
    return found


def spread_notes(wanted: ClusterSpec, leaders: Mapping[str, str]) -> list[str]:
    """Say where half of the masters or more are on one host, or in one of three zones or more."""
    return [
        f"{kind} {place_name} has {count} of {len(leaders)} masters: when it is lost, the others "
        f"cannot elect new ones; another {kind} or another number of shards would help"
        for kind, place_name, count in crowded(wanted, leaders.values())
    ]
