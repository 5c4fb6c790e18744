# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan of a replicated cluster: what turns the one that is into the one that is wanted. Pure, values in and out.

What a step does, in the order of a plan (`plan_steps.py` has their arguments):

- `create`: nobody follows anybody yet: one leads, the others follow it, the Sentinels watch it.
- `promote`: a replica takes the place of its dead primary, where no Sentinel does that. Only with `repair`.
- `attach`: a server follows the primary: a new one, one that followed somebody else, one that led before.
- `watch`: a Sentinel watches the primary, and knows all others, as they know it.
- `tune`: a Sentinel is told the stated settings, which it would not learn from others.
- `switchover`: another leads, without a lost write: because it was asked for, or who leads leaves or rests.
- `forget`: a server ends, or a Sentinel watches no more, and the Sentinels forget it, one at a time: servers first.

Who leads is what the Sentinels' majority says, at the time of each step; see `picture.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import REPLICATION, SERVICE, ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import judge, plan_steps
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import (
    SENTINEL,
    SERVER,
    Member,
    Picture,
    Watcher,
    look,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan_steps import Steps
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import State

_AGAIN = "make a new plan, look at it, and run that"


def make_plan(
    wanted: ClusterSpec, seen: State, *, switchover_to: str = "", repair: bool = False, upgrading: bool = False
) -> Plan:
    """Return what turns the cluster that the answers show into the wanted one, or why nothing may be done.

    `switchover_to` is the instance (`redis2:6379`) or host that is to lead. `repair` permits what may lose data,
    `upgrading` servers of two major versions. Raises ValueError for a cluster of another mode.
    """
    if wanted.mode != REPLICATION:
        raise ValueError(f"{wanted.name} has mode {wanted.mode}: this planner is for mode {REPLICATION}")
    picture = look(wanted, seen)
    draft = _Draft(picture, switchover_to, repair)
    refusals = [*judge.judge_wanted(wanted), *judge.judge_seen(picture, repair=repair, upgrading=upgrading)]
    steps: tuple[Step, ...] = ()
    if not refusals:
        steps = tuple(draft.steps())
        refusals = draft.refusals
    if refusals:
        steps = ()
    mark = plan_fingerprint(wanted, steps)
    return Plan(SERVICE, wanted.name, steps, tuple(refusals), tuple(draft.notes()), mark)


def plan_fingerprint(wanted: ClusterSpec, steps: Iterable[Step]) -> str:
    """Return the fingerprint: the wanted cluster, and what each step rests on; never who leads, nor any offset."""
    return fingerprint(wanted.as_dict(), [[s.id, s.args["start"]] for s in steps])


def resume(saved: Plan, wanted: ClusterSpec, seen: State, *, upgrading: bool = False) -> Plan:
    """Return what remains of a saved plan, or raise StateMoved when it no longer fits. Refusals are those of now."""
    if saved.fingerprint != plan_fingerprint(wanted, saved.steps):
        rule = "the inventory and this version are those that the plan was made from"
        raise StateMoved(rule, f"plan {saved.fingerprint}", _AGAIN)
    picture = look(wanted, seen)
    repair = any(s.verb == plan_steps.PROMOTE for s in saved.steps)
    refusals = [*judge.judge_wanted(wanted), *judge.judge_seen(picture, repair=repair, upgrading=upgrading)]
    draft = _Draft(picture, "", repair)
    left = tuple(s for s in saved.steps if _remains(s, picture, draft, saved)) if not refusals else saved.steps
    return Plan(SERVICE, wanted.name, left, tuple(refusals), saved.notes, saved.fingerprint)


def _remains(step: Step, picture: Picture, draft: _Draft, saved: Plan) -> bool:
    """Whether something of a step is left to do; raises StateMoved where it fits no more."""
    args = step.args
    if step.verb == plan_steps.CREATE:
        rest = [s for s in draft.steps() if s.verb in (plan_steps.CREATE, plan_steps.ATTACH, plan_steps.WATCH)]
        return bool(rest)
    if picture.new:
        raise StateMoved("the cluster is there", "nobody leads it", _AGAIN)
    if step.verb in (plan_steps.SWITCHOVER, plan_steps.PROMOTE):
        return _to_lead(step, picture, saved)
    if step.verb == plan_steps.TUNE:
        return _to_tune(step, picture)
    if step.verb == plan_steps.FORGET:
        if picture.leader.name == args["name"] and not _hands_over(saved, args["name"]):
            raise StateMoved(f"{args['name']} does not lead", "it was made primary meanwhile", _AGAIN)
        return draft.is_joined(args["kind"], args["name"], args["place"])
    if step.verb == plan_steps.ATTACH:
        if picture.leader.name == args["name"]:
            return False  # it was made primary meanwhile: it is a member
        return draft.is_astray(picture.members[args["name"]])
    return draft.is_to_watch(picture.watchers[args["name"]])


def _hands_over(saved: Plan, name: str) -> bool:
    """Whether the plan lets another lead before this one goes."""
    return any(s.verb == plan_steps.SWITCHOVER and (name in s.args["away"] or s.args["to"] != name)
               for s in saved.steps)  # fmt: skip


def _to_lead(step: Step, picture: Picture, saved: Plan) -> bool:
    """Whether another is to lead still, or the one that did is not a replica yet; raises StateMoved."""
    if step.verb == plan_steps.PROMOTE:
        return bool(picture.leader.name == step.args["dead"])
    target, head = step.args["to"], picture.leader
    if step.args["start"]["members"] != sorted(n for n, m in picture.members.items() if m.stays):
        raise StateMoved("the members are those that the plan was made from", ", ".join(picture.members), _AGAIN)
    if head.name in step.args["away"] if step.args["away"] else head.name != target:
        joins = any(s.verb == plan_steps.ATTACH and s.args["name"] == target for s in saved.steps)
        server = picture.members[target].server
        if server.answers and server.master != head.place and not joins:
            raise StateMoved(f"{target} follows who leads", f"it follows {server.master or 'nobody'}", _AGAIN)
        return True
    astray = [m for n, m in picture.members.items() if m.known and m.server.leads and n != head.name]
    return head.name == target and bool(astray)


def _to_tune(step: Step, picture: Picture) -> bool:
    """Whether a Sentinel has not been told all yet; raises StateMoved where it was told something else."""
    watcher = picture.watchers[step.args["name"]]
    now, differ = watcher.view.settings, False
    for name, value in step.args["settings"].items():
        # One that does not watch yet is told all when it does.
        if watcher.view.watches and now[name] not in (value, step.args["start"][name]):
            seen = f"{name} is {int(now[name])}"
            raise StateMoved(f"{watcher.name} has what it had, or what the plan says", seen, _AGAIN)
        differ = differ or now[name] != value
    return differ


class _Draft:
    """A plan being made."""

    def __init__(self, picture: Picture, switchover_to: str, repair: bool) -> None:
        self._picture = picture
        self._to = switchover_to
        self._repair = repair
        self._make = Steps(picture)
        self.refusals: list[Refusal] = []

    def steps(self) -> Iterator[Step]:
        """Yield the steps in order; what forbids them is in `refusals` then."""
        picture = self._picture
        if picture.new:
            yield from self._create()
            return
        leads = picture.leader.name
        if self._repair and not picture.members[leads].server.answers and not picture.watching():
            heir = judge.heir_of(picture)
            if heir:
                yield self._make.promote(heir, leads)
                leads = heir
        for member in picture.members.values():
            if self.is_astray(member) and member.name != leads:
                yield self._make.attach(member.name, leads)
        yield from self._watch()
        yield from self._switch(leads)
        yield from self._forget()

    def _create(self) -> Iterator[Step]:
        members, first = self._picture.members, self._picture.leader.name
        replicas = [n for n, m in members.items() if n != first and m.state == "present"]
        watching = [n for n, w in self._picture.watchers.items() if w.state == "present"]
        yield self._make.create(first, replicas, watching)

    def is_astray(self, member: Member) -> bool:
        """Whether a server that is to be a member does not follow who leads; one that is not there yet does not."""
        server, head = member.server, self._picture.leader
        if not member.stays or member.name == head.name:
            return False
        if not server.answers:
            return not member.known and member.state == "present"
        return server.leads or server.master != head.place

    def is_to_watch(self, watcher: Watcher) -> bool:
        """Whether a Sentinel that is to watch does not, or does not know all, or is not known by all."""
        view = watcher.view
        if not watcher.stays:
            return False
        if not view.answers:
            return not watcher.known and watcher.state == "present"
        if not view.watches or view.leader != self._picture.leader.place:
            return True
        rest = [w for w in self._picture.watching() if w.name != watcher.name]
        return any(view.place not in {o.place for o in w.view.others} for w in rest)

    def _watch(self) -> Iterator[Step]:
        told = judge.told(self._picture.wanted)
        for watcher in self._picture.watchers.values():
            joins = self.is_to_watch(watcher)
            if joins:
                yield self._make.watch(watcher.name)
            ours = watcher.view.watches and watcher.view.leader == self._picture.leader.place
            # One that begins, or is pointed elsewhere, is told all by that step.
            if watcher.stays and ours and watcher.view.settings != told:
                yield self._make.tune(watcher.name, watcher.view.settings, told)

    def _switch(self, leads: str) -> Iterator[Step]:
        state = self._picture.members[leads].state
        if self._to:
            target, wrong = judge.target_of(self._picture, leads, self._to)
            self.refusals += wrong
            if target and target != leads:
                yield self._make.switchover(target, (), "asked for")
        elif state != "present":
            target = judge.heir_while_it_leads(self._picture, leads)
            word = {"leaving": "leaves", "maintenance": "rests"}[state]
            if target:
                away = [n for n, m in self._picture.members.items() if m.state != "present"]
                yield self._make.switchover(target, away, f"{leads} {word}")
            elif state == "leaving":
                self.refusals.append(judge.no_heir(leads))

    def _forget(self) -> Iterator[Step]:
        picture = self._picture
        for kind, names in ((SERVER, picture.members), (SENTINEL, picture.watchers)):
            for name, one in names.items():
                seen = one.server if isinstance(one, Member) else one.view
                if not one.stays and self.is_joined(kind, name, seen.place):
                    yield self._make.forget(kind, name, seen.place, seen.answers)
            for stranger in picture.strangers:
                if stranger.kind == kind and not stranger.alive:
                    yield self._make.forget(kind, stranger.place, stranger.place, False)

    def is_joined(self, kind: str, name: str, place: str) -> bool:
        """Whether somebody still counts one among the members, or it takes itself for one."""
        picture = self._picture
        views = [w.view for w in picture.watching() if w.name != name]
        if kind == SENTINEL:
            own = picture.watchers.get(name)
            return (own is not None and own.view.watches) or any(o.place == place for v in views for o in v.others)
        own_server = picture.members.get(name)
        head = picture.primary
        followers = head.server.followers if head is not None else ()
        follows = own_server is not None and own_server.server.answers and (
            own_server.server.master in picture.places or own_server.known
        )  # fmt: skip
        return follows or any(f.place == place for f in followers) or any(
            r.place == place for v in views for r in v.replicas
        )  # fmt: skip

    def notes(self) -> list[str]:
        """Say what is worth a word beside the steps."""
        picture = self._picture
        found = [f"{m.name} is in maintenance and does not answer: left as it is"
                 for m in picture.members.values() if m.state == "maintenance" and not m.server.answers]  # fmt: skip
        head = picture.primary
        rests = head is not None and head.state == "maintenance" and not self._to
        if rests and head is not None and not picture.new and not judge.heir_while_it_leads(picture, head.name):
            found.append(f"{head.name} is in maintenance and leads on: nobody else can take over")
        return [*found, *judge.spread_notes(picture.wanted)]
