# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `nft` prints, turned into values. Pure: text in, values out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class SeenTable:
    """Our table as the kernel has it: the comments of the rules in order, the sets, the chain's hook."""

    comments: tuple[str, ...] = ()
    sets: Mapping[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict, hash=False)
    chains: tuple[tuple[str, str, str, int], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the table in JSON types."""
        sets = {name: {"type": kind, "elements": list(elements)} for name, (kind, elements) in self.sets.items()}
        return {"comments": list(self.comments), "sets": sets, "chains": [list(c) for c in self.chains]}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> SeenTable:
        """Read back what `as_dict` wrote."""
        sets = {name: (s["type"], tuple(s["elements"])) for name, s in raw.get("sets", {}).items()}
        chains = tuple((c[0], c[1], c[2], int(c[3])) for c in raw.get("chains", ()))
        return cls(tuple(raw.get("comments", ())), sets, chains)


def table(text: str) -> SeenTable:
    """Return the table in the output of `nft -j list table`; a rule without a comment shows as an empty one."""
    comments, chains = [], []
    sets: dict[str, tuple[str, tuple[str, ...]]] = {}
    for item in json.loads(text)["nftables"]:
        if "rule" in item:
            comments.append(str(item["rule"].get("comment", "")))
        elif "chain" in item:
            chain = item["chain"]
            chains.append((chain["name"], chain.get("hook", ""), chain.get("policy", ""), int(chain.get("prio", 0))))
        elif "set" in item:
            found = item["set"]
            kind = found["type"] if isinstance(found["type"], str) else " . ".join(found["type"])
            sets[found["name"]] = (kind, tuple(_element(e) for e in found.get("elem", ())))
    return SeenTable(tuple(comments), sets, tuple(chains))


def _element(raw: Any) -> str:
    """Return an element; one with a timeout or counter is wrapped, one of several parts is a list."""
    if isinstance(raw, Mapping):
        raw = raw["elem"]["val"] if "elem" in raw else raw.get("concat", raw)
    if isinstance(raw, Mapping) and "concat" in raw:
        raw = raw["concat"]
    return " . ".join(str(part) for part in raw) if isinstance(raw, list) else str(raw)


def is_missing(stderr: str) -> bool:
    """Say whether nft complains that there is no such table."""
    return "No such file or directory" in stderr


def is_forbidden(stderr: str) -> bool:
    """Say whether this host does not let us filter packets, as in a container without the right to."""
    words = ("Operation not permitted", "Permission denied", "Operation not supported", "Protocol not supported")
    return any(word in stderr for word in words)
