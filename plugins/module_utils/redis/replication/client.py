# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The servers and Sentinels of one replicated cluster, by their inventory names: reading what they say.

Each method asks or does one thing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import Links, text
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import Instance, SentinelInstance
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import parse
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server, State, View
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import Access, Command, ErrorReply, NoAnswer

ASKED = ("save", "replica-priority", "min-replicas-to-write")


class ReplicationClient(Links):
    """Links to servers and Sentinels; the name of a Sentinel is never a server's, as their ports differ.

    `sentinel_password` is what a Sentinel is told to sign in at servers with; it is never printed.
    """

    def __init__(
        self, access: Access, instances: Iterable[Instance], sentinels: Iterable[SentinelInstance], cluster: str,
        sentinel_password: str = "",
    ) -> None:  # fmt: skip
        found, watching = list(instances), list(sentinels)
        super().__init__(access, [*found, *watching])
        self.servers = tuple(i.name for i in found)
        self.sentinels = tuple(s.name for s in watching)
        self.cluster = cluster
        self.sentinel_password = sentinel_password

    def state(self) -> State:
        """Return what everybody says now."""
        asks: dict[str, Callable[[str], Any]] = dict.fromkeys(self.servers, self.server)
        asks |= dict.fromkeys(self.sentinels, self.view)
        found = self.on_each(asks, lambda name: asks[name](name))
        return State(tuple(found[n] for n in self.servers), tuple(found[n] for n in self.sentinels))

    def server(self, name: str) -> Server:
        """Return what one server says; one that does not answer is a Server with an `error`."""
        where = self._where(name)
        commands: list[Command] = [("INFO",), ("ROLE",), ("CONFIG", "GET", *ASKED)]
        try:
            info, role, config = self.ask_all(name, commands)
        except NoAnswer as silent:
            return parse.silent_server(where, str(silent))
        if isinstance(info, ErrorReply):
            return parse.silent_server(where, info.text)
        words = role if isinstance(role, list) else ()
        return parse.server(where, parse.ServerAnswers(text(info), words, parse.fields(config)))

    def view(self, name: str) -> View:
        """Return what one Sentinel says; one that does not answer is a View with an `error`."""
        where, cluster = self._where(name), self.cluster
        kinds = ("MASTER", "REPLICAS", "SENTINELS", "CKQUORUM")
        commands: list[Command] = [("INFO", "server"), ("SENTINEL", "MYID")]
        commands += [("SENTINEL", kind, cluster) for kind in kinds]
        try:
            info, ident, master, replicas, others, quorum = self.ask_all(name, commands)
        except NoAnswer as silent:
            return parse.silent_sentinel(where, str(silent))
        if isinstance(info, ErrorReply):
            return parse.silent_sentinel(where, info.text)
        if isinstance(master, ErrorReply) and not master.text.startswith(parse.NOT_WATCHED):
            return parse.silent_sentinel(where, master.text)
        return parse.sentinel(
            where,
            parse.SentinelAnswers(
                text(info), text(ident), parse.fields(master), _each(replicas), _each(others), _said(quorum)
            ),
        )

    def _where(self, name: str) -> dict[str, Any]:
        place = self.instances[name]
        return {"name": name, "host": place.host, "address": place.address, "port": place.port}


def _each(reply: Any) -> list[dict[str, str]]:
    return [parse.fields(one) for one in reply] if isinstance(reply, list) else []


def _said(reply: Any) -> str:
    return reply.text if isinstance(reply, ErrorReply) else text(reply)
