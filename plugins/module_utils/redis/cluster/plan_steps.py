# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a Redis Cluster's plan, each made in one place. Pure, values in and out.

Every name in `args` that stands for a shard's master (`source`, `target`, `master`) means: whoever leads, when the step
is done, the shard in which that instance is then. `args.start` is what the step rests on, and what the fingerprint
covers: members and slots, never who leads. `plan.py` says what each step does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import Member, Open, Picture
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    mask_of_slots,
    ranges_of,
    slots_of,
    text_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.rates import Rates, count_text

CREATE, FINISH, MEET, REPLICATE, MOVE = "create", "finish_slots", "meet", "replicate", "move_slots"
HANDOVER, PROMOTE, FORGET, ASSIGN = "handover", "promote", "forget", "assign_slots"
_SECONDS = {CREATE: 10.0, MEET: 3.0, HANDOVER: 2.0, PROMOTE: 3.0, FORGET: 2.0, ASSIGN: 2.0}
"""What the gates of a step take about; what moves data is reckoned."""


def load_of(member: Member, slots: int) -> tuple[int, int] | None:
    """Return keys and bytes in some of a master's slots: as measured, else by its averages; None when not known."""
    node = member.node
    if node is None or not node.answers:
        return None
    part = slots.bit_count() / member.slots.bit_count() if member.slots else 0.0
    keys = sum(node.slot_keys.get(s, 0) for s in slots_of(slots)) if node.slot_keys else round(node.keys * part)
    if node.slot_bytes:
        return keys, sum(node.slot_bytes.get(s, 0) for s in slots_of(slots))
    return keys, round(node.used_memory / node.keys * keys) if node.keys else 0


