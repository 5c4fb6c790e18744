# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lets another server lead without losing a write that was acknowledged. See `apply.py`.

SENTINEL FAILOVER by itself promotes a replica while the primary takes writes, and makes the primary a replica about ten
seconds later: what it took until then is lost. So, with Sentinels:

1. *Steer*: they choose by replica-priority, which the target gets the lowest of, until the end of the step. They read it
   every ten seconds, which is waited for while clients notice nothing.
2. *Hold*: the primary holds writes back (CLIENT PAUSE WRITE) for less time than makes Sentinels think that it is down.
   When the target has not got all in half of that, the primary goes on: nothing has changed.
3. *Switch*: the hold is prolonged beyond the ten seconds, for the case that we die from here on. Then the failover is
   asked for: COORDINATED, where the server knows that. As soon as the target leads and all Sentinels say so, the old
   primary is made to follow it and sends its clients away, which ends the hold: they ask who leads, and try once more.

Without Sentinels the server's own FAILOVER does 2 and 3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.copies import behind
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.followers import follow
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import Member, Picture, Watcher
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import NO_FAILOVER, Server
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.watchers import disagreement, incomplete
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

FIRST = "1"
"""The replica-priority that is chosen first; 0 is never chosen."""
SECOND = "2"
HOLD = 4.0
"""Seconds for which writes are held back at most before anything is changed."""
HOLD_OF_DOWN_AFTER = 0.6
"""The same as a part of the time after which Sentinels take a primary for dead: one that holds writes back does not
take their hello either, and answers nothing more on that connection."""
GUARD, GUARD_A_REPLICA = 20.0, 3.0
"""Seconds, and more for each other replica, in which Sentinels by themselves have made the old primary a replica: 11.4
were measured with two replicas, of Redis 7.0.15 and 8.0.2."""
PROMOTION = 15.0
"""Seconds in which a failover that was asked for has to promote somebody."""
TOLD = 5.0
"""Seconds in which all Sentinels have heard who leads: 2.4 were measured."""
PLAIN_TIMEOUT = 5000
"""Milliseconds after which the server gives up its own FAILOVER, and goes on as before."""
GLANCE = 0.01


class Runner(Protocol):
    """What the steps need of the Applier."""

    client: ReplicationClient
    wanted: ClusterSpec
    notes: UndoNotes

    def picture(self) -> Picture: ...
    def primary(self, picture: Picture) -> Member: ...
    def member(self, picture: Picture, name: str) -> Member: ...
    def tell(self, name: str, *words: Any, timeout: float | None = None) -> None: ...
    def until(self, step: Step, look: Callable[[], str], left: float, deadline: float = 60.0) -> str | None: ...
    def now(self) -> float: ...
    def pause(self, seconds: float) -> None: ...


