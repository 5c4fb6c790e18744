# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps that change who is in a cluster and as what. See `apply.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.agreement import (
    disagreement,
    owners,
    ranges,
    spread,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.client import Client
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.state import Node
from ansible_collections.steelyard.stack.plugins.module_utils.redis.copying import caught_up
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer

SYNC_DEADLINE = 6 * 3600.0
FAILOVER_AGAIN = 8.0
"""A node gives its own failover up after five seconds, or twice its node timeout."""
RESET_TIMEOUT = 300.0
STAYS_GONE = 3.0
"""Seconds for which nobody may know a node that was forgotten: every node gossips with another each second."""


class Runner(Protocol):
    """What the steps need of the Applier."""

    client: Client

    def read(self, names: Iterable[str] | None = None) -> dict[str, Node]: ...
    def joined(self) -> dict[str, Node]: ...
    def excused(self) -> frozenset[str]: ...
    def tell(self, name: str, *words: Any, timeout: float | None = None) -> None: ...
    def until(self, step: Step, look: Callable[[], str], left: float, deadline: float = 60.0) -> str | None: ...
    def agreed(self, names: Iterable[str] | None = None) -> Callable[[], str]: ...
    def keep_replicas(self, nodes: Mapping[str, Node]) -> None: ...
    def node(self, name: str, nodes: Mapping[str, Node]) -> Node: ...
    def now(self) -> float: ...


