# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Raw answers of a node (text) into values. Pure: no Ansible, no I/O.

CLUSTER NODES as Redis 7.0 to 8 and Valkey 8 and 9 write it:
`<id> <address>:<port>@<bus>[,<hostname>[,<name>=<value>...]] <flags> <master> <ping> <pong> <epoch> <link> <slot>...`,
where a slot is `5`, `0-5460`, or, of the asked node alone, an open one: `[93->-<to>]`, `[93-<-<from>]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import (
    MASTER,
    REPLICA,
    SAVES,
    keys_of,
    loading_of,
    number_of,
    pairs,
    reason,
    server_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer, SlotRange

OPEN_SLOT = re.compile(r"\[(\d+)-([<>])-([0-9a-f]+)\]$")
NODE_FIELDS = 8


@dataclass(frozen=True)
class Answers:
    """What one node said: INFO, CLUSTER NODES, CLUSTER INFO, the value of CONFIG GET save, and which of the optional
    commands it knows. A text that was not asked for is empty.
    """

    info: str = ""
    nodes: str = ""
    cluster_info: str = ""
    save: str = ""
    commands: frozenset[str] = field(default_factory=frozenset)


def nodes(text: str) -> tuple[Peer, ...]:
    """Read CLUSTER NODES; raises ValueError with the line that cannot be one."""
    return tuple(_peer(line) for line in text.splitlines() if line.strip())


def _peer(line: str) -> Peer:
    words = line.split()
    if len(words) < NODE_FIELDS or "@" not in words[1]:
        raise ValueError(f"not a line of CLUSTER NODES: {line!r}")
    place, hostname = _place(words[1])
    address, _colon, port = place.rpartition(":")
    flags = tuple(f for f in words[2].split(",") if f not in ("myself", "master", "slave", "noflags"))
    owned, migrating, importing = _slots(words[NODE_FIELDS:])
    return Peer(
        id=words[0], address=address.strip("[]"), port=int(port or 0),
        role=REPLICA if "slave" in words[2].split(",") else MASTER,
        master_id="" if words[3] == "-" else words[3], flags=flags, link=words[7], epoch=int(words[6]),
        slots=owned, migrating=migrating, importing=importing, hostname=hostname,
    )  # fmt: skip


def _place(word: str) -> tuple[str, str]:
    """Return `address:port` and the hostname; what else Redis adds (shard-id=…) is not needed."""
    place, _at, more = word.partition("@")
    extra = more.split(",")[1:]
    hostname = extra[0] if extra and "=" not in extra[0] else ""
    return place, hostname


def _slots(words: Iterable[str]) -> tuple[tuple[SlotRange, ...], dict[int, str], dict[int, str]]:
    owned: list[SlotRange] = []
    marks: dict[str, dict[int, str]] = {">": {}, "<": {}}
    for word in words:
        mark = OPEN_SLOT.match(word)
        if mark:
            marks[mark[2]][int(mark[1])] = mark[3]
        else:
            first, _dash, last = word.partition("-")
            owned.append((int(first), int(last or first)))
    return tuple(owned), marks[">"], marks["<"]


def my_id(text: str) -> str:
    """Return the id of the node that gave this CLUSTER NODES; empty when there is none."""
    lines = (line.split() for line in text.splitlines())
    return next((w[0] for w in lines if len(w) > 2 and "myself" in w[2].split(",")), "")


def node(where: Mapping[str, Any], answers: Answers) -> Node:
    """Make a Node of what one instance answered; `where` has its name, host, address and port."""
    info, cluster = pairs(answers.info), pairs(answers.cluster_info)
    replica = info.get("role") == "slave"
    loading = info.get("loading") == "1"
    server, version = server_of(info)
    return Node(
        **where,
        error=loading_of(info) if loading else "",
        id=my_id(answers.nodes), server=server, version=version, role=REPLICA if replica else MASTER,
        cluster_enabled=info.get("cluster_enabled") == "1",
        cluster_state=cluster.get("cluster_state", ""), current_epoch=number_of(cluster, "cluster_current_epoch"),
        known_nodes=number_of(cluster, "cluster_known_nodes"), view=nodes(answers.nodes), keys=keys_of(info),
        used_memory=number_of(info, "used_memory"), maxmemory=number_of(info, "maxmemory"),
        offset=number_of(info, "slave_repl_offset" if replica else "master_repl_offset"),
        link_up=not replica or info.get("master_link_status") == "up",
        syncing=info.get("master_sync_in_progress") == "1",
        persistence=info.get("aof_enabled") == "1" or bool(answers.save),
        save_failed="err" in (info.get(k) for k in SAVES),
        atomic_migration=bool(answers.commands & {"cluster|migration", "cluster|migrateslots"}),
    )  # fmt: skip


def silent(where: Mapping[str, Any], error: str) -> Node:
    """Make a Node of an instance that did not answer."""
    return Node(**where, error=reason(error) or "no answer")
