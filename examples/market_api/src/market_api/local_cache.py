# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The first level: what this process read a moment ago. Pure but for the clock that it is given."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

V = TypeVar("V")


class LocalCache(Generic[V]):
    """The least recently used entry goes when it is full, and every entry after `ttl` seconds."""

    def __init__(self, ttl: float, entries: int, clock: Callable[[], float]) -> None:
        self._ttl, self._limit, self._clock = ttl, entries, clock
        self._known: OrderedDict[str, tuple[float, V]] = OrderedDict()
        self._filling: Counter[str] = Counter()
        self._spoiled: set[str] = set()

    def get(self, key: str) -> V | None:
        """Return what is known of a key."""
        found = self._known.get(key)
        if found is None:
            return None
        if found[0] <= self._clock():
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return found[1]

    def put(self, key: str, value: V) -> None:
        """Know it from now on."""
        if self._ttl > 0:
            self._known[key] = (self._clock() + self._ttl, value)
            self._known.move_to_end(key)
            while len(self._known) > self._limit:
                self._known.popitem(last=False)

    def forget(self, pattern: str) -> None:
        """Forget a key, or all that match a pattern with `*`; a value of it that is being read is not kept either."""
        if "*" not in pattern:
            self._known.pop(pattern, None)
            self._spoiled |= {pattern} & self._filling.keys()
            return
        for key in [key for key in self._known if fnmatchcase(key, pattern)]:
            del self._known[key]
        self._spoiled |= {key for key in self._filling if fnmatchcase(key, pattern)}

    @contextmanager
    def filling(self, key: str) -> Iterator[Callable[[V], None]]:
        """Lend what puts a value that is read meanwhile; it does not, where the key was forgotten since."""

        def put(value: V) -> None:
            if key not in self._spoiled:
                self.put(key, value)

        self._filling[key] += 1
        try:
            yield put
        finally:
            self._filling[key] -= 1
            if not self._filling[key]:
                del self._filling[key]
                self._spoiled.discard(key)
