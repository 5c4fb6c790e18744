# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which instance belongs to which shard, and which of a shard's instances leads. Pure, values in and out.

Both are cheapest flows, so both are exact. In order of weight:

1. no two copies of a shard on one host (never broken where it can be kept; what breaks it is told),
2. every shard has its copies, and no shard two less than another has,
3. at most ceil(copies / zones) of them in a zone,
4. the fewest full syncs: who is in a good place stays there,
5. copies beyond the wanted ones are spread.

Then leaders: less than half of them on a host and, with three zones or more, in a zone; spread as evenly as that
goes; the fewest handovers. Any grouping allows an even spread: were each copy to lead equally, a host would lead its
share, and flows through hosts within zones have whole-numbered solutions wherever they have fractional ones.
A sync counts as one wherever it goes: shards are balanced, and sizes that move by themselves must not change a plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.flow import Flow


@dataclass(frozen=True)
class Seat:
    """An instance to place. `shard` is where it is now (empty: nowhere), `leads` whether it is that shard's master.

    `fixed` is one in maintenance: it stays in its shard, is not counted on, and leads only where nobody else can.
    """

    name: str
    host: str
    zone: str = ""
    shard: str = ""
    leads: bool = False
    fixed: bool = False


@dataclass(frozen=True)
class Placement:
    """Members of each shard and its leader, and where the rules could not be kept."""

    members: Mapping[str, tuple[str, ...]]
    leaders: Mapping[str, str]
    together: tuple[tuple[str, str], ...] = ()
    """Shard and host with two copies or more."""
    crowded: tuple[tuple[str, str], ...] = ()
    """Shard and zone with more copies than there should be."""


def place(seats: Sequence[Seat], shards: Sequence[str], fresh: frozenset[str], copies: int) -> Placement:
    """Return the best placement of the seats on these shards, of which the `fresh` ones hold nothing yet."""
    grouping = _Grouping(seats, shards, fresh, copies)
    members = grouping.solve()
    return Placement(
        members=members,
        leaders=choose_leaders(seats, members, fresh),
        together=tuple(key for key, edge in grouping.together.items() if grouping.flow.used(edge)),
        crowded=tuple(key for key, edge in grouping.crowded.items() if grouping.flow.used(edge)),
    )


