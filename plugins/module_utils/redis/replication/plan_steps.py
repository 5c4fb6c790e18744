# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps of a replicated cluster's plan, each made in one place. Pure, values in and out.

`args.start` is what the step rests on, and what the fingerprint covers: members and stated settings, never who leads,
nor how far anybody is. `plan.py` says what each step does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.rates import Rates, count_text
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.copies import resync
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.picture import (
    SENTINEL,
    SERVER,
    Picture,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.state import Server
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size

CREATE, ATTACH, PROMOTE, SWITCHOVER = "create", "attach", "promote", "switchover"
WATCH, TUNE, FORGET = "watch", "tune", "forget"
_SECONDS = {CREATE: 10.0, PROMOTE: 3.0, WATCH: 5.0, TUNE: 1.0}
"""What the gates of a step take about; what moves data is reckoned."""
_SWITCH = {True: 15.0, False: 2.0}
"""With Sentinels: they look at replicas every ten seconds, and have to see first whom they are to choose."""
_RESET = 5.0


@dataclass(frozen=True)
class Steps:
    """Makes the steps of one cluster."""

    picture: Picture

    @property
    def _name(self) -> str:
        return self.picture.wanted.name

    def _hosts(self, names: Iterable[str]) -> tuple[str, ...]:
        hosts = {**{n: m.server.host for n, m in self.picture.members.items()},
                 **{n: w.view.host for n, w in self.picture.watchers.items()}}  # fmt: skip
        return tuple(dict.fromkeys(hosts[n] for n in names if n in hosts))

    def _all(self, *more: str) -> tuple[str, ...]:
        """Return the hosts of all that have a say, and some more."""
        return self._hosts([*more, *(w.name for w in self.picture.watching())])

    def create(self, primary: str, replicas: Iterable[str], sentinels: Iterable[str]) -> Step:
        followers, watching = list(replicas), list(sentinels)
        parts = [f"{primary} leads", f"{len(followers)} replica(s)", f"{len(watching)} Sentinel(s)"]
        return Step(
            id=f"create/{self._name}", verb=CREATE, subject=self._name, detail=", ".join(parts),
            seconds=_SECONDS[CREATE], hosts=self._hosts([primary, *followers, *watching]),
            args={"primary": primary, "replicas": followers, "sentinels": watching, "start": {"members": []}},
        )  # fmt: skip

    def attach(self, name: str, primary: str) -> Step:
        member, head = self.picture.members[name], self.picture.members[primary].server
        takes = resync(member.server, head)
        size = takes.missing if not takes.full else head.used_memory if head.answers else None
        seconds = None if size is None else round(size / Rates().size + 1.0, 1)
        return Step(
            id=f"attach/{name}", verb=ATTACH, subject=f"{name} to {primary}", detail=self._how(member.server, head),
            bytes=size, seconds=seconds, hosts=self._hosts([name, primary]),
            args={"name": name, "full": takes.full, "start": {"joined": member.known}},
        )  # fmt: skip

    def _how(self, replica: Server, head: Server) -> str:
        """Say what attaching takes, whom it followed, and what is lost."""
        takes = resync(replica, head)
        keys = f", {count_text(head.keys)} keys" if head.keys else ""
        backlog = f"backlog {format_size(head.backlog_size)}" if head.backlog_size else "no backlog"
        said = [f"full sync{keys}" if takes.full else f"partial sync, {format_size(takes.missing)} missing", backlog]
        if replica.answers and replica.leads and self.picture.members[replica.name].known:
            said.insert(0, "was primary" + (f", {format_size(takes.lost)} that only it has are lost" if takes.lost
                                            else ""))  # fmt: skip
        elif replica.answers and replica.master and replica.master != head.place:
            said.insert(0, f"followed {self.picture.places.get(replica.master, replica.master)}")
        return "; ".join(said)

    def promote(self, name: str, dead: str) -> Step:
        heir = self.picture.members[name].server
        return Step(
            id=f"promote/{name}", verb=PROMOTE, subject=f"{dead} → {name}", disruption="brief",
            detail=f"{dead} is dead; offset {heir.offset}: newer writes are lost", seconds=_SECONDS[PROMOTE],
            hosts=self._hosts([name]), args={"name": name, "dead": dead, "start": self._members()},
        )  # fmt: skip

    def switchover(self, target: str, away: Iterable[str], why: str) -> Step:
        watched = bool(self.picture.watchers)
        return Step(
            id=f"switchover/{target}", verb=SWITCHOVER, subject=f"{self.picture.leader.name} → {target}", detail=why,
            seconds=_SWITCH[watched], disruption="brief", hosts=self._all(self.picture.leader.name, target),
            args={"to": target, "away": sorted(away), "start": self._members()},
        )  # fmt: skip

    def _members(self) -> dict[str, Any]:
        return {"members": sorted(n for n, m in self.picture.members.items() if m.stays)}

    def watch(self, name: str) -> Step:
        view, known = self.picture.watchers[name].view, self.picture.watchers[name].known
        if view.watches and view.leader != self.picture.leader.place:
            detail = f"watches {self.picture.places.get(view.leader, view.leader)}, which does not lead"
        else:
            detail = "is not known by all, or does not know all" if view.watches and known else "joins"
        return Step(
            id=f"watch/{name}", verb=WATCH, subject=name, detail=detail, seconds=_SECONDS[WATCH],
            hosts=self._all(name), args={"name": name, "start": {"watches": view.watches}},
        )  # fmt: skip

    def tune(self, name: str, now: Mapping[str, float], wanted: Mapping[str, float]) -> Step:
        differ = {k: int(v) for k, v in wanted.items() if now.get(k) != v}
        detail = ", ".join(f"{k} {int(now.get(k, 0))} → {v}" for k, v in differ.items())
        start = {k: int(now.get(k, 0)) for k in differ}
        return Step(
            id=f"tune/{name}", verb=TUNE, subject=name, detail=detail, seconds=_SECONDS[TUNE],
            hosts=self._hosts([name]), args={"name": name, "settings": differ, "start": start},
        )  # fmt: skip

    def forget(self, kind: str, name: str, place: str, answers: bool) -> Step:
        """Of an inventory's instance by its name, of a stranger by its place."""
        count = len(self.picture.watching())
        rest = f"{count} Sentinel(s) forget it, one at a time" if count else "its primary forgets it"
        does = {SERVER: "ends", SENTINEL: "watches no more"}[kind]
        return Step(
            id=f"forget/{name}", verb=FORGET, subject=name, detail=f"{does if answers else 'is dead'}; {rest}",
            seconds=2.0 + _RESET * count, hosts=self._all(name),
            args={"kind": kind, "name": name, "place": place, "start": {"joined": True}},
        )  # fmt: skip