class Switchover:
    """The step, and what puts its temporary settings back."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner

    def switch(self, step: Step, left: float) -> str | None:
        """Let another lead; return None when it does and all others follow it, else what is waited for."""
        target, away = step.args["to"], step.args["away"]

        def look() -> str:
            picture = self._run.picture()
            if picture.failing_over:
                return f"{picture.failing_over[0]} replaces the primary"
            leads = self._run.primary(picture).name
            if leads == target or (away and leads not in away):
                return self._settled(picture, leads)
            server = self._run.member(picture, target).server
            lacks = behind(server, self._run.primary(picture).server)
            if lacks:
                return f"{target} {lacks}"
            if not picture.watchers:
                return self._plain(picture, target)
            watching = picture.watching()
            if not watching:
                return "no Sentinel watches yet"
            reason = disagreement(picture, [w.name for w in watching]) or self._steer(picture, target)
            return reason or self._switch(picture, target)

        waiting = self._run.until(step, look, left)
        if waiting is None:
            self.put_back()
        return waiting

    def _steer(self, picture: Picture, target: str) -> str:
        """Let the Sentinels choose the target; return what is waited for."""
        place = picture.members[target].server.place
        able = {m.name: m.server for m in picture.members.values()
                if m.server.answers and m.server.master == picture.leader.place and m.server.priority}  # fmt: skip
        others = {n: s for n, s in able.items() if n != target}
        if not others:
            return ""
        if able[target].priority >= min(s.priority for s in others.values()):
            for server in others.values():
                if server.priority <= int(FIRST):
                    self._set_priority(server, SECOND, target)
            self._set_priority(able[target], FIRST, target)
            return f"Sentinels have to see that {target} is to lead"
        for watcher in picture.watching():
            seen = {r.place: r.priority for r in watcher.view.replicas}
            rest = [seen[s.place] for s in others.values() if seen.get(s.place)]
            if seen.get(place, 0) >= min(rest, default=int(FIRST) + 1):
                return f"{watcher.name} has not seen yet that {target} is to lead"
        return ""

    def _set_priority(self, server: Server, value: str, target: str) -> None:
        what = f"the Sentinels of {self._run.wanted.name} choose {target}"
        self._run.notes.write(self._note(server.name, "replica-priority"), str(server.priority), value, what)
        self._run.tell(server.name, "CONFIG", "SET", "replica-priority", value)

    def _switch(self, picture: Picture, target: str) -> str:
        """Hold writes back, wait until the target has all, let it lead. Raises GateNotPassed; then all is as before."""
        old, new = self._run.primary(picture).server, picture.members[target].server
        sentinel = next(w for w in picture.watching() if not incomplete(w, picture))
        hold = min(HOLD, HOLD_OF_DOWN_AFTER * sentinel.view.down_after)
        begun = self._run.now()
        what = f"{self._run.wanted.name}: {old.name} holds writes back for {hold:g} s"
        self._run.notes.write(self._note(old.name, "pause"), "", "held", what)
        self._hold(old, hold)
        try:
            self._wait_for_all(old, new, begun + hold / 2)
            others = len(picture.members) - 2
            self._hold(old, GUARD + GUARD_A_REPLICA * max(0, others))
            if self._run.now() - begun > hold:
                raise GateNotPassed(f"writes are held back within {hold:g} s", "it took longer", "run again", old.name)
            self._ask_for_failover(sentinel)
        except (GateNotPassed, ErrorReply):
            self._release(old)
            raise
        return self._finish(old, new)

    def _hold(self, old: Server, seconds: float) -> None:
        self._run.tell(old.name, "CLIENT", "PAUSE", round(seconds * 1000), "WRITE")

    def _release(self, old: Server) -> None:
        self._run.tell(old.name, "CLIENT", "UNPAUSE")
        self._run.notes.remove(self._note(old.name, "pause"))

    def _wait_for_all(self, old: Server, new: Server, end: float) -> None:
        """Wait until the target has all that the primary took before it began to hold writes back."""
        offset = self._run.client.server(old.name).offset
        while True:
            seen = self._run.client.server(new.name)
            if seen.answers and seen.link_up and not seen.syncing and seen.offset >= offset:
                return
            if self._run.now() >= end:
                why = seen.error or f"{max(0, offset - seen.offset)} bytes are missing"
                raise GateNotPassed(f"{new.name} gets all writes in time", why, "run again when there are fewer writes",
                                    new.name)  # fmt: skip
            self._run.pause(GLANCE)

    def _ask_for_failover(self, sentinel: Watcher) -> None:
        """Ask a Sentinel; one that does not answer may have begun. Raises ErrorReply when it has not."""
        words = ("SENTINEL", "FAILOVER", self._run.wanted.name)
        try:
            try:
                self._run.client.ask(sentinel.name, *words, "COORDINATED")
            except ErrorReply:
                self._run.client.ask(sentinel.name, *words)
        except NoAnswer:
            return

    def _finish(self, old: Server, new: Server) -> str:
        """Wait until somebody leads instead and every Sentinel says so; then make the old primary follow.

        Clients that are sent away ask a Sentinel at once: one that did not know yet would send them back.
        """
        leads = self._promoted(old, new)
        end = self._run.now() + TOLD
        while self._run.now() < end:
            watching = self._run.picture().watching()
            if all(w.view.leader == leads.place for w in watching):
                break
            self._run.pause(GLANCE)
        current = self._run.client.server(old.name)
        if current.leads:
            follow(self._run.client, current, leads.place)
        if current.answers:
            self._release(old)
        if leads.name != new.name:
            raise GateNotPassed(f"the Sentinels let {new.name} lead", f"they chose {leads.name}", "run again", new.name)
        return f"{new.name} leads; the others begin to follow it"

    def _promoted(self, old: Server, new: Server) -> Server:
        """Wait until the target leads, or another one by the Sentinels' word; raises GateNotPassed where nobody does."""
        end = self._run.now() + PROMOTION
        while True:
            seen = self._run.client.server(new.name)
            if seen.leads:
                return seen
            picture = self._run.picture()
            if picture.leader.name and picture.leader.place != old.place:
                return self._run.primary(picture).server
            if self._run.now() >= end:
                break
            self._run.pause(GLANCE)
        if picture.failing_over:
            seen_last = f"{', '.join(picture.failing_over)} still at it; {old.name} holds writes back meanwhile"
            raise GateNotPassed(f"{new.name} leads within {PROMOTION:g} s", seen_last, "wait, and run again")
        self._release(old)
        raise GateNotPassed(f"the Sentinels let {new.name} lead", "they gave it up; all is as before",
                            "see their logs, and run again")  # fmt: skip

    def _plain(self, picture: Picture, target: str) -> str:
        """Let the primary itself hand over, where no Sentinel watches."""
        old, new = self._run.primary(picture).server, picture.members[target].server
        if old.failover == NO_FAILOVER:
            try:
                words = ("FAILOVER", "TO", new.address, new.port, "TIMEOUT", PLAIN_TIMEOUT)
                self._run.client.ask(old.name, *words)
            except ErrorReply as reply:
                remedy = "see its log, and run again"
                raise GateNotPassed(f"{old.name} hands over to {target}", reply.text, remedy, old.name) from None
        return f"{old.name} hands over to {target}"

    def _settled(self, picture: Picture, leads: str) -> str:
        """Return who does not follow the new primary yet, by the servers and by the Sentinels; "" when all do."""
        head = picture.members[leads].server
        for member in picture.members.values():
            server = member.server
            if member.name == leads or not server.answers or not member.known:
                continue
            if server.leads or (not picture.watchers and server.master != head.place):
                follow(self._run.client, server, head.place)
                return f"{member.name} begins to follow {leads}"
            if server.master != head.place or not server.link_up:
                return f"{member.name} does not follow {leads} yet"
        if not picture.watchers:
            self._run.tell(leads, "CONFIG", "REWRITE")
        return disagreement(picture, [w.name for w in picture.watching()])

    def put_back(self) -> list[str]:
        """Put what is temporary back; return the servers that could not be asked, whose notes stay.

        A hold is ended only where its server still leads beyond doubt; else it ends by itself, as the writes that it
        would take would be lost.
        """
        silent = []
        for name in self._run.client.servers:
            try:
                self._put_priority_back(name)
                self._end_hold(name)
            except (NoAnswer, ErrorReply):
                silent.append(name)
        return silent

    def _put_priority_back(self, name: str) -> None:
        note = self._note(name, "replica-priority")
        if self._run.notes.read(note) is None:
            return
        reply = self._run.client.ask(name, "CONFIG", "GET", "replica-priority")
        current = reply[1].decode() if reply else ""
        self._run.notes.put_back(note, current, partial(self._restore_priority, name))

    def _restore_priority(self, name: str, value: str) -> None:
        self._run.client.ask(name, "CONFIG", "SET", "replica-priority", value)
        # Sentinels have servers rewrite their file, with the temporary value in it.
        self._run.client.ask(name, "CONFIG", "REWRITE")

    def _end_hold(self, name: str) -> None:
        note = self._note(name, "pause")
        if self._run.notes.read(note) is None:
            return
        picture = self._run.picture()
        server = picture.members[name].server
        if not server.answers:
            raise NoAnswer(server.error)
        others = any(m.server.leads and m.name != name for m in picture.members.values())
        if picture.leader.name == name and not picture.failing_over and not others:
            self._run.client.ask(name, "CLIENT", "UNPAUSE")
        self._run.notes.remove(note)

    def _note(self, name: str, setting: str) -> str:
        return f"redis-{self._run.wanted.name}-{name}-{setting}"
