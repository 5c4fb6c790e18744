# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys that two nodes have: whether the two copies are the same.

DUMP tells for most values. The order of a hash or a set in it depends on the process that wrote it, so these are read
and compared as what they are, up to a bound; beyond it they count as different, and a person decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Command, ErrorReply, Link

MOST_MEMBERS = 10_000
READ_WHOLE = {b"hash": ("HLEN", "HGETALL"), b"set": ("SCARD", "SMEMBERS")}
MILLISECONDS = 2
"""How far two expiry times may be apart: MIGRATE carries what is left to live, in whole milliseconds."""


@dataclass(frozen=True)
class Compared:
    """Names of keys: on the target alone or nowhere, on both and the same, on both and different, on the source alone."""

    gone: tuple[bytes, ...] = ()
    same: tuple[bytes, ...] = ()
    different: tuple[bytes, ...] = ()
    only_here: tuple[bytes, ...] = ()


def compare(here: Link, there: Link, names: Sequence[bytes]) -> Compared:
    """Compare the copies of these keys on the source (`here`) and the target; raises NoAnswer.

    Both are asked as by a redirected client, which a node needs that does not own the slot.
    """
    found: dict[str, list[bytes]] = {"gone": [], "same": [], "different": [], "only_here": []}
    for name in names:
        one, two = _dump(here, name), _dump(there, name)
        if one is None:
            found["gone"].append(name)
        elif two is None:
            found["only_here"].append(name)
        elif _expires_alike(here, there, name) and (one == two or _same_members(here, there, name)):
            found["same"].append(name)
        else:
            found["different"].append(name)
    return Compared(**{k: tuple(v) for k, v in found.items()})


def _asking(link: Link, *command: Any) -> Any:
    words: Command = command
    return link.ask_all([("ASKING",), words])[1]


def _dump(link: Link, name: bytes) -> Any:
    reply = _asking(link, "DUMP", name)
    return None if isinstance(reply, ErrorReply) else reply


def _expires_alike(here: Link, there: Link, name: bytes) -> bool:
    one, two = _asking(here, "PEXPIRETIME", name), _asking(there, "PEXPIRETIME", name)
    if isinstance(one, ErrorReply) or isinstance(two, ErrorReply):
        return False
    return bool((one < 0) == (two < 0) and abs(one - two) <= MILLISECONDS)


def _same_members(here: Link, there: Link, name: bytes) -> bool:
    kinds = (_asking(here, "TYPE", name), _asking(there, "TYPE", name))
    if kinds[0] != kinds[1] or kinds[0] not in READ_WHOLE:
        return False
    count, read = READ_WHOLE[kinds[0]]
    sizes = (_asking(here, count, name), _asking(there, count, name))
    if sizes[0] != sizes[1] or not isinstance(sizes[0], int) or sizes[0] > MOST_MEMBERS:
        return False
    members = [_asking(link, read, name) for link in (here, there)]
    if any(isinstance(m, ErrorReply) for m in members):
        return False
    step = 2 if kinds[0] == b"hash" else 1
    one, two = (sorted(tuple(m[i : i + step]) for i in range(0, len(m), step)) for m in members)
    return one == two
