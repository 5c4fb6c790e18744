# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the steps of a plan of a replicated cluster, a few seconds at a time.

Every step looks at what is, and does what is missing: a call may end, or die, anywhere, and the next goes on. Who leads
is asked anew each time. Temporary settings of a switchover have undo notes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.executor import Executor
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import plan_steps
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.client import ReplicationClient
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.followers import Followers
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import Member, Picture, look
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.switchover import Switchover
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.watchers import Watchers
from ansible_collections.steelyard.stack.plugins.module_utils.undo import UndoNotes


class Applier(Executor):
    """Executes steps on one cluster through `client`; `waited` is how long the first has been under way already."""

    client: ReplicationClient

    def __init__(
        self, client: ReplicationClient, wanted: ClusterSpec, steps: Sequence[Step] = (), waited: float = 0.0, *,
        notes: UndoNotes | None = None, clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        super().__init__(client, steps, waited, clock=clock, sleep=sleep)
        self.wanted = wanted
        self.notes = notes or UndoNotes()
        followers, watchers = Followers(self), Watchers(self)
        self._switchover = Switchover(self)
        self.verbs = {
            plan_steps.CREATE: followers.create, plan_steps.ATTACH: followers.attach,
            plan_steps.PROMOTE: followers.promote, plan_steps.SWITCHOVER: self._switchover.switch,
            plan_steps.WATCH: watchers.watch, plan_steps.TUNE: watchers.tune, plan_steps.FORGET: watchers.forget,
        }  # fmt: skip

    def picture(self) -> Picture:
        """Return what is there now."""
        return look(self.wanted, self.client.state())

    def primary(self, picture: Picture) -> Member:
        """Return the member that leads and takes writes; raises GateNotPassed where nobody does."""
        found = picture.primary
        if found is None:
            why = picture.leader.why or f"{picture.leader.place} is none of them"
            raise GateNotPassed("a member leads", why, "wait until the Sentinels agree, and run again")
        if not found.server.leads:
            why = found.server.error or f"{found.name} follows {found.server.master}"
            raise GateNotPassed("who leads takes writes", why, "wait until it does, and run again", found.name)
        return found

    def member(self, picture: Picture, name: str) -> Member:
        """Return a member of the plan; raises StateMoved where the inventory has none of that name."""
        if name not in picture.members:
            raise StateMoved("the plan's instances are the inventory's", name, "make the plan anew")
        return picture.members[name]

    def put_back(self) -> list[str]:
        """Put temporary settings back; return the instances that could not be asked, whose notes stay."""
        return self._switchover.put_back()
