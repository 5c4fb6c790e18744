# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that change what Sentinels know. See `apply.py`.

A Sentinel never forgets by itself. One that is told to (SENTINEL RESET) forgets all other Sentinels and all replicas,
and learns them anew within seconds: so they are reset one after the other, while the primary is up and nothing under
way, and each is waited for until it knows everybody again. Redis' documentation waits 30 s instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import SENTINEL as SENTINEL_USER
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import judge, parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import (
    SERVER,
    Member,
    Picture,
    Watcher,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Command, ErrorReply, NoAnswer

CORRECTS_ITSELF = 15.0
"""Seconds after which a Sentinel that watches a former primary is not expected to hear of the new one by itself."""
FORGET_DEADLINE = 300.0
STAYS_GONE = 3.0
"""Seconds for which nobody may know what was forgotten: Sentinels say hello every two seconds."""
LOOK = 0.25
END_DEADLINE = 900.0
"""Seconds in which a server has saved its data and ended, as its unit gives it."""


class Runner(Protocol):
    """What the steps need of the Applier."""

    client: ReplicationClient
    wanted: ClusterSpec

    def picture(self) -> Picture: ...
    def primary(self, picture: Picture) -> Member: ...
    def tell(self, name: str, *words: Any, timeout: float | None = None) -> None: ...
    def until(self, step: Step, look: Callable[[], str], left: float, deadline: float = 60.0) -> str | None: ...
    def now(self) -> float: ...
    def pause(self, seconds: float) -> None: ...
    def begun(self, step: Step) -> float: ...


def settings_words(wanted: ClusterSpec) -> list[str]:
    """Return what a Sentinel is told of its primary, as the words of SENTINEL SET."""
    return [word for name, value in judge.told(wanted).items() for word in (name, str(int(value)))]


def monitor(client: ReplicationClient, name: str, place: str, wanted: ClusterSpec) -> None:
    """Let a Sentinel watch the primary at `place`, if it does not, and tell it all; raises ErrorReply or NoAnswer."""
    address, _colon, port = place.rpartition(":")
    quorum = wanted.sentinel.quorum if wanted.sentinel else 1
    auth = ["auth-user", SENTINEL_USER, "auth-pass", client.sentinel_password] if client.sentinel_password else []
    commands: list[Command] = [
        ("SENTINEL", "MONITOR", wanted.name, address, port, quorum),
        ("SENTINEL", "SET", wanted.name, *settings_words(wanted), *auth),
    ]
    first, second = client.ask_all(name, commands)
    if isinstance(second, ErrorReply):
        # The first reply says why; that it watches already is none.
        raise first if isinstance(first, ErrorReply) else ErrorReply("SENTINEL SET was refused")


def incomplete(watcher: Watcher, picture: Picture, without: str = "") -> str:
    """Return what a Sentinel does not know of all that it should, but for one place; empty when it knows all."""
    view, leader = watcher.view, picture.leader.place
    if not view.answers:
        return f"{watcher.name} does not answer: {view.error}"
    if not view.watches:
        return f"{watcher.name} does not watch {picture.wanted.name} yet"
    if view.leader != leader:
        return f"{watcher.name} takes {picture.places.get(view.leader, view.leader)} for the primary"
    if not {"s_down", "o_down", "disconnected"}.isdisjoint(view.flags):
        return f"{watcher.name} does not reach the primary"
    others = {o.place: o.alive for o in view.others}
    for other in picture.watching():
        if other.name != watcher.name and other.view.place != without and not others.get(other.view.place):
            return f"{watcher.name} does not know, or reach, {other.name} yet"
    replicas = {r.place: r.alive for r in view.replicas}
    for member in picture.members.values():
        server = member.server
        if server.answers and server.master == leader and server.place != without and not replicas.get(server.place):
            return f"{watcher.name} does not know, or reach, {member.name} yet"
    return f"{watcher.name}: {view.reachable}" if view.reachable else ""


def disagreement(picture: Picture, names: Iterable[str], without: str = "") -> str:
    """Return why these Sentinels do not all know everybody; empty when they do."""
    found = (incomplete(picture.watchers[n], picture, without) for n in names if n in picture.watchers)
    return next((reason for reason in found if reason), "")


class Watchers:
    """Steps by their verbs; each returns None when done, else what it waits for."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner
        self._ended: set[str] = set()

    def watch(self, step: Step, left: float) -> str | None:
        """Let a Sentinel watch who leads, and wait until all know each other."""
        name, told = step.args["name"], False

        def look() -> str:
            nonlocal told
            picture = self._run.picture()
            head, watcher = self._run.primary(picture), self._watcher(picture, name)
            reason = disagreement(picture, [name, *(w.name for w in picture.watching())])
            if not reason or not watcher.view.answers:
                return reason
            if watcher.view.watches and watcher.view.leader != head.server.place:
                if self._run.now() - self._run.begun(step) < CORRECTS_ITSELF:
                    return reason
                self._run.tell(name, "SENTINEL", "REMOVE", self._run.wanted.name)
                told = False
            if not told:
                told = True
                monitor(self._run.client, name, head.server.place, self._run.wanted)
            return reason

        return self._run.until(step, look, left)

    def tune(self, step: Step, left: float) -> str | None:
        """Tell a Sentinel what is stated."""
        name, wanted = step.args["name"], step.args["settings"]

        def look() -> str:
            view = self._watcher(self._run.picture(), name).view
            if not view.watches:
                return f"{name} does not watch {self._run.wanted.name}"
            now = view.settings
            differ = [f"{k} is {int(now[k])}" for k, v in wanted.items() if now[k] != v]
            if differ:
                words = [word for k, v in wanted.items() for word in (k, str(v))]
                self._run.tell(name, "SENTINEL", "SET", self._run.wanted.name, *words)
            return f"{name}: {', '.join(differ)}" if differ else ""

        return self._run.until(step, look, left)

    def forget(self, step: Step, left: float) -> str | None:
        """Let a server end, or a Sentinel watch no more; then let the Sentinels forget it, one after the other."""
        name, place, kind = step.args["name"], step.args["place"], step.args["kind"]

        def look() -> str:
            picture = self._run.picture()
            head = self._run.primary(picture)
            if place == head.server.place:
                raise StateMoved(f"{name} does not lead", "it was made primary", "make the plan anew", name)
            still = self._end_server(picture, name) if kind == SERVER else self._end_watching(picture, name)
            if not still and any(f.place == place for f in head.server.followers):
                still = f"{head.name} still has it as a replica"
            return still or self._forgotten(picture, place)

        deadline = END_DEADLINE if kind == SERVER else FORGET_DEADLINE
        return self._run.until(step, look, left, deadline)

    def _end_server(self, picture: Picture, name: str) -> str:
        """End a server that leaves: as long as it follows, every Sentinel would learn of it again."""
        member = picture.members.get(name)
        if member is None or not member.server.answers:
            return ""
        if name not in self._ended:
            self._ended.add(name)
            try:
                self._run.client.ask(name, "SHUTDOWN")
            except NoAnswer:
                pass  # it has ended, or saves first
            except ErrorReply as reply:
                self._ended.discard(name)
                return f"{name} does not end: {reply.text}"
        return f"{name} saves its data and ends"

    def _end_watching(self, picture: Picture, name: str) -> str:
        watcher = picture.watchers.get(name)
        if watcher is None or not watcher.view.watches:
            return ""
        try:
            self._run.client.ask(name, "SENTINEL", "REMOVE", self._run.wanted.name)
        except ErrorReply as reply:
            if not reply.text.startswith(parse.NOT_WATCHED):
                raise
        return f"{name} still watches"

    def _forgotten(self, picture: Picture, place: str) -> str:
        """Reset the next Sentinel that knows a place, once all others know everybody else; "" when nobody does."""
        if picture.failing_over:
            return f"{picture.failing_over[0]} replaces the primary"
        watching = [w for w in picture.watching() if w.view.place != place]
        # All must be whole before one is reset; the one reset last is not, for a moment.
        reason = disagreement(picture, [w.name for w in watching], place)
        if reason:
            return reason
        knows = [w for w in watching if place in {o.place for o in (*w.view.others, *w.view.replicas)}]
        if knows:
            self._run.tell(knows[0].name, "SENTINEL", "RESET", self._run.wanted.name)
            return f"{knows[0].name} was reset, and learns anew who is there"
        end = self._run.now() + STAYS_GONE
        while watching and self._run.now() < end:  # within this call: the next one would not know of it
            self._run.pause(LOOK)
            places = {o.place for w in self._run.picture().watching() for o in (*w.view.others, *w.view.replicas)}
            if place in places:
                return "it was heard of again"
        return ""

    def _watcher(self, picture: Picture, name: str) -> Watcher:
        if name not in picture.watchers:
            raise StateMoved("the plan's Sentinels are the inventory's", name, "make the plan anew")
        return picture.watchers[name]