class Members:
    """Steps by their verbs; each returns None when done, else what it waits for."""

    def __init__(self, runner: Runner) -> None:
        self._run = runner
        self._offsets: dict[str, int] = {}
        self._asked: dict[str, float] = {}
        self._gone_since: dict[str, float] = {}

    def create(self, step: Step, left: float) -> str | None:
        """Make one cluster of instances that are in none."""
        masters: Mapping[str, list[list[int]]] = step.args["masters"]
        replicas: Mapping[str, str] = step.args["replicas"]
        names = [*masters, *replicas]
        nodes = self._run.read(names)
        ours = self._require_ours(names, nodes)
        for number, name in enumerate(names, 1):
            node = nodes[name]
            if node.known_nodes == 1 and node.current_epoch == 0:
                self._run.tell(name, "CLUSTER", "SET-CONFIG-EPOCH", number)
        for name, wanted in masters.items():
            self._add_slots(nodes[name], wanted)
        self._meet(names[0], [n for n in names if nodes[n].id not in {p.id for p in nodes[names[0]].view}])

        def met() -> str:
            known = {
                n.name: {p.id for p in n.view if "handshake" not in p.flags} for n in self._run.read(names).values()
            }
            short = [n for n, seen in known.items() if not ours <= seen]
            return f"{short[0]} does not know all others yet" if short else ""

        waiting = self._run.until(step, met, left)
        if waiting:
            return waiting
        nodes = self._run.read(names)
        for name, master in replicas.items():
            self._make_replica(nodes[name], nodes[master])

        def ready() -> str:
            seen = self._run.read(names)
            late = [n for n in replicas if not seen[n].link_up or seen[n].role != REPLICA]
            return disagreement(list(seen.values())) or (f"{late[0]} is fetching its master's data" if late else "")

        return self._run.until(step, ready, left)

    def meet(self, step: Step, left: float) -> str | None:
        """Let an empty instance into the cluster, and wait until all agree, itself included."""
        name = step.args["name"]
        nodes = self._run.read()
        node = self._run.node(name, nodes)
        members = {n: m for n, m in nodes.items() if n != name and m.answers and m.known_nodes > 1}
        if not members:
            raise StateMoved("there is a cluster to join", "nobody knows another node", "make the plan anew", name)
        known = {p.id for m in members.values() for p in m.view}
        self._require_free(node, known)
        if step.args.get("reset") and node.role == REPLICA:
            self._run.tell(name, "CLUSTER", "RESET", "SOFT", timeout=RESET_TIMEOUT)
            node = self._run.read([name])[name]
        seed = max(members.values(), key=lambda m: (m.cluster_state == "ok", len(m.view), m.name))
        if not known <= {p.id for p in node.view} or node.id not in known:
            self._meet(seed.name, [name])
        self._run.keep_replicas({name: node})
        return self._run.until(step, self._run.agreed([*members, name]), left)

    def replicate(self, step: Step, left: float) -> str | None:
        """Give a replica its master, and wait until it has caught up."""
        name, master = step.args["replica"], step.args["master"]
        nodes = self._run.read()
        leader = self._leader(self._run.node(master, nodes), nodes)
        node = self._run.node(name, nodes)
        if node.id == leader.id:
            raise StateMoved(f"{name} is a replica", f"it leads the shard of {master}", "make the plan anew", name)
        self._make_replica(node, leader)

        def look() -> str:
            seen = self._run.read([name, leader.name])
            since, self._offsets[name] = self._offsets.get(name), seen[leader.name].offset
            behind = caught_up(seen[name], seen[leader.name], since)
            return behind or disagreement(list(self._run.joined().values()), dead=self._run.excused())

        return self._run.until(step, look, left, SYNC_DEADLINE)

    def handover(self, step: Step, left: float) -> str | None:
        """Let a replica take its shard over from its master, which stops writes for the moment that takes."""
        return self._take_over(step, left, ())

    def promote(self, step: Step, left: float) -> str | None:
        """Let a replica lead the shard of a master that is dead."""
        how = str(step.args["how"]).upper()
        if how not in ("FORCE", "TAKEOVER"):
            raise Refused("a dead master's replica is promoted with FORCE or TAKEOVER", how, "make the plan anew")
        return self._take_over(step, left, (how,))

    def _take_over(self, step: Step, left: float, how: tuple[str, ...]) -> str | None:
        name = step.args["replica"]

        def look() -> str:
            nodes = self._run.joined()
            node = self._run.node(name, nodes)
            answering = [n for n in nodes.values() if n.answers]
            dead = {p.id for n in answering for p in n.view if p.failed} if how else self._run.excused()
            if node.role == MASTER:
                return disagreement(answering if how else list(nodes.values()), serving=not how, dead=dead)
            if not how and (not node.link_up or node.syncing):
                return f"{name} has not caught up with its master"
            if self._run.now() - self._asked.get(step.id, -FAILOVER_AGAIN) >= FAILOVER_AGAIN:
                self._asked[step.id] = self._run.now()
                self._run.tell(name, "CLUSTER", "FAILOVER", *how)
            return f"{name} is taking over"

        return self._run.until(step, look, left)

    def forget(self, step: Step, left: float) -> str | None:
        """Let every node forget one, which then begins anew, and see that it stays gone."""
        name, gone = step.args["name"], step.args["node"]
        nodes = self._run.read()
        rest = {n: m for n, m in nodes.items() if n != name and m.answers and m.known_nodes > 1}
        self._require_leaves_nothing(name, gone, rest)

        def look() -> str:
            seen = {n: m for n, m in self._run.read(rest).items() if m.answers}
            knows = [n for n, m in seen.items() if any(p.id == gone for p in m.view)]
            for other in knows:  # all at once: who was told first would learn of it again from who was not
                self._gone_since.pop(step.id, None)
                self._forget_at(other, gone)
            if knows:
                return f"{knows[0]} still knew it"
            since = self._gone_since.setdefault(step.id, self._run.now())
            return (
                "" if self._run.now() - since >= STAYS_GONE else f"all have forgotten it; looking for {STAYS_GONE:g} s"
            )

        look()
        if step.args.get("reset") and name in nodes and nodes[name].answers and nodes[name].known_nodes > 1:
            self._run.tell(name, "CLUSTER", "RESET", "HARD", timeout=RESET_TIMEOUT)
        return self._run.until(step, look, left, 120.0)

    def assign(self, step: Step, left: float) -> str | None:
        """Give slots without owner to masters: empty, as the plan said."""
        nodes = self._run.joined()
        for name, wanted in step.args["masters"].items():
            self._add_slots(self._leader(self._run.node(name, nodes), nodes), wanted)
        return self._run.until(step, self._run.agreed(), left)

    def _require_ours(self, names: list[str], nodes: Mapping[str, Node]) -> frozenset[str]:
        """Return the ids of these instances, none of which may be in another cluster or hold data."""
        ours = frozenset(self._run.node(n, nodes).id for n in names)
        for name in names:
            node = nodes[name]
            if not node.cluster_enabled:
                raise Refused(f"{name} runs in cluster mode", "cluster-enabled no", "run site.yml for its host", name)
            foreign = [p for p in node.view if p.id not in ours and "handshake" not in p.flags]
            if foreign:
                seen = f"it knows {foreign[0].address}:{foreign[0].port}"
                raise Refused("a new instance is in no other cluster", seen, "use another, or reset it yourself", name)
            if node.keys and node.known_nodes == 1:
                raise Refused("a new instance is empty", f"{node.keys} key(s)", "use another, or empty it", name)
        return ours

    def _require_free(self, node: Node, known: set[str]) -> None:
        """Refuse who is in another cluster, or holds what joining would lose."""
        if not node.cluster_enabled:
            raise Refused("a new instance runs in cluster mode", "cluster-enabled no", "run site.yml", node.name)
        foreign = [p for p in node.view if p.id not in known and p.id != node.id and "handshake" not in p.flags]
        if foreign:
            seen = f"it knows {foreign[0].address}:{foreign[0].port}"
            raise Refused("a new instance is in no other cluster", seen, "use another, or reset it yourself", node.name)
        if node.id not in known and (node.keys or owners(p for p in node.view if p.id == node.id)):
            raise Refused("a new instance is empty", f"{node.keys} key(s)", "use another, or empty it", node.name)

    def _require_leaves_nothing(self, name: str, gone: str, rest: Mapping[str, Node]) -> None:
        """Raise StateMoved when somebody takes the leaving node for an owner of slots or a master of replicas."""
        for other, node in rest.items():
            slots = sum(b - a + 1 for p in node.view if p.id == gone for a, b in p.slots)
            replicas = [p for p in node.view if p.master_id == gone]
            if slots or any(p.id == node.id for p in replicas):
                seen = f"{slots} slot(s), {len(replicas)} replica(s)" if slots else f"{other} is its replica"
                raise StateMoved("a node that leaves has nothing any more", seen, "make the plan anew", name)

    def _forget_at(self, other: str, gone: str) -> None:
        try:
            self._run.client.ask(other, "CLUSTER", "FORGET", gone)
        except NoAnswer:
            return  # the next look says so
        except ErrorReply as reply:
            if "Unknown node" not in reply.text:
                raise

    def _add_slots(self, node: Node, wanted: Iterable[Iterable[int]]) -> None:
        own = {s for s, owner in owners(node.view).items() if owner == node.id}
        missing = [s for s in spread([list(r) for r in wanted]) if s not in own]
        if missing:
            self._run.tell(node.name, "CLUSTER", "ADDSLOTSRANGE", *(n for r in ranges(missing) for n in r))

    def _meet(self, seed: str, names: Iterable[str]) -> None:
        for name in names:
            place = self._run.client.instances[name]
            if name != seed:
                self._run.tell(seed, "CLUSTER", "MEET", place.address, place.port)

    def _make_replica(self, node: Node, master: Node) -> None:
        mine = node.myself
        if mine is None or mine.role != REPLICA or mine.master_id != master.id:
            self._offsets.pop(node.name, None)
            self._run.tell(node.name, "CLUSTER", "REPLICATE", master.id)

    def _leader(self, node: Node, nodes: Mapping[str, Node]) -> Node:
        """Return the master of a node's shard: itself, or since a failover another."""
        mine = node.myself
        if mine is None or mine.role == MASTER:
            return node
        return next((n for n in nodes.values() if n.id == mine.master_id), node)
