# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What remains of a saved plan of a Redis Cluster. Pure, values in and out.

A saved plan goes on when the inventory wants what it wanted then, and what its steps touch is as they found it, as they
leave it, or on the way: each slot is with a shard that it goes through, each replica in the shard that it came from or
goes to. Who leads a shard does not matter. Slots that a killed move left open are finished first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import judge, plan_steps
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import Member, Picture, look
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import is_new, plan_fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan_steps import Steps
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    mask_of,
    mask_of_slots,
    ranges_of,
    text_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.rates import Rates

_AGAIN = "make a new plan, look at it, and run that"


def resume(saved: Plan, wanted: ClusterSpec, seen: Sequence[Node], *, upgrading: bool = False) -> Plan:
    """Return what remains of a saved plan, or raise StateMoved when it no longer fits. Refusals are those of now."""
    if saved.fingerprint != plan_fingerprint(wanted, saved.steps):
        rule = "the inventory and this version are those that the plan was made from"
        raise StateMoved(rule, f"plan {saved.fingerprint}", _AGAIN)
    picture = look(wanted, seen)
    new = is_new(wanted, picture, seen)
    created = any(s.verb == plan_steps.CREATE for s in saved.steps)
    if new and not created:
        raise StateMoved("the cluster is there", "no cluster", _AGAIN)
    repair = any(s.verb in (plan_steps.PROMOTE, plan_steps.ASSIGN) for s in saved.steps)
    refusals = judge.judge_seen(wanted, replace(picture, foreign=()) if new else picture, repair=repair or new,
                                upgrading=upgrading)  # fmt: skip
    rest = _Rest(saved.steps, picture)
    return replace(saved, steps=rest.steps(wanted.name), refusals=tuple(refusals))


