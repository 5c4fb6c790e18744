# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words that mark slots and give them away. Pure: commands and replies, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Command, ErrorReply


def setslot(slot: int, *words: str) -> Command:
    """Return one CLUSTER SETSLOT."""
    return ("CLUSTER", "SETSLOT", slot, *words)


def taking(slots: Sequence[int], ident: str, at_once: bool) -> list[Command]:
    """Return what the new owner of these slots, which it is importing, is told; `ident` is its own id.

    A node that takes a slot which it marks as importing makes its epoch the newest, and tells all others at once: each
    of them then compares all 16384 slots and writes its file, for every slot that moves. `at_once` has this done for
    the first and the last of them only: those in between lose their mark first. That is one transaction, so that the
    epoch is the newest for all of them, and no slot is ever without both mark and owner.
    """
    owner = [setslot(s, "NODE", ident) for s in slots]
    if not at_once or len(slots) < 3:
        return owner
    between = [word for s, last in zip(slots[1:-1], owner[1:-1], strict=True) for word in (setslot(s, "STABLE"), last)]
    return [("MULTI",), owner[0], *between, owner[-1], ("EXEC",)]


def refusal(replies: Sequence[Any]) -> str:
    """Return the first error among replies, those of a transaction too; empty where there is none."""
    for reply in replies:
        if isinstance(reply, ErrorReply):
            return reply.text
        if isinstance(reply, list):
            found = next((str(one) for one in reply if isinstance(one, Exception)), "")
            if found:
                return found
    return ""
