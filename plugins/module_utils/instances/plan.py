# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the plans of all services have in common that run instances of their own on a host. Pure.

A service's instances have a key that names each on its host, a port, and a state of the inventory.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step

K = TypeVar("K", int, str)
K_co = TypeVar("K_co", int, str, covariant=True)


class Placed(Protocol[K_co]):
    """An instance that the inventory wants on a host."""

    @property
    def key(self) -> K_co:
        """What names it on its host."""

    @property
    def port(self) -> int:
        """Where it listens."""

    @property
    def state(self) -> str:
        """What the inventory says of it: present, maintenance or leaving."""


class Found(Protocol):
    """An instance that is on a host."""

    @property
    def running(self) -> bool:
        """Whether systemd holds a process of it, or is about to start one."""


@dataclass(frozen=True, kw_only=True)
class Wish(Generic[K]):
    """What one call is asked for, whatever it runs.

    `remove`: stop and remove what the inventory does not place here, or calls leaving. `restart`: `never`, or `needed`
    for what runs with another configuration than the wanted one, and, with `started_before` (seconds since 1970), what
    started earlier. `ports` bounds restarts; empty means all.
    """

    host: str = ""
    remove: bool = False
    restart: str = "never"
    ports: tuple[int, ...] = ()
    started_before: float = 0

    @property
    def placed(self) -> Sequence[Placed[K]]:
        """What should be on the host: everything that is not leaving."""
        raise NotImplementedError


def step(wish: Wish[K], verb: str, subject: str, detail: str = "", disruption: str = "none") -> Step:
    """Return a step on the wish's host; its id is the same however much is done."""
    return Step(f"{verb.replace(' ', '-')}/{subject}", verb, subject, detail, disruption=disruption, hosts=(wish.host,))


def unplaced(wish: Wish[K], found: Mapping[K, Found]) -> tuple[K, ...]:
    """Return the keys of what is here and should not be: not named, or leaving."""
    return tuple(sorted(set(found) - {one.key for one in wish.placed}))


def starts(wish: Wish[K], found: Mapping[K, Found]) -> tuple[K, ...]:
    """Return the keys to start: placed, not in maintenance, without a process."""
    running = {key for key, now in found.items() if now.running}
    return tuple(one.key for one in wish.placed if one.state != "maintenance" and one.key not in running)


def restarts(wish: Wish[K], needed: Sequence[K]) -> tuple[K, ...]:
    """Return the keys to restart: needed, asked for, not in maintenance."""
    if wish.restart != "needed":
        return ()
    resting = {
        one.key for one in wish.placed if one.state == "maintenance" or (wish.ports and one.port not in wish.ports)
    }
    return tuple(key for key in needed if key not in resting)
