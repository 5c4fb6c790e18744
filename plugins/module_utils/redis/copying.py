# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a replica has what its master has. Pure."""

from __future__ import annotations

from typing import Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER


class Copying(Protocol):
    """A server as its copy of data shows it."""

    @property
    def name(self) -> str: ...
    @property
    def answers(self) -> bool: ...
    @property
    def error(self) -> str: ...
    @property
    def role(self) -> str: ...
    @property
    def syncing(self) -> bool: ...
    @property
    def link_up(self) -> bool: ...
    @property
    def offset(self) -> int: ...


def caught_up(replica: Copying, master: Copying, since: int | None) -> str:
    """Return why a replica has not caught up; empty when it has.

    `since` is the master's offset a little while ago, None at the first look: what is asked for is not to be at the
    same point, which a busy master never lets one be, but to be where the master was then.
    """
    if not replica.answers:
        return f"{replica.name} does not answer: {replica.error}"
    if replica.role == MASTER:
        return f"{replica.name} is not a replica yet"
    if replica.syncing or not replica.link_up:
        return f"{replica.name} is fetching the data of {master.name}"
    if since is None or replica.offset < since:
        return f"{replica.name} is {max(0, master.offset - replica.offset)} bytes behind {master.name}"
    return ""
