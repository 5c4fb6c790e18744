# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The cheapest flow through a network: exact placement, in one small algorithm. Pure, values in and out.

Primal-dual: shortest paths by reduced costs (Dijkstra with potentials, as costs are never negative), then as many
units as fit along edges whose reduced cost is 0, and again. Ahuja, Magnanti, Orlin, "Network Flows", chapter 9.8.
"""

from __future__ import annotations

import heapq


class Flow:
    """A network that is built edge by edge, then run once; whole numbers throughout, so its answers are exact."""

    def __init__(self) -> None:
        self._out: list[list[int]] = []
        self._to: list[int] = []
        self._room: list[int] = []
        self._cost: list[int] = []

    def node(self) -> int:
        """Add a node."""
        self._out.append([])
        return len(self._out) - 1

    def edge(self, start: int, end: int, room: int, cost: int = 0) -> int:
        """Add an edge that `room` units may take at this cost each, at least 0. Edge e's way back is e + 1."""
        for a, b, r, c in ((start, end, room, cost), (end, start, 0, -cost)):
            self._out[a].append(len(self._to))
            self._to.append(b)
            self._room.append(r)
            self._cost.append(c)
        return len(self._to) - 2

    def used(self, edge: int) -> int:
        """Return how many units took an edge."""
        return self._room[edge + 1]

    def run(self, source: int, sink: int) -> tuple[int, int]:
        """Send as much as fits, at the least cost; return how much, and what it cost."""
        potential = [0] * len(self._out)
        amount = cost = 0
        while True:
            far = self._distances(source, potential)
            if far[sink] is None:
                return amount, cost
            # What is farther than the sink need not be told apart; the ways on which units go stay exact.
            end = far[sink]
            potential = [p + (end if d is None or d > end else d) for p, d in zip(potential, far, strict=True)]  # type: ignore[operator]
            sent = self._send(source, sink, potential)
            amount += sent
            cost += sent * (potential[sink] - potential[source])

    def _distances(self, source: int, potential: list[int]) -> list[int | None]:
        far: list[int | None] = [None] * len(self._out)
        heap = [(0, source)]
        best = {source: 0}
        while heap:
            distance, here = heapq.heappop(heap)
            if far[here] is not None:
                continue
            far[here] = distance
            base = distance + potential[here]
            for edge in self._out[here]:
                to = self._to[edge]
                if self._room[edge] and far[to] is None:
                    there = base + self._cost[edge] - potential[to]
                    if there < best.get(to, there + 1):
                        best[to] = there
                        heapq.heappush(heap, (there, to))
        return far

    def _send(self, source: int, sink: int, potential: list[int]) -> int:
        """Send units way by way along edges of reduced cost 0 until no way is left."""
        sent = 0
        while path := self._way(source, sink, potential):
            units = min(self._room[edge] for edge in path)
            for edge in path:
                self._room[edge] -= units
                self._room[edge ^ 1] += units
            sent += units
        return sent

    def _way(self, source: int, sink: int, potential: list[int]) -> list[int]:
        path: list[int] = []
        seen = {source}
        ways = {source: iter(self._out[source])}
        here = source
        while here != sink:
            for edge in ways[here]:
                to = self._to[edge]
                if self._room[edge] and to not in seen and self._cost[edge] + potential[here] == potential[to]:
                    path.append(edge)
                    seen.add(to)
                    ways[to] = iter(self._out[to])
                    here = to
                    break
            else:
                if not path:
                    return []
                here = self._to[path.pop() ^ 1]
        return path
