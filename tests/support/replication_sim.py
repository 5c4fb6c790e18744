"""A replicated cluster without servers: does the steps of a plan, wholly or half, and shows what all would answer.

It keeps Redis's own rules and fails where a step breaks one: nobody leads by a step but by a switchover or where nobody
led, who leads never ends, and there is never a second primary that Sentinels did not make. Gossip is instant.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import MASTER, REPLICA
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import (
    Follower,
    Server,
    State,
    View,
    Watched,
)


@dataclass
class SimServer:
    """`of` is the place that it follows; `data` names whose data it has."""

    name: str
    place: str
    of: str = ""
    data: str = ""
    alive: bool = True


@dataclass
class SimSentinel:
    """`leader` is the place that it watches; `others` and `replicas` are places that it knows."""

    name: str
    place: str
    leader: str = ""
    told: dict[str, float] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    replicas: set[str] = field(default_factory=set)
    alive: bool = True


class Sim:
    """Servers and Sentinels by place."""

    def __init__(self) -> None:
        self.servers: dict[str, SimServer] = {}
        self.sentinels: dict[str, SimSentinel] = {}

    def start(self, wanted: ClusterSpec) -> None:
        """Start what the inventory names and does not run yet, alone."""
        self.wanted = wanted
        for one in wanted.instances:
            place = f"{one.address}:{one.port}"
            self.servers.setdefault(place, SimServer(one.name, place, data=f"own {place}"))
        for watcher in wanted.sentinel.instances if wanted.sentinel else ():
            place = f"{watcher.address}:{watcher.port}"
            self.sentinels.setdefault(place, SimSentinel(watcher.name, place))

    def stop(self, wanted: ClusterSpec) -> None:
        """Stop what the inventory no longer has; nobody may know it any more."""
        kept = {f"{i.address}:{i.port}" for i in wanted.instances}
        watching = {f"{s.address}:{s.port}" for s in (wanted.sentinel.instances if wanted.sentinel else ())}
        for place in set(self.servers) - kept:
            gone = self.servers.pop(place)
            assert not gone.alive or (not gone.of and gone.data == f"own {place}"), f"{gone.name} is still a member"
            assert all(place not in s.replicas for s in self.sentinels.values()), f"{gone.name} is still known"
        for place in set(self.sentinels) - watching:
            left = self.sentinels.pop(place)
            assert not left.leader, f"{left.name} still watches"
            assert all(place not in s.others for s in self.sentinels.values()), f"{left.name} is still known"

    def learn(self) -> None:
        """Let those who watch the same learn of each other, and of who follows."""
        for one in self.sentinels.values():
            if not one.leader:
                one.others, one.replicas = set(), set()
                continue
            peers = [s for s in self.sentinels.values() if s.alive and s.leader == one.leader and s is not one]
            one.others |= {s.place for s in peers}
            one.replicas |= {s.place for s in self.servers.values() if s.alive and s.of == one.leader}

    def answers(self) -> State:
        """Return what all say."""
        places = {s.name: s for s in self.servers.values()}
        views = {s.name: s for s in self.sentinels.values()}
        watching = self.wanted.sentinel.instances if self.wanted.sentinel else ()
        return State(
            tuple(self._server(places[i.name], i.host, i.address, i.port) for i in self.wanted.instances),
            tuple(self._view(views[s.name], s.host, s.address, s.port) for s in watching),
        )

    def _server(self, one: SimServer, host: str, address: str, port: int) -> Server:
        if not one.alive:
            return Server(one.name, host, address, port, error="Connection refused")
        followers = tuple(Follower(s.place) for s in self.servers.values() if s.alive and s.of == one.place)
        return Server(
            one.name, host, address, port, role=REPLICA if one.of else MASTER, master=one.of,
            link="connected" if one.of else "", offset=100, replid=one.data, followers=followers, version="8.0.2",
            keys=0 if one.data == f"own {one.place}" else 5,
        )  # fmt: skip

    def _view(self, one: SimSentinel, host: str, address: str, port: int) -> View:
        if not one.alive:
            return View(one.name, host, address, port, error="Connection refused")
        if not one.leader:
            return View(one.name, host, address, port)
        dead = {p for p, s in self.servers.items() if not s.alive}
        dead |= {p for p, s in self.sentinels.items() if not s.alive}
        seen = [tuple(Watched(p, ("s_down",) if p in dead or p not in {**self.servers, **self.sentinels} else ())
                      for p in sorted(known)) for known in (one.replicas, one.others)]  # fmt: skip
        told = one.told
        return View(
            one.name, host, address, port, leader=one.leader, flags=("master",), quorum=int(told["quorum"]),
            down_after=told["down-after-milliseconds"] / 1000, failover_timeout=told["failover-timeout"] / 1000,
            parallel_syncs=int(told["parallel-syncs"]), replicas=seen[0], others=seen[1],
        )  # fmt: skip

    def leader(self) -> SimServer:
        """Return who leads, by the Sentinels or, without them, by who is followed or has data."""
        votes = [s.leader for s in self.sentinels.values() if s.alive and s.leader]
        if votes:
            return self.servers[max(set(votes), key=votes.count)]
        lead = {s.of for s in self.servers.values() if s.alive and s.of in self.servers}
        found = [s for s in self.servers.values() if not s.of and s.alive and (s.place in lead or s.data == "ours")]
        assert len(found) == 1, found
        return found[0]

    def by_name(self, name: str) -> SimServer:
        return next(s for s in self.servers.values() if s.name == name)

    def apply(self, step: Step) -> None:
        """Do a step."""
        getattr(self, f"_{step.verb}")(step)
        self.learn()

    def half(self, step: Step, rng: random.Random) -> None:
        """Do a part of a step, as one that was killed."""
        args = step.args
        if step.verb == "create" and rng.random() < 0.8:
            head = self._head(step)
            others = [n for n in (args["primary"], *args["replicas"]) if n != head.name]
            for name in others[: rng.randrange(len(others) + 1)]:
                self._follow(self.by_name(name), head.place)
        elif step.verb == "forget" and rng.random() < 0.8:
            self._end(step)
            watching = [s for s in self.sentinels.values() if s.alive and s.leader]
            for one in watching[: rng.randrange(len(watching) + 1)]:
                self._reset(one, args["place"])
        elif step.verb == "switchover" and rng.random() < 0.7:
            old, new = self.leader(), self.by_name(args["to"])
            new.of = ""
            for sentinel in self.sentinels.values():
                self._repoint(sentinel, new.place, old.place)
            for each in self.servers.values():
                if each not in (old, new) and each.of == old.place and (self.sentinels or rng.random() < 0.5):
                    each.of = new.place
            if not self.sentinels:
                old.of = new.place  # the server's own FAILOVER swaps both at once
        elif rng.random() < 0.5:
            self.apply(step)
        self.learn()

    def fail_over(self, rng: random.Random) -> None:
        """Let the Sentinels replace the primary, which comes back as one."""
        old = self.leader()
        able = [s for s in self.servers.values() if s.alive and s.of == old.place]
        if not able or not any(s.leader for s in self.sentinels.values()):
            return
        new = rng.choice(able)
        new.of = ""
        for one in self.servers.values():
            if one.alive and one.of == old.place:
                one.of = new.place
        for sentinel in self.sentinels.values():
            self._repoint(sentinel, new.place, old.place)
        self.learn()

    def _repoint(self, one: SimSentinel, new: str, old: str) -> None:
        if one.leader == old:
            one.leader = new
            one.replicas = (one.replicas | {old}) - {new}

    def _follow(self, one: SimServer, place: str) -> None:
        assert one.place != place
        one.of, one.data = place, "ours"

    def _head(self, step: Step) -> SimServer:
        """Return who leads what is created: whom the plan says, or since an election another."""
        begun = any(s.of or s.data == "ours" for s in self.servers.values())
        head = self.leader() if begun else self.by_name(step.args["primary"])
        head.of, head.data = "", "ours"
        return head

    def _create(self, step: Step) -> None:
        head = self._head(step)
        for name in (step.args["primary"], *step.args["replicas"]):
            if name != head.name:
                self._follow(self.by_name(name), head.place)
        for name in step.args["sentinels"]:
            self._monitor(name, head.place)

    def _monitor(self, name: str, place: str) -> None:
        one = next(s for s in self.sentinels.values() if s.name == name)
        if one.leader != place:
            one.leader, one.others, one.replicas = place, set(), set()
        one.told = dict(judge.told(self.wanted))

    def _attach(self, step: Step) -> None:
        one, head = self.by_name(step.args["name"]), self.leader()
        assert one is not head, "who leads is never made a replica"
        self._follow(one, head.place)
        head.data = "ours"

    def _watch(self, step: Step) -> None:
        self._monitor(step.args["name"], self.leader().place)

    def _tune(self, step: Step) -> None:
        one = next(s for s in self.sentinels.values() if s.name == step.args["name"])
        one.told.update(step.args["settings"])

    def _switchover(self, step: Step) -> None:
        old, new = self.leader(), self.by_name(step.args["to"])
        if old is new or (step.args["away"] and old.name not in step.args["away"]):
            new = old  # somebody leads who may: all others are to follow
        else:
            assert new.of == old.place, f"{new.name} has not the data of {old.name}"
        new.of = ""
        for one in self.servers.values():
            if one is not new and one.alive and one.data == "ours":
                one.of = new.place
        for sentinel in self.sentinels.values():
            self._repoint(sentinel, new.place, old.place)

    def _end(self, step: Step) -> None:
        place = step.args["place"]
        if step.args["kind"] == "server" and place in self.servers:
            assert self.leader().place != place, "who leads does not end"
            self.servers[place].alive = False
        if step.args["kind"] == "sentinel" and place in self.sentinels:
            self.sentinels[place].leader = ""

    def _forget(self, step: Step) -> None:
        self._end(step)
        for one in self.sentinels.values():
            self._reset(one, step.args["place"])

    def _reset(self, one: SimSentinel, place: str) -> None:
        """What it knew is gone; what is there it learns again."""
        if one.alive and place in one.others | one.replicas:
            one.others, one.replicas = set(), set()
