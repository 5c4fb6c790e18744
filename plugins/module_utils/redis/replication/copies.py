# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How good a replica's copy is, and what it takes to attach one. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

LAG_BYTES = 16 * 1024 * 1024
"""Bytes that a replica may be behind. Servers do not answer at the same moment, and what is written meanwhile looks like
a lag: at 100 MB a second and a tenth of a second between two answers that is 10 MB."""
LAG_SECONDS = 10
"""Seconds since which a replica may have told its primary nothing; it does so each second."""


def behind(replica: Server, primary: Server, *, seconds: float = LAG_SECONDS, size: int = LAG_BYTES) -> str:
    """Return why a replica's copy of its primary's data is not a good one; empty when it is."""
    if not replica.answers:
        return f"does not answer: {replica.error}"
    if replica.leads:
        return "is no replica"
    if replica.master != primary.place:
        return f"follows {replica.master}"
    if replica.syncing:
        return "is fetching its primary's data"
    if not replica.link_up:
        return f"has had no link to its primary for {replica.down_seconds} s"
    told = next((f for f in primary.followers if f.place == replica.place), None)
    if told is not None and told.lag > seconds:
        return f"has told its primary nothing for {told.lag} s"
    if primary.answers and primary.offset - replica.offset > size:
        return f"is {format_size(primary.offset - replica.offset)} behind"
    return ""


@dataclass(frozen=True)
class Resync:
    """What attaching one takes: `full`, or the `missing` bytes; `lost` bytes it alone has are gone then."""

    full: bool
    missing: int = 0
    lost: int = 0


def resync(replica: Server, primary: Server) -> Resync:
    """Return whether a server can go on from where it is when it follows the primary.

    It can where its data is the primary's, of now or, up to the point where that took over, of before, and the
    primary's backlog still has what came since. https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
    """
    if not replica.answers or not primary.answers or not replica.replid or primary.backlog_first < 0:
        return Resync(True)
    now, before = replica.replid == primary.replid, replica.replid == primary.replid2
    end = primary.second_offset - 1 if before and not now else primary.offset
    if not now and not before:
        return Resync(True)
    lost = max(0, replica.offset - end)
    possible = not lost and replica.offset + 1 >= primary.backlog_first
    return Resync(not possible, max(0, primary.offset - replica.offset) if possible else 0, lost)
