# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a Redis Cluster: what turns the cluster that is into the one that is wanted. Pure, values in and out.

What a step does, in the order of a plan (`plan_steps.py` has their arguments):

- `create`: nobody is in a cluster yet: meet, give the slots, replicate, wait for ok.
- `promote`: a replica takes the place of its dead master, `force` (the masters vote) or `takeover` (too few of them
  live). Only with `repair`, as is
- `forget` of dead nodes, whose slots without a replica nobody has then;
- `assign_slots`: slots that nobody has go, empty, to masters; `lost` says what is gone. All these come first: nothing
  else can be done in a cluster that is down.
- `finish_slots`: slots that somebody left half moved, by slot: `source` may hold keys of it, `target` ends with it;
  `also` are others that may hold keys or marks. Where source and target are the same only marks are taken away.
- `meet`: an instance joins, empty. With `reset` it is a replica now and is emptied first.
- `replicate`: an instance becomes a replica, of another master than before.
- `move_slots`: slots go from a shard to another.
- `forget` and `replicate` again, for who was in a shard that goes until then.
- `handover`: a replica becomes its shard's master while that one lives.
- `forget`: a node leaves.

A *shard* has no name in Redis. Here it is named by the first of its members to be, in inventory order (but for those
that come from a shard that goes), so that it keeps its name when its masters change and while a plan is under way. A
shard that goes is named by the first that is in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.draft import Draft
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import (
    Picture,
    look,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.placement import Seat, first_leaders, place
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan_steps import (
    Steps,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    ALL,
    even_ranges,
    mask_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node, SlotRange
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import CLUSTER, SERVICE, ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.rates import Rates


def make_plan(
    wanted: ClusterSpec,
    seen: Sequence[Node],
    *,
    repair: bool = False,
    rebalance: bool = True,
    upgrading: bool = False,
    rates: Rates | None = None,
) -> Plan:
    """Return what turns the cluster that the nodes show into the wanted one, or why nothing may be done.

    `seen` has an answer, or the reason why there is none, of every instance of the inventory. `repair` permits what
    may lose data (promote, assign_slots), `rebalance` moves where no shard joins or leaves, `upgrading` servers of two
    major versions. Raises ValueError for a cluster of another mode.
    """
    if wanted.mode != CLUSTER:
        raise ValueError(f"{wanted.name} has mode {wanted.mode}: this planner is for mode {CLUSTER}")
    refusals = list(judge.judge_wanted(wanted))
    picture = look(wanted, seen)
    if not refusals and is_new(wanted, picture, seen):
        return _creation(wanted, picture, rates or Rates(), upgrading)
    refusals += judge.judge_alone(picture)
    refusals += judge.judge_seen(wanted, picture, repair=repair, upgrading=upgrading)
    if refusals:
        return Plan(SERVICE, wanted.name, refusals=tuple(refusals), fingerprint=plan_fingerprint(wanted, ()))
    draft = Draft(wanted, picture, rates or Rates(), rebalance)
    steps = draft.steps()
    return Plan(
        SERVICE, wanted.name, steps, tuple(draft.refusals), tuple(draft.notes), plan_fingerprint(wanted, steps)
    )  # fmt: skip


def plan_fingerprint(wanted: ClusterSpec, steps: Iterable[Step]) -> str:
    """Return the fingerprint: the wanted cluster, and what each step rests on; never who leads, nor any epoch."""
    return fingerprint(wanted.as_dict(), [[s.id, s.args["start"]] for s in steps])


@lru_cache(maxsize=16)
def layout(wanted: ClusterSpec) -> tuple[Mapping[str, SlotRange], Mapping[str, str]]:
    """Return the slots of each master and the master of each replica of a new cluster: the inventory alone decides.

    The first instances lead where that spreads them as well and leaves room for their replicas.
    """
    seats = [Seat(i.name, i.host, i.zone) for i in wanted.instances if i.state == "present"]
    shards = [f"new {n}" for n in range(wanted.wanted_shards)]
    leads = dict(zip(first_leaders(seats, len(shards)), shards, strict=False))
    seated = [replace(s, shard=leads.get(s.name, ""), leads=s.name in leads) for s in seats]
    placed = place(seated, shards, frozenset(shards), 1 + wanted.replicas)
    if placed.together or placed.crowded:
        free = place(seats, shards, frozenset(shards), 1 + wanted.replicas)
        better = (len(free.together), len(free.crowded)) < (len(placed.together), len(placed.crowded))
        placed = free if better else placed
    order = {s.name: n for n, s in enumerate(seats)}
    leaders = sorted(placed.leaders.items(), key=lambda pair: order[pair[1]])
    masters = dict(zip((name for _shard, name in leaders), even_ranges(len(shards)), strict=False))
    replicas = {name: leader for shard, leader in leaders for name in placed.members[shard] if name != leader}
    return masters, {name: replicas[name] for name in order if name in replicas}


def is_new(wanted: ClusterSpec, picture: Picture, seen: Sequence[Node]) -> bool:
    """Whether no cluster is there yet, or one that is being created: empty, incomplete, and all of it as laid out."""
    answering = [n for n in seen if n.answers]
    ids = {n.id for n in answering}
    if any(n.keys for n in answering) or any(p.id not in ids for n in answering for p in n.view):
        return False
    if picture.owned == ALL or picture.open or any(m.joined and m.state != "present" for m in picture.members.values()):
        return False
    masters, _replicas = layout(wanted)
    claims = {n.name: mask_of(n.myself.slots) for n in answering if n.myself}
    return all(not mask & ~mask_of((masters[n],) if n in masters else ()) for n, mask in claims.items())


def _creation(wanted: ClusterSpec, picture: Picture, rates: Rates, upgrading: bool) -> Plan:
    masters, replicas = layout(wanted)
    alone = replace(picture, foreign=())
    refusals = list(judge.judge_seen(wanted, alone, repair=True, upgrading=upgrading))
    if len(masters) < wanted.wanted_shards:
        refusals.append(Refusal("there is an instance for every master", f"{len(masters)} present ones",
                                "take instances back from maintenance"))  # fmt: skip
    step = Steps(wanted.name, picture, rates, {}).create({n: [r] for n, r in masters.items()}, replicas)
    placed = {*masters, *replicas}
    notes = [f"{i.name} is in maintenance: not part of the new cluster" for i in wanted.instances
             if i.name not in placed and i.state == "maintenance"]  # fmt: skip
    notes += judge.spread_notes(wanted, {n: n for n in masters})
    return Plan(
        SERVICE, wanted.name, (step,), tuple(refusals), tuple(notes), plan_fingerprint(wanted, (step,))
    )  # fmt: skip