class _Grouping:
    """Seats → their place now, or the pool of their host → (shard, host) → (shard, zone) → shard."""

    def __init__(self, seats: Sequence[Seat], shards: Sequence[str], fresh: frozenset[str], copies: int) -> None:
        self.seats, self.shards, self.fresh, self.copies = seats, shards, fresh, copies
        self.free = [s for s in seats if not s.fixed]
        self.flow = Flow()
        self.source, self.sink = self.flow.node(), self.flow.node()
        self.together: dict[tuple[str, str], int] = {}
        self.crowded: dict[tuple[str, str], int] = {}
        number = len(seats) + 1
        self.sync = number * 4  # each weight is more than all lighter ones together
        self.crowd = self.sync * number * 2
        self.lack = self.crowd * number * 2
        self.clash = self.lack * number * (copies + 2)
        self._per_host = Counter(s.host for s in seats)
        self._zone_of = {s.host: s.zone for s in seats}
        self._occupied = {(s.shard, s.host) for s in seats if s.fixed}
        self._shard_zone: dict[tuple[str, str], int] = {}
        self._shard_host: dict[tuple[str, str], int] = {}
        self._pools: dict[str, tuple[int, list[tuple[str, int]]]] = {}

    def solve(self) -> dict[str, tuple[str, ...]]:
        for shard in self.shards:
            self._add_shard(shard, sorted({s.zone for s in self.free}))
        at_home: dict[str, int] = {}
        pooled: dict[str, list[str]] = {}
        for seat in self.free:
            node = self.flow.node()
            self.flow.edge(self.source, node, 1)
            cost = 0
            if seat.shard in self.shards:
                at_home[seat.name] = self.flow.edge(node, self._entry(seat.shard, seat.host), 1)
                cost = self.sync + seat.leads
            if not seat.leads or seat.shard in self.fresh:  # a master of data stays: others give way to it
                key = self._pool(seat.host)
                self.flow.edge(node, self._pools[key][0], 1, cost)
                pooled.setdefault(key, []).append(seat.name)
        self.flow.run(self.source, self.sink)
        return self._read(at_home, pooled)

    def _add_shard(self, shard: str, zones: Sequence[str]) -> None:
        flow, node = self.flow, self.flow.node()
        for copy in range(self.copies):
            flow.edge(node, self.sink, 1, copy * self.lack)
        for extra, room in enumerate((1, 1, len(self.free))):
            flow.edge(node, self.sink, room, self.copies * self.lack + extra)
        for zone in zones:
            inner = self._shard_zone[shard, zone] = flow.node()
            flow.edge(inner, node, -(-self.copies // len(zones)))
            self.crowded[shard, zone] = flow.edge(inner, node, len(self.free), self.crowd)

    def _entry(self, shard: str, host: str) -> int:
        """Return the node that counts a shard's copies on a host; where it has one instance, its zone's will do."""
        zone = self._shard_zone[shard, self._zone_of[host]]
        if self._per_host[host] == 1:
            return zone
        if (shard, host) not in self._shard_host:
            node = self._shard_host[shard, host] = self.flow.node()
            self.flow.edge(node, zone, 0 if (shard, host) in self._occupied else 1)
            self.together[shard, host] = self.flow.edge(node, zone, len(self.free), self.clash)
        return self._shard_host[shard, host]

    def _pool(self, host: str) -> str:
        """Return the pool from which a host's instances reach every shard."""
        key = f"zone {self._zone_of[host]}" if self._per_host[host] == 1 else f"host {host}"
        if key not in self._pools:
            node = self.flow.node()
            edges = [(s, self.flow.edge(node, self._entry(s, host), len(self.free))) for s in self.shards]
            self._pools[key] = (node, edges)
        return key

    def _read(self, at_home: Mapping[str, int], pooled: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
        stays = {name for name, edge in at_home.items() if self.flow.used(edge)}
        goes = {s.name: s.shard for s in self.seats if s.fixed or s.name in stays}
        for key, names in pooled.items():
            places = [shard for shard, edge in self._pools[key][1] for _seat in range(self.flow.used(edge))]
            goes |= dict(zip((n for n in names if n not in goes), places, strict=True))
        return {shard: tuple(s.name for s in self.seats if goes.get(s.name) == shard) for shard in self.shards}


def choose_leaders(
    seats: Sequence[Seat], members: Mapping[str, Sequence[str]], fresh: frozenset[str]
) -> dict[str, str]:
    """Return who leads each shard: spread over hosts and zones, with the fewest handovers, first come first."""
    by_name = {s.name: s for s in seats}
    rank = {s.name: n for n, s in enumerate(seats)}
    candidates = {shard: _candidates(shard, [by_name[n] for n in names]) for shard, names in members.items()}
    spread = _Spread([s for found in candidates.values() for s in found], len(members), len(seats))
    edges = {}
    for shard, found in candidates.items():
        node = spread.flow.node()
        spread.flow.edge(spread.source, node, 1)
        for seat in found:
            cost = _change(seat, shard, shard in fresh) * spread.change + rank[seat.name]
            edges[shard, seat.name] = spread.flow.edge(node, spread.hosts[seat.host], 1, cost)
    spread.flow.run(spread.source, spread.sink)
    return {shard: name for (shard, name), edge in edges.items() if spread.flow.used(edge)}


def first_leaders(seats: Sequence[Seat], shards: int) -> list[str]:
    """Return the first seats that are spread over hosts and zones as well as can be, as leaders of new shards."""
    spread = _Spread(seats, shards, len(seats))
    entry = spread.flow.node()
    spread.flow.edge(spread.source, entry, shards)
    edges = {s.name: spread.flow.edge(entry, spread.hosts[s.host], 1, rank) for rank, s in enumerate(seats)}
    spread.flow.run(spread.source, spread.sink)
    return [name for name, edge in edges.items() if spread.flow.used(edge)]


class _Spread:
    """Hosts → zones → sink, with the limits of both; who leads is led into its host by the caller."""

    def __init__(self, candidates: Sequence[Seat], shards: int, seats: int) -> None:
        self.flow = Flow()
        self.source, self.sink = self.flow.node(), self.flow.node()
        self.change = seats**2 + 1  # a handover outweighs all ranks
        places = dict.fromkeys((s.host, s.zone) for s in candidates)
        self.hosts = {host: self.flow.node() for host, _zone in places}
        zones = {zone: self.flow.node() for _host, zone in places}
        weight = self.change * 4 * max(1, shards)
        for node in zones.values():
            _limit(self.flow, (node, self.sink), shards, len(zones), weight, less_than_half=len(zones) >= 3)
        for host, zone in places:
            ends = (self.hosts[host], zones[zone])
            _limit(self.flow, ends, shards, len(self.hosts), weight, less_than_half=True)


def _candidates(shard: str, found: Sequence[Seat]) -> list[Seat]:
    counted = [s for s in found if not s.fixed]
    return counted or [s for s in found if s.shard == shard and s.leads]


def _change(seat: Seat, shard: str, fresh: bool) -> int:
    """Return what it costs that this one leads: nothing changes 0, a handover 1, one to one just synced 2."""
    if seat.shard == shard:
        return 0 if seat.leads else 1
    return 2 if not fresh else 3 if seat.shard else 0


def _limit(
    flow: Flow, ends: tuple[int, int], shards: int, places: int, weight: int, *, less_than_half: bool
) -> None:  # fmt: skip
    """Let as many leaders pass as an even spread gives a place; each further one costs, half of all most."""
    half = -(-shards // 2) - 1 if less_than_half else shards
    even = -(-shards // places)
    flow.edge(*ends, min(even, half))
    for further, room in enumerate((1, 1, shards), 1):
        flow.edge(*ends, min(room, max(0, half - even - further + 1)), weight * further)
    flow.edge(*ends, shards, weight * 4 * shards)
