# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the nodes of a Redis Cluster answer, as values. Pure: no Ansible, no I/O.

`parse.py` makes these of raw answers, `client.py` asks for them, `plan.py` decides on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER

SLOTS = 16384

SlotRange = tuple[int, int]
"""First and last slot, both included."""


@dataclass(frozen=True)
class Peer:
    """One line of CLUSTER NODES, as the node that was asked sees it.

    `migrating` and `importing` map a slot to the id of the other node; Redis tells them of the asked node alone.
    """

    id: str
    address: str
    port: int
    role: str
    master_id: str = ""
    flags: tuple[str, ...] = ()
    link: str = "connected"
    epoch: int = 0
    slots: tuple[SlotRange, ...] = ()
    migrating: Mapping[int, str] = field(default_factory=dict, hash=False)
    importing: Mapping[int, str] = field(default_factory=dict, hash=False)
    hostname: str = ""

    @property
    def failed(self) -> bool:
        """Whether the majority (`fail`) or only the asked node (`fail?`, pfail) thinks that it is gone."""
        return "fail" in self.flags or "fail?" in self.flags


@dataclass(frozen=True)
class Node:
    """One instance, and what it answered; `error` says why it did not. Sizes are bytes.

    `name` is the inventory's (`redis1:7000`). `view` is its CLUSTER NODES, itself included. `id` is empty when it did
    not answer. `save_failed`: its last snapshot, or the last write to its log,
    was not written. `slot_bytes` and `slot_keys` were measured where the plan is to balance by them.
    """

    name: str
    host: str
    address: str
    port: int
    error: str = ""
    id: str = ""
    server: str = "redis"
    version: str = ""
    role: str = MASTER
    cluster_enabled: bool = True
    cluster_state: str = ""
    current_epoch: int = 0
    known_nodes: int = 0
    view: tuple[Peer, ...] = ()
    keys: int = 0
    used_memory: int = 0
    maxmemory: int = 0
    offset: int = 0
    link_up: bool = True
    syncing: bool = False
    persistence: bool = True
    save_failed: bool = False
    atomic_migration: bool = False
    slot_keys: Mapping[int, int] = field(default_factory=dict, hash=False)
    slot_bytes: Mapping[int, int] = field(default_factory=dict, hash=False)

    @property
    def answers(self) -> bool:
        """Whether it could be asked."""
        return not self.error

    @property
    def myself(self) -> Peer | None:
        """Its own line in its own view."""
        return next((p for p in self.view if p.id == self.id), None)

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON types."""
        raw = {name: getattr(self, name) for name in self.__dataclass_fields__}
        view = [_peer_as_dict(p) for p in self.view]
        counts = {k: {str(s): n for s, n in raw[k].items()} for k in ("slot_keys", "slot_bytes")}
        return {**raw, **counts, "view": view}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Node:
        """Read back what `as_dict` wrote."""
        counts = {k: {int(s): int(n) for s, n in (raw.get(k) or {}).items()} for k in ("slot_keys", "slot_bytes")}
        return cls(**{**raw, **counts, "view": tuple(_peer_from_dict(p) for p in raw.get("view", ()))})


def _peer_as_dict(peer: Peer) -> dict[str, Any]:
    raw = {name: getattr(peer, name) for name in peer.__dataclass_fields__}
    marks = {k: {str(s): i for s, i in raw[k].items()} for k in ("migrating", "importing")}
    return {**raw, **marks, "flags": list(peer.flags), "slots": [list(r) for r in peer.slots]}


def _peer_from_dict(raw: Mapping[str, Any]) -> Peer:
    marks = {k: {int(s): str(i) for s, i in (raw.get(k) or {}).items()} for k in ("migrating", "importing")}
    slots = tuple((int(a), int(b)) for a, b in raw.get("slots", ()))
    return Peer(**{**raw, **marks, "flags": tuple(raw.get("flags", ())), "slots": slots})
