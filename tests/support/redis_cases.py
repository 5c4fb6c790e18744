"""Redis Clusters of case files: what is wanted, and what their nodes show.

`wanted` has `hosts` by number (`redis1:7000` is 1, `1:7001` another instance of it), each with zone and state in words,
and what else a ClusterSpec has. `seen` has what each shows: `slots`, `of` (whose replica), `out` (in no cluster),
`error` (does not answer; `runs` where the others think that it does), `knows` (all, unless stated), and what else a Node
has. Who is seen and not wanted is a stranger.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, Peer
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance

STATES = ("leaving", "maintenance")
FIELDS = ("keys", "used_memory", "maxmemory", "offset", "version", "server", "slot_keys", "slot_bytes",
          "cluster_enabled", "cluster_state", "link_up", "syncing", "save_failed")  # fmt: skip


def name_of(key: Any) -> str:
    return f"redis{key}" if ":" in str(key) else f"redis{key}:7000"


def id_of(key: Any) -> str:
    return name_of(key).encode().hex().ljust(40, "0")


def place_of(key: Any) -> tuple[str, str, int]:
    host, _, port = name_of(key).partition(":")
    return host, f"10.0.0.{host.removeprefix('redis')}", int(port)


def ranges(text: Any) -> tuple[tuple[int, int], ...]:
    parts = [p.split("-") for p in str(text).split(",")] if text not in (None, "") else []
    return tuple((int(p[0]), int(p[-1])) for p in parts)


def wanted_of(raw: dict[str, Any]) -> ClusterSpec:
    instances = []
    for line in raw.pop("hosts"):
        key, *said = str(line).split()
        state = next((w for w in said if w in STATES), "present")
        zone = next((w for w in said if w not in STATES), "")
        instances.append(Instance("sessions", *place_of(key), zone, state))
    return ClusterSpec("sessions", "cluster", tuple(instances), **raw)


def peer_of(key: Any, raw: dict[str, Any], asked: Any) -> Peer:
    me = key == asked
    failed = "error" in raw and not raw.get("runs")
    marks: dict[str, Any] = {
        m: {int(s): id_of(n) for s, n in raw.get(m, {}).items()} if me else {} for m in ("migrating", "importing")
    }
    _host, address, port = place_of(key)
    return Peer(
        raw.get("id", id_of(key)), address, port, REPLICA if "of" in raw else MASTER,
        id_of(raw["of"]) if "of" in raw else "",
        ("myself",) if me else ("fail",) if failed else tuple(raw.get("flags", ())),
        epoch=raw.get("epoch", 1), slots=ranges(raw.get("slots") if not me else raw.get("claims", raw.get("slots"))),
        **marks,
    )  # fmt: skip


def seen_of(raw: dict[Any, dict[str, Any]], wanted: ClusterSpec) -> list[Node]:
    names = {i.name for i in wanted.instances}
    found = []
    for key, said in raw.items():
        host, address, port = place_of(key)
        if name_of(key) not in names:
            continue
        if "error" in said:
            found.append(Node(name_of(key), host, address, port, error=said["error"]))
            continue
        known = [key] if said.get("out") else said.get("knows", [k for k, s in raw.items() if not s.get("out")])
        view = tuple(peer_of(k, raw[k], key) for k in [*known, *([key] if key not in known else [])])
        fields = {f: said[f] for f in FIELDS if f in said}
        defaults: dict[str, Any] = {
            "version": "8.0.2",
            "role": REPLICA if "of" in said else MASTER,
            "known_nodes": len(view),
        }
        found.append(
            Node(name_of(key), host, address, port, id=said.get("id", id_of(key)), view=view, **{**defaults, **fields})
        )
    return found
