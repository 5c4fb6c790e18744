# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a replicated cluster looks like: its members, who leads, and who is there that should not be. Pure.

Who leads is what a majority of the Sentinels says. Where none watches yet, or none is wanted, the servers tell: the one
primary that holds data or is followed. The inventory's `primary` counts where neither tells: in a cluster that is new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server, State, View

SENTINELS, SERVERS, INVENTORY = "sentinels", "servers", "inventory"
SERVER, SENTINEL = "server", "sentinel"


@dataclass(frozen=True)
class Member:
    """A server of the inventory. `known`: Sentinels or the primary count it among theirs, or it has their data."""

    server: Server
    state: str
    known: bool = False

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.server.name

    @property
    def stays(self) -> bool:
        """Whether it is to be a member when all is done."""
        return self.state != "leaving"


@dataclass(frozen=True)
class Watcher:
    """A Sentinel of the inventory. `known`: another one counts it among its own."""

    view: View
    state: str
    known: bool = False

    @property
    def name(self) -> str:
        """The Sentinel's name."""
        return self.view.name

    @property
    def stays(self) -> bool:
        """Whether it is to watch when all is done."""
        return self.state != "leaving"


@dataclass(frozen=True)
class Stranger:
    """A server or Sentinel that is known to ours and in no inventory; `alive`: somebody reaches it."""

    place: str
    kind: str
    alive: bool


@dataclass(frozen=True)
class Leader:
    """Who leads: a member's `name`, or a `place` of nobody's; `by` whom that is said. Else `why` nobody does."""

    name: str = ""
    place: str = ""
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class Picture:
    """Members and Sentinels by name, in inventory order, and what follows from what they say."""

    wanted: ClusterSpec
    members: Mapping[str, Member]
    watchers: Mapping[str, Watcher]
    leader: Leader
    strangers: tuple[Stranger, ...] = ()
    places: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def primary(self) -> Member | None:
        """The member that leads."""
        return self.members.get(self.leader.name)

    @property
    def new(self) -> bool:
        """Whether no cluster is there yet."""
        return self.leader.by == INVENTORY

    @property
    def failing_over(self) -> tuple[str, ...]:
        """The Sentinels, and servers, that are changing who leads at this moment."""
        found = [w.name for w in self.watchers.values() if w.view.watches and w.view.failing_over]
        busy = [m.name for m in self.members.values() if m.server.leads and m.server.failover != "no-failover"]
        return (*found, *busy)

    def watching(self) -> tuple[Watcher, ...]:
        """The Sentinels that stay, answer and watch."""
        return tuple(w for w in self.watchers.values() if w.stays and w.view.watches)


def look(wanted: ClusterSpec, state: State) -> Picture:
    """Return the picture that these answers make."""
    servers = {s.name: s for s in state.servers}
    states = {i.name: i.state for i in wanted.instances}
    watching = wanted.sentinel.instances if wanted.sentinel else ()
    views = {v.name: v for v in state.views}
    places = {servers[i.name].place: i.name for i in wanted.instances if i.name in servers}
    told = {s.name: s.state for s in watching}
    leader = _leader(wanted, [servers[n] for n in states if n in servers], list(views.values()), places)
    known = _known(leader, servers, views.values(), places)
    posts = {views[n].place for n in told if n in views}
    watched = {o.place for v in views.values() for o in v.others}
    return Picture(
        wanted,
        {n: Member(servers[n], s, n in known) for n, s in states.items() if n in servers},
        {n: Watcher(views[n], s, views[n].place in watched) for n, s in told.items() if n in views},
        leader,
        tuple(_strangers(leader, servers, list(views.values()), places, posts)),
        places,
    )


def _leader(
    wanted: ClusterSpec, servers: Sequence[Server], views: Sequence[View], places: Mapping[str, str]
) -> Leader:  # fmt: skip
    if any(v.watches for v in views):
        return _by_sentinels(views, places)
    return _by_servers(wanted, servers, places)


def _by_sentinels(views: Iterable[View], places: Mapping[str, str]) -> Leader:
    watching = [v for v in views if v.watches]
    voters = {v.place for v in watching} | {o.place for v in watching for o in v.others}
    votes = Counter(v.leader for v in watching)
    place, count = votes.most_common(1)[0]
    if 2 * count <= len(voters):
        said = ", ".join(f"{n} for {p}" for p, n in sorted(votes.items()))
        return Leader(by=SENTINELS, why=f"of {len(voters)} Sentinels {said}")
    return Leader(places.get(place, ""), place, SENTINELS)


def _by_servers(wanted: ClusterSpec, servers: Sequence[Server], places: Mapping[str, str]) -> Leader:
    answering = [s for s in servers if s.answers]
    followed = {s.master for s in answering if s.master in places}
    holders = [s for s in answering if s.leads and (s.keys or s.place in followed or s.followers)]
    if len(holders) == 1:
        return Leader(holders[0].name, holders[0].place, SERVERS)
    if holders:
        said = ", ".join(f"{s.name} with {s.keys} key(s) and {len(s.followers)} replica(s)" for s in holders)
        return Leader(by=SERVERS, why=said)
    if followed:
        leads = sorted(followed)
        if len(leads) == 1:
            return Leader(places[leads[0]], leads[0], SERVERS)
        return Leader(by=SERVERS, why=f"replicas follow {', '.join(places[p] for p in leads)}")
    name = first_primary(wanted)
    return Leader(name, next((p for p, n in places.items() if n == name), ""), INVENTORY)


def first_primary(wanted: ClusterSpec) -> str:
    """Return who leads a new cluster: the inventory's primary, else the first that is present."""
    present = [i for i in wanted.instances if i.state == "present"]
    stated = next((i.name for i in present if i.host == wanted.primary), "")
    return stated or (present[0].name if present else "")


def _known(
    leader: Leader, servers: Mapping[str, Server], views: Iterable[View], places: Mapping[str, str]
) -> frozenset[str]:  # fmt: skip
    """Return the names of the servers that belong to the cluster already."""
    head = servers.get(leader.name)
    found = {r.place for v in views for r in v.replicas} | {v.leader for v in views}
    if head is not None and leader.by != INVENTORY:
        found |= {f.place for f in head.followers} | {head.place}
        found |= {s.place for s in servers.values() if s.answers and _is_kin(s, head)}
    return frozenset(name for place, name in places.items() if place in found)


def _is_kin(one: Server, head: Server) -> bool:
    """Whether a server has the leader's data, of now or of before it took over."""
    return bool(one.replid) and one.replid in (head.replid, head.replid2)


def _strangers(
    leader: Leader, servers: Mapping[str, Server], views: Sequence[View], places: Mapping[str, str],
    posts: Iterable[str],
) -> Iterable[Stranger]:  # fmt: skip
    """Return who is known and in no inventory: replicas of the primary, of Sentinels' lists, and Sentinels."""
    head = servers.get(leader.name)
    alive = {f.place: f.state == "online" for f in (head.followers if head else ())}
    for one in (r for v in views if v.leader == leader.place for r in v.replicas):
        alive[one.place] = alive.get(one.place, False) or one.alive
    yield from (Stranger(p, SERVER, a) for p, a in sorted(alive.items()) if p not in places)
    ours, others = set(posts), {o.place: False for v in views for o in v.others}
    for one in (o for v in views for o in v.others):
        others[one.place] = others[one.place] or one.alive
    yield from (Stranger(p, SENTINEL, a) for p, a in sorted(others.items()) if p not in ours)
