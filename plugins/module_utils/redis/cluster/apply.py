# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the steps of a plan of a Redis Cluster, a few seconds at a time.

Every step looks at what is, and does what is missing: a call may end, or die, anywhere, and the next goes on. While
slots move, replicas are kept from changing masters by themselves, and keys are not compressed on their way; each such
setting has an undo note for each node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import counted_on, disagreement
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.members import Members
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.moves import Mover
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.pace import Limits
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.executor import Executor
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes

MOVE_VERB = "move_slots"
WANDERING = "cluster-allow-replica-migration"
COMPRESSION = "rdbcompression"
TEMPORARY = {
    WANDERING: "replicas of {} stay where they are while it is changed",
    COMPRESSION: "keys of {} are not compressed while they move",
}
"""Settings that are `no` while slots move; where they were `yes`, an undo note says why."""


class Applier(Executor):
    """Executes steps on one cluster through `client`; `waited` is how long the first has been under way already.

    `steps` are all that remain, the first of them first: moves of slots that follow each other are done together.
    """

    client: Client

    def __init__(
        self, client: Client, wanted: ClusterSpec, nodes: Sequence[Node] = (), steps: Sequence[Step] = (),
        waited: float = 0.0, *, notes: UndoNotes | None = None, limits: Limits | None = None,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        super().__init__(client, steps, waited, clock=clock, sleep=sleep)
        self.wanted = wanted
        self.limits = limits or Limits(migrate_timeout=min(2.0, wanted.node_timeout * 0.4))
        self._steps = list(steps)
        self._notes = notes or UndoNotes()
        self._nodes = {n.name: n for n in nodes}
        self._excused: frozenset[str] = frozenset()
        members = Members(self)
        mover = Mover(self)
        self.verbs = {
            "create": members.create, "meet": members.meet, "replicate": members.replicate,
            "handover": members.handover, "promote": members.promote, "forget": members.forget,
            "assign_slots": members.assign, "finish_slots": mover.finish, MOVE_VERB: mover.move,
        }  # fmt: skip

    def together(self, step: Step) -> list[Step]:
        """Return the moves that may be done with this one: those that follow it at once."""
        ids = [s.id for s in self._steps]
        if step.id not in ids:
            return [step]
        return list(takewhile(lambda s: s.verb == MOVE_VERB, self._steps[ids.index(step.id) :])) or [step]

    def read(self, names: Iterable[str] | None = None) -> dict[str, Node]:
        """Read the members that answer or should, and return them by name."""
        found = {n.name: n for n in self.client.read(names)}
        self._nodes.update(found)
        return found

    def joined(self) -> dict[str, Node]:
        """Read the instances that are in the cluster: those that know other nodes, and those that are known and silent.

        One in maintenance that does not answer is left out; see `counted_on`.
        """
        counted, excused = counted_on(self.read().values(), self.client.instances.values())
        self._excused = excused
        return counted

    def excused(self) -> frozenset[str]:
        """Return the ids of the members that need not answer, as `joined` found them last."""
        return self._excused

    def agreed(self, names: Iterable[str] | None = None) -> Callable[[], str]:
        """Return a look at whether all that joined, or with `names` at least these, agree."""
        wanted = [] if names is None else list(names)

        def look() -> str:
            joined = self.joined()
            absent = [name for name in wanted if name not in joined]
            if absent:
                return f"{absent[0]} is not in the cluster yet"
            return disagreement(list(joined.values()), dead=self.excused())

        return look

    def keep_replicas(self, nodes: Mapping[str, Node]) -> None:
        """Keep replicas from changing masters by themselves, until `put_back`."""
        self._keep(nodes, WANDERING)

    def carry_plain(self, names: Iterable[str]) -> None:
        """Let these give their keys as they are, until `put_back`.

        A node compresses what it gives as what it saves. That is most of the time that it stands still for its clients
        (measured for values of 10 kB on Redis 7.0 and 8.0: three quarters and a half), and a network of 10 Gbit/s
        carries the difference in less. A snapshot that is saved meanwhile is larger.
        """
        self._keep(names, COMPRESSION)

    def put_back(self) -> list[str]:
        """Put temporary settings back; return the instances that could not be asked, whose notes stay."""
        silent: dict[str, None] = {}
        for name, setting in ((n, s) for n in self.client.instances for s in TEMPORARY):
            if self._notes.read(self._note(name, setting)) is None:
                continue
            try:
                current = self._setting(name, setting)
            except (NoAnswer, ErrorReply):
                silent[name] = None
                continue
            restore = partial(self.tell, name, "CONFIG", "SET", setting)
            self._notes.put_back(self._note(name, setting), current, restore)
        return list(silent)

    def _keep(self, names: Iterable[str], setting: str) -> None:
        for name in names:
            if self._setting(name, setting) == "yes":
                self._notes.write(self._note(name, setting), "yes", "no", TEMPORARY[setting].format(self.wanted.name))
                self.tell(name, "CONFIG", "SET", setting, "no")

    def _setting(self, name: str, setting: str) -> str:
        reply = self.client.ask(name, "CONFIG", "GET", setting)
        return reply[1].decode() if reply else ""

    def _note(self, name: str, setting: str) -> str:
        return f"redis-{self.wanted.name}-{name}-{setting}"

    def node(self, name: str, nodes: Mapping[str, Node]) -> Node:
        """Return a node that has to answer; raises GateNotPassed or StateMoved."""
        found = nodes.get(name)
        if found is None:
            raise StateMoved("the plan's instances are the inventory's", name, "make the plan anew")
        if not found.answers:
            raise GateNotPassed(f"{name} answers", found.error, "bring it back and run again", name)
        return found
