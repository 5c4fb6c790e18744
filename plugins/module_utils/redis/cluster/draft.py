# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a plan of a Redis Cluster is made: decide who is where, then write the steps. Pure, values in and out.

`plan.py` says what the steps are. Every decision is made on the picture that the steps before it leave.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.picture import (
    STRANGER,
    Member,
    Open,
    Picture,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.placement import Seat, place
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan_steps import (
    Steps,
    load_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    ALL,
    balance,
    text_of,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.rates import Rates


@dataclass
class Draft:
    """A plan being made: `picture` is what will be there when the steps up to now are done."""

    wanted: ClusterSpec
    picture: Picture
    rates: Rates
    rebalance: bool
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def steps(self) -> tuple[Step, ...]:
        before = self.picture
        promoted = self._promote()
        assigned, lost = self._assign()
        ends = self._finish(promoted)
        self._settle()
        if self.refusals:
            return ()
        self.make = Steps(self.wanted.name, before, self.rates, self._shard_members())
        first = [self.make.promote(self.name_of(heir), heir, dead, how) for dead, (heir, how) in promoted.items()]
        given = [self.make.assign(assigned, lost)] if assigned else []
        given += [self.make.finish(ends)] if ends else []
        self.make = replace(self.make, picture=self.picture)
        dead, gone, going = self._forget()
        joins, moves = [*self._meet(), *self._replicate(later=False)], self._move()
        steps = (*first, *dead, *given, *joins, *moves, *gone, *self._replicate(later=True), *self._handover(), *going)
        self._say()
        return steps

    def _promote(self) -> dict[str, tuple[str, str]]:
        """Let the heirs of dead masters take over; return them, and how, by the dead."""
        masters = [m for m in self.picture.joined if m.slots]
        how = "force" if 2 * sum(m.answers for m in masters) > len(masters) else "takeover"
        found: dict[str, tuple[str, str]] = {}
        for dead in masters:
            heirs = judge.heirs_of(self.picture, dead.name) if dead.failed else []
            if heirs:
                found[dead.name] = (heirs[0].name, how)
                self._pass_on(dead.name, heirs[0].name)
        return found

    def _pass_on(self, old: str, new: str) -> None:
        """Let another member of a shard lead it."""
        slots = self.picture.members[old].slots
        for member in self.picture.joined:
            if member.leader == old:
                self.picture = self.picture.change(member.name, leader=new)
        self.picture = self.picture.change(old, leader=new, slots=0).change(new, leader="", slots=slots)

    def _assign(self) -> tuple[dict[str, int], str]:
        """Give the slots that nobody has, and those of dead masters without heirs, to living masters; say what is lost."""
        dead = [m for m in self.picture.joined if m.failed and m.slots]
        said = [f"{m.name} is dead with {text_of(m.slots)}" for m in dead]
        nobody = ALL & ~self.picture.owned
        said += [f"nobody has {text_of(nobody)}"] if nobody else []
        for member in dead:
            self.picture = self.picture.change(member.name, slots=0)
        free = ALL & ~self.picture.owned
        takers = [m for m in self.picture.joined if m.leads and m.answers and m.slots] or [
            m for m in self.picture.joined if m.leads and m.answers
        ]
        if not free or not takers:
            return {}, ""
        held = {m.name: m.slots for m in takers}
        moves = balance({**held, "": free}, [m.name for m in takers])
        given = {m.name: 0 for m in takers}
        for move in moves:
            if move.source == "":
                given[move.target] |= move.slots
        for name, slots in given.items():
            self.picture = self.picture.change(name, slots=held[name] | slots)
        return {n: s for n, s in given.items() if s}, f"all keys in them are lost: {'; '.join(said)}"

    def _finish(self, promoted: Mapping[str, tuple[str, str]]) -> dict[int, Open]:
        """Let open slots end where they should."""
        ends = {}
        for slot, found in self.picture.open.items():
            named = [promoted[n][0] if n in promoted else n for n in (found.target, found.source, *found.also)]
            members = self.picture.members
            owner = next((m.name for m in members.values() if m.slots >> slot & 1), named[0])
            target = named[0] if members[named[0]].answers else owner  # a dead one's slot was given to somebody
            rest = list(dict.fromkeys(n for n in named if n != target and members[n].answers))
            ends[slot] = Open(rest[0] if rest else target, target, tuple(rest[1:]))
            if owner != target:
                self.picture = self.picture.change(owner, slots=members[owner].slots & ~(1 << slot))
            self.picture = self.picture.change(target, slots=self.picture.members[target].slots | 1 << slot)
        return ends

    def _settle(self) -> None:
        """Decide which shards there are to be, who is in them, and who leads them."""
        members, found = self.picture.members, self.picture.shards()
        order = list(members)
        filled = sorted((n for n in found if members[n].slots), key=lambda n: min(map(order.index, found[n])))
        wanted = self.wanted.wanted_shards
        ranked = sorted(filled, key=lambda n: self._worth(n, found[n]), reverse=True)
        self.drained = [n for n in filled if n not in ranked[:wanted]]
        kept = [n for n in filled if n not in self.drained]
        begun = [n for n in found if not members[n].slots and len(found[n]) > 1 and self._worth(n, found[n])[0]]
        begun = sorted(begun, key=lambda n: self._worth(n, found[n]), reverse=True)[: max(0, wanted - len(kept))]
        fresh = begun + [f"new {n}" for n in range(wanted - len(kept) - len(begun))]
        self.keys = kept + fresh
        self.drained += [n for n in found if len(found[n]) > 1 and n not in self.keys and n not in self.drained]
        self.seats = [s for m in members.values() if (s := self._seat(m)) is not None]
        self.placed = place(self.seats, self.keys, frozenset(fresh), 1 + self.wanted.replicas)
        self._take_along()
        leaderless = [k for k in self.keys if k not in self.placed.leaders]
        later = {n for shard in self.drained for n in found[shard]}
        self.names = {}
        for key in self.keys:
            own = [n for n in self.placed.members[key] if (n not in later and n not in kept) or n == key]
            self.names[key] = next(iter(own or self.placed.members[key]), key)
        self.names |= {key: min(found[key], key=order.index) for key in self.drained}
        self.refusals += judge.judge_placement(self.placed, self.names, leaderless)

    def _take_along(self) -> None:
        """Place who is in maintenance and follows a master that goes: where its host has no copy, and fewest are."""
        placed = {key: list(names) for key, names in self.placed.members.items()}
        members = self.picture.members
        for member in members.values():
            if member.state == "maintenance" and member.answers and member.leader in self.drained:
                apart = [k for k in self.keys if all(members[n].host != member.host for n in placed[k])]
                if apart:
                    placed[min(apart, key=lambda k: (len(placed[k]), self.keys.index(k)))].append(member.name)
        self.placed = replace(self.placed, members={k: tuple(names) for k, names in placed.items()})

    def _worth(self, leader: str, names: Sequence[str]) -> tuple[int, bool, int, int]:
        """Return what speaks for a shard to stay: members that stay, its master's staying, its slots, its place."""
        members = self.picture.members
        stay = [n for n in names if members[n].state in ("present", "maintenance") and members[n].answers]
        return len(stay), leader in stay, members[leader].slots.bit_count(), -list(members).index(names[0])

    def _seat(self, member: Member) -> Seat | None:
        """Return the seat of a member that stays, or joins; None for who is not counted on and in no shard that stays."""
        if member.state not in ("present", "maintenance"):
            return None
        shard = self.picture.shard_of(member.name) if member.joined else ""
        shard = shard if shard in self.keys else ""
        fixed = member.state == "maintenance" or (member.joined and not member.answers)
        if fixed and not shard:
            return None
        return Seat(member.name, member.host, member.zone, shard, bool(shard) and member.name == shard, fixed)

    def name_of(self, name: str) -> str:
        """Return the name of the shard in which a member is now."""
        key = self.picture.shard_of(name)
        return self.names.get(key, key)

    def _shard_members(self) -> dict[str, list[str]]:
        """Return by name who is in a shard, or is to be."""
        now = self.picture.shards()
        return {
            name: list(dict.fromkeys((*now.get(key, ()), *self.placed.members.get(key, ()))))
            for key, name in self.names.items()
        }

    def _leader(self, key: str) -> str:
        """Return who leads a shard until its handover."""
        return key if key in self.picture.members else self.placed.leaders.get(key, key)

    def _meet(self) -> list[Step]:
        found = []
        for seat in self.seats:
            member = self.picture.members[seat.name]
            reset = bool(member.leader) and any(
                seat.name == self.placed.leaders.get(key) for key in self.keys if key not in self.picture.members
            )
            if reset or (not member.agreed and self._can_change(member)):
                found.append(self.make.meet(seat.name, reset))
        return found

    def _replicate(self, later: bool) -> list[Step]:
        """Return the steps for who is in another shard than planned; `later` those whose shard has to go first."""
        found = []
        for key in self.keys:
            leader = self._leader(key)
            for name in self.placed.members[key]:
                member = self.picture.members[name]
                waits = member.joined and self.picture.shard_of(name) in self.drained
                if name == leader or waits != later or member.leader == leader or not self._can_change(member):
                    continue
                found.append(self.make.replicate(name, leader, self.names[key], later))
        # Who joins comes first: a shard that gives a replica away has its new one by then. Who is followed comes last.
        followed = {m.leader for m in self.picture.joined}
        return sorted(found, key=lambda s: (s.args["replica"] in followed, bool(s.args["start"]["from"])))

    @staticmethod
    def _can_change(member: Member) -> bool:
        """Whether a step can be about it: who joins may still have to be installed, a dead member is left alone."""
        return member.answers or not member.joined

    def _move(self) -> list[Step]:
        members = self.picture.members
        order = {i.name: n for n, i in enumerate(self.wanted.instances)}
        staying = sorted(self.keys, key=lambda k: order.get(self.names[k], len(order)))
        held = {key: members[key].slots if key in members else 0 for key in [*self.drained, *staying]}
        self.moves = balance(held, staying, self._weights(held), self.wanted.threshold, self.rebalance)
        self._check_memory()
        return [
            self.make.move((self.names[m.source], m.source), (self.names[m.target], self._leader(m.target)), m.slots)
            for m in self.moves
        ]

    def _weights(self, held: Mapping[str, int]) -> dict[int, int] | None:
        if self.wanted.balance_by == "slots":
            return None
        weights: dict[int, int] = {}
        for key, slots in held.items():
            node = self.picture.members[key].node if slots else None
            if node is None:
                continue
            measured = node.slot_keys if self.wanted.balance_by == "keys" else node.slot_bytes
            if node.keys and not measured:
                self.notes.append(
                    f"{key} was not measured by {self.wanted.balance_by}: balanced by number of slots instead"
                )
                return None
            weights.update(measured)
        return weights

    def _check_memory(self) -> None:
        """Refuse moves for which a master has no room."""
        use: dict[str, int] = {}
        limits: dict[str, int] = {}
        for move in self.moves:
            load = load_of(self.picture.members[move.source], move.slots)
            for name, sign in ((move.target, 1), (move.source, -1)):
                node = self.picture.members[name].node if name in self.picture.members else None
                use.setdefault(name, node.used_memory if node else 0)
                limits[name] = self.wanted.maxmemory or (node.maxmemory if node else 0)
                use[name] += sign * (load[1] if load else 0)
        gains = {m.target for m in self.moves}
        told = {self.names[k]: v for k, v in use.items() if k in gains}
        self.refusals += judge.judge_memory(told, {self.names[k]: v for k, v in limits.items()})

    def _handover(self) -> list[Step]:
        found = []
        for key in self.keys:
            leader, new = self._leader(key), self.placed.leaders.get(key)
            if new and new != leader:
                state = self.picture.members[leader].state
                why = {"leaving": f"{leader} leaves", "maintenance": f"{leader} is in maintenance"}
                found.append(self.make.handover(self.names[key], new, leader, why.get(state, "spreads the masters")))
        return found

    def _forget(self) -> tuple[list[Step], list[Step], list[Step]]:
        """Return the steps for who goes: the dead, which would fail every later gate; the replicas of shards that go,
        so that nobody follows their masters; and all others.
        """
        going = [m for m in self.picture.joined if m.state == "leaving" or (m.state == STRANGER and m.failed)]
        dead = [m for m in going if not m.answers]
        early = [m for m in going if m.leader in self.drained and m not in dead]
        late = sorted((m for m in going if m not in early and m not in dead), key=lambda m: not m.leader)
        return tuple([self.make.forget(m.name) for m in part] for part in (dead, early, late))  # type: ignore[return-value]

    def _say(self) -> None:
        """Note what is left as it is, and what could be better."""
        for member in self.picture.members.values():
            if member.state == "maintenance":
                role = "stays a member, and is not counted on" if member.joined else "does not join"
                self.notes.append(f"{member.name} is in maintenance: it {role}")
            elif member.joined and member.state == "present" and not member.answers:
                self.notes.append(f"{member.name} does not answer: left as it is")
        present = {s.name for s in self.seats if not s.fixed}
        for key in self.keys:
            copies = sum(n in present for n in self.placed.members[key])
            if copies < 1 + self.wanted.replicas:
                self.notes.append(f"{self.names[key]} has {max(0, copies - 1)} of {self.wanted.replicas} replica(s)")
        for key, zone in self.placed.crowded:
            if sum(n in present for n in self.placed.members[key]) <= 1 + self.wanted.replicas:
                self.notes.append(f"zone {zone} has more copies of {self.names[key]} than it should: too few elsewhere")
        self.notes += judge.spread_notes(self.wanted, self.placed.leaders)
        if self.picture.disagree:
            who = ", ".join(self.picture.disagree[:5])
            self.notes.append(f"{len(self.picture.disagree)} node(s) see other slot owners ({who}): waited for first")
