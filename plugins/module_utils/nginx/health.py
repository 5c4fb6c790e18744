# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether balancers are well, and whether a member or a balancer may be stopped. Pure: no Ansible, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.health import BAD, NOTE, WARNING, Finding, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.parse import StubStatus
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool

MAX_OLD_GENERATIONS = 4
"""Each old generation holds its workers' memory and connections until its last connection ends."""


@dataclass(frozen=True)
class Answers:
    """What the members and sites answered when a balancer asked them; an empty word means well.

    `members` by (pool, endpoint): asked directly. `through` by pool: asked through the balancer. `sites` by name.
    """

    members: Mapping[tuple[str, str], str] = field(default_factory=dict, hash=False)
    through: Mapping[str, str] = field(default_factory=dict, hash=False)
    sites: Mapping[str, str] = field(default_factory=dict, hash=False)

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON types."""
        members = [{"pool": pool, "endpoint": at, "said": said} for (pool, at), said in self.members.items()]
        return {"members": members, "through": dict(self.through), "sites": dict(self.sites)}

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Answers:
        """Read back what `as_dict` wrote."""
        members = {(m["pool"], m["endpoint"]): m["said"] for m in raw.get("members", ())}
        return cls(members, dict(raw.get("through", {})), dict(raw.get("sites", {})))


def judge(wanted: Sequence[Pool], balancer: Balancer, answers: Answers, status: StubStatus | None = None) -> Verdict:
    """Return whether one balancer serves every pool with enough members that answer."""
    return Verdict.of(_findings(wanted, balancer, answers, status))


def _findings(
    wanted: Sequence[Pool], balancer: Balancer, answers: Answers, status: StubStatus | None
) -> Iterator[Finding]:
    host = balancer.host
    if not balancer.reachable or not balancer.installed or not balancer.running:
        seen = "is unreachable" if not balancer.reachable else "runs no nginx"
        yield Finding(BAD, f"{host} {seen}", "it balances nothing", "see systemctl status nginx there")
        return
    for pool in wanted:
        yield from _pool_findings(pool, balancer, answers)
    for name, said in answers.sites.items():
        if said:
            yield Finding(BAD, f"site {name} on {host}: {said}", "clients are not served", "see its error log")
    if balancer.old_generations > MAX_OLD_GENERATIONS:
        seen = f"{balancer.old_generations} generations of old workers on {host}"
        yield Finding(WARNING, seen, "long connections outlive reloads", "lower worker_shutdown_timeout")
    if status and status.dropped:
        seen = f"{status.dropped} connections dropped on {host} since it started"
        yield Finding(WARNING, seen, "worker_connections or open files had run out", "raise nginx_settings")
    drift = make_plan(wanted, [balancer]).steps
    if drift:
        seen = ", ".join(s.id for s in drift)
        yield Finding(NOTE, seen, "scale pending: membership is not what the inventory says", "run scale.yml")


def _pool_findings(pool: Pool, balancer: Balancer, answers: Answers) -> Iterator[Finding]:
    host = balancer.host
    seen = balancer.pools.get(pool.name)
    if seen is None:
        yield Finding(BAD, f"no pool {pool.name} on {host}", "its sites cannot be served", "run site.yml")
        return
    if not seen.loaded:
        yield Finding(BAD, f"{pool.name} on {host}", "its members are written but not loaded", "run scale.yml")
    for server in seen.servers:
        said = answers.members.get((pool.name, server.endpoint), "")
        if said and not server.down:
            yield Finding(WARNING, f"{server.endpoint} of {pool.name}: {said}", f"{host} passes it by", "look there")
    serving = len(healthy(pool, seen, answers))
    if serving < pool.min_members:
        means = f"fewer than its {pool.min_members} required members serve"
        yield Finding(BAD, f"{serving} healthy in {pool.name} on {host}", means, "see the members' units")
    if answers.through.get(pool.name):
        seen_through = f"{pool.name} through {host}: {answers.through[pool.name]}"
        yield Finding(BAD, seen_through, "requests fail", "see the error log of nginx there")


def healthy(pool: Pool, seen: SeenPool, answers: Answers) -> tuple[str, ...]:
    """Return the endpoints that serve and answer when they are asked directly."""
    return tuple(s.endpoint for s in seen.servers if s.serves and not answers.members.get((pool.name, s.endpoint), ""))


def ok_to_stop(wanted: Iterable[Pool], balancers: Mapping[str, tuple[Balancer, Answers]], member: str) -> Verdict:
    """Return whether `member` may be stopped: an application host, or one of the balancers themselves.

    On every balancer each of its pools keeps its required number of healthy members without it; and while a
    balancer stops, another one lives.
    """
    return Verdict.of([*_balancer_stop(balancers, member), *_member_stop(tuple(wanted), balancers, member)])


def _balancer_stop(balancers: Mapping[str, tuple[Balancer, Answers]], member: str) -> Iterator[Finding]:
    if member not in balancers:
        return
    others = [b.host for b, _answers in balancers.values() if b.host != member and b.reachable and b.running]
    if not others:
        yield Finding(BAD, f"{member} is the only balancer that lives", "nothing would be served", "add another one")


def _member_stop(
    wanted: Sequence[Pool], balancers: Mapping[str, tuple[Balancer, Answers]], member: str
) -> Iterator[Finding]:
    for pool in wanted:
        own = {m.endpoint for m in pool.members if m.host == member}
        if not own:
            continue
        for balancer, answers in balancers.values():
            seen = balancer.pools.get(pool.name)
            if seen is None or not balancer.reachable:
                continue
            left = [e for e in healthy(pool, seen, answers) if e not in own]
            serves = any(s.serves and s.endpoint in own for s in seen.servers)
            if serves and len(left) < pool.min_members:
                seen_left = f"{len(left)} other healthy members of {pool.name} on {balancer.host}"
                means = f"the pool would have fewer than {pool.min_members}"
                yield Finding(BAD, seen_left, means, "bring others back first, or add some")