class _Rest:
    """Decides for each step of a plan what is left of it."""

    def __init__(self, steps: Sequence[Step], picture: Picture) -> None:
        self._saved = steps
        self._picture = picture
        self._members = picture.members
        self._masters = [m for m in picture.joined if m.slots]
        self._open = mask_of_slots(picture.open)

    def steps(self, cluster: str) -> tuple[Step, ...]:
        touched = 0
        for step in self._saved:
            if step.verb in (plan_steps.MOVE, plan_steps.FINISH):
                touched |= _mask(step.args["start"].get("slots") or step.args["start"]["open"])
        if self._open & ~touched:
            raise StateMoved("nobody else moves slots", f"{text_of(self._open & ~touched)} open", _AGAIN)
        left = [rest for s in self._saved if (rest := self._left(s)) is not None and s.verb != plan_steps.FINISH]
        self._follow_last(left)
        if self._picture.open:
            finish = Steps(cluster, self._picture, Rates(), {}).finish(self._picture.open)
            after = (plan_steps.PROMOTE, plan_steps.ASSIGN)
            place = next((n for n, s in enumerate(left) if s.verb not in after and not self._is_dead(s)), len(left))
            left.insert(place, finish)
        return tuple(left)

    def _follow_last(self, left: list[Step]) -> None:
        """Order who changes masters: an election may have changed who is followed, and those come last."""
        places = [n for n, s in enumerate(left) if s.verb == plan_steps.REPLICATE and s.args["later"]]
        followed = {m.leader for m in self._picture.joined}
        order = sorted((left[n] for n in places), key=lambda s: s.args["replica"] in followed)
        for n, step in zip(places, order, strict=True):
            left[n] = step
        for step in left[max(places, default=len(left)) :]:
            leader = self._member(step.args.get("name", "")).leader
            if step.verb == plan_steps.FORGET and any(s.args["replica"] == leader for s in order):
                raise StateMoved(f"{leader} is followed by nobody who leaves", f"{step.args['name']} does", _AGAIN)

    def _is_dead(self, step: Step) -> bool:
        return step.verb == plan_steps.FORGET and not step.args["reset"]

    def _left(self, step: Step) -> Step | None:
        """Return what is left of a step; None when it is done. Raises StateMoved."""
        args = step.args
        if step.verb == plan_steps.CREATE:
            return step if self._to_create(args) else None
        if step.verb == plan_steps.MOVE:
            return self._to_move(step)
        if step.verb == plan_steps.ASSIGN:
            return step if _mask(args["start"]["slots"]) & (~self._picture.owned | self._given_up()) else None
        if step.verb == plan_steps.REPLICATE:
            return step if self._to_replicate(args) else None
        if step.verb == plan_steps.MEET:
            return step if self._to_meet(args) else None
        if step.verb == plan_steps.FORGET:
            return step if self._to_forget(args) else None
        if step.verb in (plan_steps.HANDOVER, plan_steps.PROMOTE):
            return step if self._to_lead(args["replica"]) else None
        return step

    def _member(self, name: str) -> Member:
        return self._members.get(name, Member(name, ""))

    def _leaders(self, name: str, names: Iterable[str]) -> set[str]:
        """Return who leads a member's shard; where that one has left, who leads those that were with it."""
        rest = [name] if self._member(name).joined else [n for n in names if self._member(n).joined]
        return {self._shard(n) for n in rest}

    def _to_create(self, args: Mapping[str, Any]) -> bool:
        plan = {n: mask_of(tuple((a, b) for a, b in ranges)) for n, ranges in args["masters"].items()}
        for member in self._masters:
            if member.slots & ~plan.get(args["replicas"].get(member.name, member.name), 0):
                raise StateMoved("slots are where the plan puts them", f"{member.name} has others", _AGAIN)
        follow = all(self._shard(n) == self._shard(m) for n, m in args["replicas"].items())
        everybody = all(self._member(n).agreed for n in (*plan, *args["replicas"]))
        return not (follow and everybody and self._picture.owned == mask_of(((0, 16383),)))

    def _shard(self, name: str) -> str:
        """Return who leads the shard in which one is; itself where it is in none."""
        return self._member(name).leader or name

    def _to_forget(self, args: Mapping[str, Any]) -> bool:
        member, kept = self._member(args["name"]), 0
        if member.slots and args["reset"]:
            kept = member.slots
            for step in self._saved:
                start = step.args["start"]
                if step.verb == plan_steps.MOVE and member.name in start["source"]:
                    kept &= ~_mask(start["slots"])
                if step.verb == plan_steps.HANDOVER and member.name in start["members"]:
                    kept = 0
        if kept:
            raise StateMoved(f"{member.name} leads nobody when it leaves", f"it has {text_of(kept)} now", _AGAIN)
        return member.joined

    def _to_lead(self, name: str) -> bool:
        """Whether one does not lead the shard yet that it is to lead: it may still lead one that goes."""
        joins = [s for s in self._saved if s.verb == plan_steps.REPLICATE and s.args["replica"] == name]
        return not self._member(name).slots or any(self._to_replicate(s.args) for s in joins)

    def _to_meet(self, args: Mapping[str, Any]) -> bool:
        member = self._member(args["name"])
        if not args["reset"] or not member.leader:
            return not member.agreed
        if member.leader not in args["start"]["joined"]:
            raise StateMoved(f"{member.name} follows whom it did", f"it follows {member.leader}", _AGAIN)
        return True

    def _to_replicate(self, args: Mapping[str, Any]) -> bool:
        member, start = self._member(args["replica"]), args["start"]
        if member.slots and not args["later"]:
            if any(m.leader == member.name for m in self._picture.joined if m.name in start["from"]):
                raise StateMoved(f"{member.name} is a replica", "it was elected where it was", _AGAIN)
            return False  # it was elected where it is to be
        leaders = self._leaders(args["master"], [n for n in start["to"] if n != member.name])
        if member.leader in leaders:
            return False
        if member.name in leaders:
            if any(s.verb == plan_steps.HANDOVER and s.args["replica"] == member.name for s in self._saved):
                return False
            raise StateMoved(f"{member.name} is to follow", f"it leads the shard of {args['master']} now", _AGAIN)
        known = {*start["from"], *start["to"], *self._sources()}
        if member.leader and member.leader not in known:
            raise StateMoved(f"{member.name} follows whom it did, or is to", f"it follows {member.leader}", _AGAIN)
        return True

    def _sources(self) -> set[str]:
        """Return who is in a shard that gives slots away: its members come with it."""
        return {n for s in self._saved if s.verb == plan_steps.MOVE for n in s.args["start"]["source"]}

    def _to_move(self, step: Step) -> Step | None:
        """Return the step with the slots that are still with its source."""
        wanted, left = _mask(step.args["start"]["slots"]), 0
        start = step.args["start"]
        coming = self._coming()
        there = [n for n in start["target"] if n not in coming]
        leads = step.args["target"]
        target = self._leaders(leads, there) if leads not in coming else {self._shard(n) for n in there}
        source = self._leaders(step.args["source"], [n for n in start["source"] if n not in start["target"]])
        for name, slots in self._finished().items():
            here = slots & wanted
            if not here or name in target:
                continue
            if name in source or here & self._given_up():
                left |= here
            elif name not in start["target"] and not self._is_on_its_way(step, name, here):
                rule = f"{text_of(here)} are with {step.subject}, or on their way"
                raise StateMoved(rule, f"{name} has them", _AGAIN)
        nobody = wanted & ~self._picture.owned
        left |= nobody if nobody and any(s.verb == plan_steps.ASSIGN for s in self._saved) else 0
        if not left:
            return None
        part = left.bit_count() / wanted.bit_count()
        return replace(
            step, args={**step.args, "slots": [list(r) for r in ranges_of(left)]},
            bytes=None if step.bytes is None else round(step.bytes * part),
            seconds=None if step.seconds is None else round(step.seconds * part, 1),
        )  # fmt: skip

    def _coming(self) -> set[str]:
        """Return who is to change shards still: where it is now says nothing of the one that it comes to."""
        moved = [(s.args["replica"], {*s.args["start"]["from"]} - {*s.args["start"]["to"]})
                 for s in self._saved if s.verb == plan_steps.REPLICATE]  # fmt: skip
        moved += [(s.args["name"], {*s.args["start"]["joined"]} - {s.args["name"]})
                  for s in self._saved if s.verb == plan_steps.MEET and s.args["reset"]]  # fmt: skip
        return {name for name, shard in moved if self._member(name).leader in shard}

    def _finished(self) -> dict[str, int]:
        """Return the slots of each master when the open ones are finished."""
        found = {m.name: m.slots & ~self._open for m in self._masters}
        for slot, end in self._picture.open.items():
            found[end.target] = found.get(end.target, 0) | 1 << slot
        return found

    def _given_up(self) -> int:
        """Return the slots of somebody dead, who is forgotten before they are assigned and moved on."""
        assigned = 0
        for step in self._saved:
            if step.verb == plan_steps.ASSIGN:
                assigned |= _mask(step.args["start"]["slots"])
        dead = {s.args["name"] for s in self._saved if s.verb == plan_steps.FORGET and self._is_dead(s)}
        return assigned & sum(m.slots for m in self._masters if m.name in dead)

    def _is_on_its_way(self, step: Step, owner: str, slots: int) -> bool:
        """Whether slots that are to be assigned or finished before this move still are with somebody of that."""
        return any(
            s.verb in (plan_steps.ASSIGN, plan_steps.FINISH, plan_steps.MOVE)
            and s.id != step.id
            and _touches(s, slots)
            and owner in _named(s)
            for s in self._saved
        )


def _mask(ranges: Iterable[Iterable[int]]) -> int:
    return mask_of(tuple((a, b) for a, b in ranges))


def _touches(step: Step, slots: int) -> bool:
    start = step.args["start"]
    return bool(_mask(start.get("slots") or start.get("open") or ()) & slots)


def _named(step: Step) -> set[str]:
    if step.verb == plan_steps.MOVE:
        return {*step.args["start"]["source"], *step.args["start"]["target"]}
    if step.verb == plan_steps.ASSIGN:
        return set(step.args["masters"])
    return {n for ends in step.args["slots"].values() for n in (ends["source"], ends["target"])}
