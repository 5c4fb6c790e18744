# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that decide whom a server follows. See `apply.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.copying import caught_up
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import Member, Picture
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.watchers import disagreement, monitor
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Command, ErrorReply
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

SYNC_DEADLINE = 6 * 3600.0


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


def follow(client: ReplicationClient, server: Server, place: str, timeout: float | None = None) -> None:
    """Let a server follow the one at `place`, or with an empty one nobody; also after its next start.

    Clients that a primary had are sent away: they ask anew who leads. Raises ErrorReply or NoAnswer.
    """
    address, _colon, port = place.rpartition(":")
    commands: list[Command] = [("REPLICAOF", address or "NO", port or "ONE"), ("CONFIG", "REWRITE")]
    if server.leads and place:
        commands += [("CLIENT", "KILL", "TYPE", kind) for kind in ("normal", "pubsub")]
    replies = client.ask_all(server.name, [("MULTI",), *commands, ("EXEC",)], timeout)
    done = replies[-1]
    for reply in [*replies, *(done if isinstance(done, list) else ())]:
        if isinstance(reply, ErrorReply):
            raise reply
        if isinstance(reply, Exception):
            raise ErrorReply(str(reply))


class Followers:
    """Steps by their verbs; each returns None when done, else what it waits for."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner
        self._offsets: dict[str, int] = {}

    def create(self, step: Step, left: float) -> str | None:
        """Make one cluster of servers that follow nobody."""
        picture = self._run.picture()
        # Killed, and run again after an election: who leads since then does.
        first = step.args["primary"] if picture.new else self._run.primary(picture).name
        others = [n for n in (step.args["primary"], *step.args["replicas"]) if n != first]
        for name in (first, *others):
            member = self._run.member(picture, name)
            if not member.server.answers:
                return self._run.until(step, lambda: self._silent((first, *others)), left)
            self._require_free(picture, member, "" if name == first else first)
        head = picture.members[first].server
        if not head.leads:
            follow(self._run.client, head, "")
        for name in others:
            server = picture.members[name].server
            if server.leads or server.master != head.place:
                follow(self._run.client, server, head.place)
        for name in step.args["sentinels"]:
            if picture.watchers[name].view.answers and not picture.watchers[name].view.watches:
                monitor(self._run.client, name, head.place, self._run.wanted)

        def ready() -> str:
            seen = self._run.picture()
            late = [n for n in others if not seen.members[n].server.link_up or seen.members[n].server.leads]
            return f"{late[0]} is fetching the data of {first}" if late else disagreement(seen, step.args["sentinels"])

        return self._run.until(step, ready, left)

    def _silent(self, names: tuple[str, ...]) -> str:
        members = self._run.picture().members
        found = [f"{n} does not answer: {members[n].server.error}" for n in names if not members[n].server.answers]
        return found[0] if found else ""

    def attach(self, step: Step, left: float) -> str | None:
        """Let a server follow who leads, and wait until it has caught up."""
        name = step.args["name"]

        def look() -> str:
            picture = self._run.picture()
            head, member = self._run.primary(picture), self._run.member(picture, name)
            server = member.server
            if head.name == name:
                return ""  # it was made primary meanwhile
            if not server.answers:
                return f"{name} does not answer: {server.error}"
            if server.leads or server.master != head.server.place:
                self._require_free(picture, member, head.name)
                self._offsets.pop(name, None)
                follow(self._run.client, server, head.server.place)
                return f"{name} begins to follow {head.name}"
            since, self._offsets[name] = self._offsets.get(name), head.server.offset
            return caught_up(server, head.server, since)

        return self._run.until(step, look, left, SYNC_DEADLINE)

    def promote(self, step: Step, left: float) -> str | None:
        """Let a replica lead in place of a dead primary; the others follow it by steps of their own."""
        name, dead = step.args["name"], step.args["dead"]
        picture = self._run.picture()
        gone, heir = self._run.member(picture, dead), self._run.member(picture, name)
        if gone.server.answers:
            raise StateMoved(f"{dead} is dead", "it answers", "make the plan anew", dead)
        if any(w.view.watches for w in picture.watchers.values()):
            raise StateMoved("no Sentinel watches", "they decide who leads", "wait until they have", name)
        if not heir.server.leads:
            follow(self._run.client, heir.server, "")
        # Who is followed leads: without a Sentinel that is how the next look, and the next run, know it.
        for other in picture.members.values():
            if other.name not in (name, dead) and other.stays and other.server.answers:
                follow(self._run.client, other.server, heir.server.place)

        def look() -> str:
            return "" if self._run.picture().leader.name == name else f"{name} is taking over"

        return self._run.until(step, look, left)

    def _require_free(self, picture: Picture, member: Member, primary: str) -> None:
        """Refuse to overwrite what may be somebody's: the data of a server that is no member yet."""
        server = member.server
        if server.cluster_enabled:
            raise Refused("a server that joins runs outside of cluster mode", "cluster-enabled yes", "run site.yml")
        if member.known or not server.answers or not primary:
            return
        if server.master and server.master not in picture.places:
            remedy = "look whose it is; only then REPLICAOF NO ONE, or name another instance"
            raise Refused("a server that joins follows nobody else's", server.master, remedy, member.name)
        if server.leads and server.keys:
            raise Refused("a server that joins is empty", f"{server.keys} key(s)", "empty it, or name another",
                          member.name)  # fmt: skip