@dataclass(frozen=True)
class Steps:
    """Makes the steps of one cluster; `shards` has the members of each shard by its name, planned ones included."""

    cluster: str
    picture: Picture
    rates: Rates
    shards: Mapping[str, Sequence[str]]

    def _hosts(self, names: Iterable[str]) -> tuple[str, ...]:
        members = self.picture.members
        return tuple(dict.fromkeys(members[n].host for n in names if n in members and members[n].state != "stranger"))

    def _everywhere(self, *more: str) -> tuple[str, ...]:
        return self._hosts([*more, *(m.name for m in self.picture.joined if m.answers)])

    def create(self, masters: Mapping[str, Sequence[Sequence[int]]], replicas: Mapping[str, str]) -> Step:
        zeros = f"{len(masters)} masters, {len(replicas)} replicas"
        args = {"masters": {n: [list(r) for r in ranges] for n, ranges in masters.items()}, "replicas": dict(replicas)}
        return Step(
            id=f"create/{self.cluster}", verb=CREATE, subject=self.cluster, detail=zeros, seconds=_SECONDS[CREATE],
            hosts=self._hosts([*masters, *replicas]), args={**args, "start": {"members": []}},
        )  # fmt: skip

    def promote(self, shard: str, heir: str, dead: str, how: str) -> Step:
        node = self.picture.members[heir].node
        detail = f"{dead} is dead; {how}, offset {node.offset if node else 0}: newer writes are lost"
        return Step(
            id=f"promote/{shard}/{heir}", verb=PROMOTE, subject=f"{heir} in {shard}", detail=detail,
            seconds=_SECONDS[PROMOTE], disruption="brief", hosts=self._everywhere(heir),
            args={"shard": shard, "replica": heir, "dead": dead, "how": how, "start": self._start(shard)},
        )  # fmt: skip

    def assign(self, slots: Mapping[str, int], lost: str) -> Step:
        everything = 0
        for mask in slots.values():
            everything |= mask
        return Step(
            id=f"assign/{text_of(everything)}", verb=ASSIGN, subject=text_of(everything), detail=lost,
            seconds=_SECONDS[ASSIGN], hosts=self._everywhere(),
            args={"masters": {n: _lists(m) for n, m in slots.items()}, "lost": lost,
                  "start": {"slots": _lists(everything)}},
        )  # fmt: skip

    def finish(self, slots: Mapping[int, Open]) -> Step:
        everything = mask_of_slots(slots)
        ends = {str(s): {"source": o.source, "target": o.target, **({"also": list(o.also)} if o.also else {})}
                for s, o in slots.items()}  # fmt: skip
        loads = [(o.source, mask_of_slots([s])) for s, o in slots.items() if o.source != o.target]
        keys, size, seconds = self._sum(loads)
        return Step(
            id=f"finish/{text_of(everything)}", verb=FINISH, subject=text_of(everything),
            detail=f"{_slots_text(len(slots))} half moved{_keys_text(keys)}", bytes=size, seconds=seconds,
            hosts=self._everywhere(), args={"slots": ends, "start": {"open": _lists(everything)}},
        )  # fmt: skip

    def meet(self, name: str, reset: bool) -> Step:
        member = self.picture.members[name]
        detail = "joins empty" if not member.joined else "is not known by all, or does not know all"
        return Step(
            id=f"meet/{name}", verb=MEET, subject=name, detail="leaves its shard first, and is emptied" if reset else
            detail, seconds=_SECONDS[MEET], hosts=self._everywhere(name),
            args={"name": name, "reset": reset, "start": {"joined": False if not reset else self._shard_now(name)}},
        )  # fmt: skip

    def replicate(self, name: str, master: str, shard: str, later: bool) -> Step:
        leader = self.picture.members[master]
        known = load_of(leader, leader.slots)
        keys, size = known if known is not None else (0, None)
        seconds = None if size is None else round(self.rates.seconds(size) + 1.0, 1)
        now = self._shard_now(name)
        return Step(
            id=f"replicate/{name}", verb=REPLICATE, subject=f"{name} of {master}",
            detail=f"full sync{_keys_text(keys)}" if leader.slots else "follows a master without slots", bytes=size,
            seconds=seconds, hosts=self._hosts([name, master]),
            args={"replica": name, "master": master, "shard": shard, "later": later,
                  "start": {"from": now, "to": sorted(self.shards[shard])}},
        )  # fmt: skip

    def move(self, source: tuple[str, str], target: tuple[str, str], slots: int) -> Step:
        """From and to a shard, each with its master's name."""
        keys, size, seconds = self._sum([(source[1], slots)])
        number = slots.bit_count()
        start = {"source": sorted(self.shards[source[0]]), "target": sorted(self.shards[target[0]])}
        return Step(
            id=f"move/{source[0]}-{target[0]}", verb=MOVE, subject=f"{source[0]} → {target[0]}",
            detail=f"{_slots_text(number)}{_keys_text(keys)}", bytes=size, seconds=seconds,
            hosts=self._everywhere(source[1], target[1]),
            args={"source": source[1], "target": target[1], "slots": _lists(slots),
                  "start": {**start, "slots": _lists(slots)}},
        )  # fmt: skip

    def handover(self, shard: str, name: str, old: str, why: str) -> Step:
        return Step(
            id=f"handover/{shard}/{name}", verb=HANDOVER, subject=f"{old} → {name}", detail=why,
            seconds=_SECONDS[HANDOVER], disruption="brief", hosts=self._hosts([name, old]),
            args={"shard": shard, "replica": name, "start": self._start(shard)},
        )  # fmt: skip

    def forget(self, name: str) -> Step:
        member = self.picture.members[name]
        detail = "every node forgets it, and it is reset" if member.answers else "dead; every node forgets it"
        subject = name if member.state != "stranger" else f"{member.host} (node {name[:8]})"
        return Step(
            id=f"forget/{name}", verb=FORGET, subject=subject, detail=detail, seconds=_SECONDS[FORGET],
            hosts=self._everywhere(*([name] if member.answers else [])),
            args={"name": name, "node": member.id, "reset": member.answers, "start": {"joined": True}},
        )  # fmt: skip

    def _start(self, shard: str) -> dict[str, Any]:
        return {"members": sorted(self.shards[shard])}

    def _shard_now(self, name: str) -> list[str]:
        """Return who is in a member's shard now; nobody else where it has none yet."""
        member = self.picture.members[name]
        if not member.leader:
            return []
        return sorted(m.name for m in self.picture.joined if member.leader in (m.leader, m.name))

    def _sum(self, loads: Iterable[tuple[str, int]]) -> tuple[int, int | None, float | None]:
        """Return keys, bytes and seconds of slots that leave these masters."""
        keys = size = number = 0
        for name, slots in loads:
            known = load_of(self.picture.members[name], slots)
            if known is None:
                return 0, None, None
            keys, size, number = keys + known[0], size + known[1], number + slots.bit_count()
        return keys, size, self.rates.seconds(size, keys, number)


def _lists(mask: int) -> list[list[int]]:
    return [list(r) for r in ranges_of(mask)]


def _slots_text(number: int) -> str:
    return "1 slot" if number == 1 else f"{number} slots"


def _keys_text(keys: int) -> str:
    return f", {count_text(keys)} keys" if keys != 1 else ", 1 key"
