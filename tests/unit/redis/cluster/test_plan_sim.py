"""Plans of thousands of random clusters, applied to a simulation: valid, balanced, nothing left, also after kills."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.cluster_sim import Sim
from support.properties import examples

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.resume import resume
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.slots import (
    ALL,
    ranges_of,
    slots_of,
    uneven,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec, Instance

profile = settings(max_examples=examples(120), suppress_health_check=list(HealthCheck))
UNEVEN = {slot: 1 + (slot * 7919) % 100 for slot in range(16384)}
PLACING = {"the copies of a shard are on different hosts", "every shard has a master"}


def spec(hosts: Sequence[tuple[int, str]], ports: int, zones: int, replicas: int) -> ClusterSpec:
    instances = tuple(
        Instance("s", f"r{h}", f"10.0.0.{h}", 7000 + p, f"z{h % zones}" if zones else "", state)
        for h, state in hosts
        for p in range(ports)
    )
    return ClusterSpec("s", "cluster", instances, replicas)


def allowed(wanted: ClusterSpec) -> bool:
    return not list(judge.judge_wanted(wanted))


LETTERS = {"present": "", "leaving": "l", "maintenance": "m"}


def written(hosts: Sequence[tuple[int, str]], ports: int, zones: int, replicas: int) -> str:
    """An inventory on one line, as hypothesis prints it: `1 port(s), 2 zones, 0 replicas: 1 2l 3m`."""
    return f"{ports} ports, {zones} zones, {replicas} replicas: " + " ".join(f"{h}{LETTERS[s]}" for h, s in hosts)


def read(line: str) -> ClusterSpec:
    """Read back what `written` wrote."""
    said, hosts = line.split(": ")
    ports, zones, replicas = (int(part.split()[0]) for part in said.split(", "))
    states = {letter: state for state, letter in LETTERS.items()}
    return spec([(int(h.rstrip("lm")), states[h.lstrip("0123456789")]) for h in hosts.split()], ports, zones, replicas)


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """A cluster, and what its inventory wants next, again and again."""
    ports, zones = draw(st.integers(1, 2)), draw(st.integers(0, 3))
    hosts = [(h, "present") for h in range(1, draw(st.integers(3, 8)) + 1)]
    replicas = draw(st.integers(0, 2))
    found = [written(hosts, ports, zones, replicas)]
    if not allowed(read(found[0])):
        hosts, replicas = [(h, "present") for h in range(1, 7)], 1
        found = [written(hosts, ports, zones, replicas)]
    for _ in range(draw(st.integers(1, 3))):
        hosts = [(h, s) for h, s in hosts if s != "leaving"]
        former = hosts, replicas
        last = max(h for h, _ in hosts)
        what = draw(st.sampled_from(["grow", "shrink", "replace", "zone", "replicas", "maintenance", "back"]))
        if what in ("grow", "replace"):
            hosts += [(last + n, "present") for n in range(1, draw(st.integers(1, 3)) + 1)]
        if what in ("shrink", "replace"):
            going = draw(st.sets(st.sampled_from([h for h, _ in hosts]), max_size=2))
            hosts = [(h, "leaving" if h in going else s) for h, s in hosts]
        if what == "zone" and zones:
            gone = draw(st.integers(0, zones - 1))
            hosts = [(h, "leaving" if h % zones == gone else s) for h, s in hosts]
        if what == "maintenance":
            resting = draw(st.sampled_from([h for h, _ in hosts]))
            hosts = [(h, "maintenance" if h == resting else s) for h, s in hosts]
        if what == "back":
            hosts = [(h, "present" if s == "maintenance" else s) for h, s in hosts]
        if what == "replicas":
            replicas = draw(st.integers(0, 2))
        if allowed(spec(hosts, ports, zones, replicas)):
            found.append(written(hosts, ports, zones, replicas))
        else:
            hosts, replicas = former
    return found


def assert_valid(sim: Sim, wanted: ClusterSpec) -> None:
    sim.check()
    assert sim.owned() == ALL
    members = {n.name: n for n in sim.cluster()}
    present = {i.name for i in wanted.instances if i.state == "present"}
    known = {i.name for i in wanted.instances if i.state != "leaving"}
    assert present <= set(members) <= known, "who is to be a member is one, and nobody else"
    assert all(set(members) == m.knows for m in members.values())
    assert not any(m.migrating or m.importing or m.stale for m in members.values())
    masters = [m for m in members.values() if not m.master]
    assert len([m for m in masters if m.slots]) == wanted.wanted_shards
    shards = {m.name: [n for n in members.values() if m.name in (n.name, n.master)] for m in masters if m.slots}
    for shard in shards.values():
        hosts = Counter(n.instance.host for n in shard)
        assert max(hosts.values()) == 1, f"two copies on one host: {[n.name for n in shard]}"
    resting = any(i.state == "maintenance" for i in wanted.instances)
    if not resting:
        assert all(m.slots for m in masters), "nobody is left without a shard"
        assert all(len(shard) >= 1 + wanted.replicas for shard in shards.values())
        counts = [m.slots.bit_count() for m in masters]
        if wanted.balance_by == "slots":
            assert uneven(dict(enumerate(counts)), range(len(counts))) <= wanted.threshold  # type: ignore[arg-type]


def least_moves(sim: Sim, plan: Plan, wanted: ClusterSpec) -> int:
    """The fewest slots that must move until the wanted shards, of those that stay, differ by one at most."""
    counts = {n.name: n.slots.bit_count() for n in sim.nodes.values() if n.slots}
    given = Counter[str]()
    for step in plan.steps:
        if step.verb == "move_slots":
            given[step.args["source"]] += sum(b - a + 1 for a, b in step.args["slots"])
    gone = [n for n in counts if given[n] == counts[n]]
    stay = sorted((c for n, c in counts.items() if n not in gone), reverse=True)
    each, over = divmod(16384, wanted.wanted_shards)
    return sum(counts[n] for n in gone) + sum(max(0, c - each - (n < over)) for n, c in enumerate(stay))


def converge(sim: Sim, wanted: ClusterSpec, rng: random.Random | None = None, repair: bool = False) -> Plan | None:
    """Plan and apply until nothing is left; with `rng` killed up to three times. None where it is refused."""
    sim.start(wanted)
    first = plan = make_plan(wanted, sim.answers(), repair=repair)
    assert {r.rule for r in plan.refusals} <= PLACING, plan.as_table()
    if plan.refusals:
        return None
    for _ in range(rng.randrange(4) if rng else 0):
        stop = rng.randrange(len(plan.steps)) if rng and plan.steps else 0
        for step in plan.steps[:stop]:
            sim.apply(step)
        if rng and plan.steps:
            sim.half(plan.steps[stop], rng)
        plan = make_plan(wanted, sim.answers(), repair=repair)
        assert not plan.refusals, plan.as_table()
    for step in plan.steps:
        sim.apply(step)
    again = make_plan(wanted, sim.answers())
    assert not again.steps and not again.refusals, again.as_table()
    assert_valid(sim, wanted)
    return first


@profile
@given(histories())
def test_a_plan_applied_leaves_nothing(history: list[str]) -> None:
    sim = Sim()
    for wanted in map(read, history):
        sim.start(wanted)
        before = {n.name: n.slots for n in sim.nodes.values()}
        plan = make_plan(wanted, sim.answers())
        moved = sum(
            b - a + 1 for s in plan.steps if s.verb == "move_slots" for a, b in s.args["slots"]
        )  # fmt: skip
        least = least_moves(sim, plan, wanted) if any(before.values()) else 0
        if converge(sim, wanted) is None:
            return
        assert moved in (0, least)
        sim.stop(replace(wanted, instances=tuple(i for i in wanted.instances if i.state != "leaving")))


@profile
@given(histories(), st.integers(0, 2**32))
@example(["1 ports, 0 zones, 0 replicas: 1 2 3 4", "1 ports, 0 zones, 0 replicas: 1 2 3 4l 5l 6"], 1)
def test_a_killed_plan_is_finished_by_the_next(history: list[str], seed: int) -> None:
    sim, rng = Sim(), random.Random(seed)
    for wanted in map(read, history):
        if converge(sim, wanted, rng) is None:
            return
        sim.stop(replace(wanted, instances=tuple(i for i in wanted.instances if i.state != "leaving")))


@settings(profile, max_examples=examples(12, share=10))
@given(histories(), st.sampled_from(["keys", "bytes"]), st.integers(0, 2**32))
def test_by_weight(history: list[str], by: str, seed: int) -> None:
    sim, rng = Sim(), random.Random(seed)
    for wanted in [replace(read(w), balance_by=by) for w in history]:
        if converge(sim, wanted, rng if sim.keys else None) is None:
            return
        sim.stop(replace(wanted, instances=tuple(i for i in wanted.instances if i.state != "leaving")))
        loads = {n.name: float(sum(UNEVEN[s] for s in slots_of(n.slots))) for n in sim.nodes.values() if n.slots}
        assert not sim.keys or uneven(loads, list(loads)) <= wanted.threshold
        sim.keys = UNEVEN


def finish(sim: Sim, saved: Plan, wanted: ClusterSpec, rng: random.Random, elections: bool) -> None:
    """Kill a saved plan anywhere and go on under it, three times; then to its end.

    Elections may make a plan unfit (one who leaves may lead): then it says so, before anything is done.
    """
    for _ in range(3):
        try:
            left = resume(saved, wanted, sim.answers())
        except StateMoved:
            assert elections
            return
        assert not left.refusals
        stop = rng.randrange(len(left.steps) + 1)
        for step in left.steps[:stop]:
            sim.apply(step)
        if stop < len(left.steps):
            sim.half(left.steps[stop], rng)
        known = set.intersection(set(sim.nodes), *(n.knows for n in sim.cluster()))
        followers = [n for n in sim.nodes.values() if n.name in known and n.master and sim.leader(n.name).slots]
        if followers and elections:
            sim.fail_over(rng.choice(followers).name)
    if not elections:
        for step in resume(saved, wanted, sim.answers()).steps:
            sim.apply(step)
        assert not resume(saved, wanted, sim.answers()).steps
        assert not make_plan(wanted, sim.answers()).steps


@profile
@given(histories(), st.integers(0, 2**32), st.booleans())
def test_a_saved_plan_goes_on(history: list[str], seed: int, elections: bool) -> None:
    sim, rng = Sim(), random.Random(seed)
    for wanted in map(read, history):
        sim.start(wanted)
        saved = Plan.from_summary(make_plan(wanted, sim.answers()).summary())
        if saved.refusals:
            return
        finish(sim, saved, wanted, rng, elections)
        if converge(sim, wanted) is None:
            return
        sim.stop(replace(wanted, instances=tuple(i for i in wanted.instances if i.state != "leaving")))


@profile
@given(histories(), st.integers(0, 2**32))
@example(["2 ports, 0 zones, 0 replicas: 1 2 3"], 16941)
def test_dead_hosts_are_replaced(history: list[str], seed: int) -> None:
    """A host dies, perhaps within a move; its shards have a new master already, or have not, or never get one."""
    sim, rng = Sim(), random.Random(seed)
    wanted = read(history[0])
    if converge(sim, wanted) is None:
        return
    masters = [n for n in sim.nodes.values() if n.slots]
    source, target = rng.sample(masters, 2)
    sim.half_move(source, target, slots_of(source.slots)[-9:], rng)
    hosts = sorted({int(i.host[1:]) for i in wanted.instances})
    dead = rng.choice(hosts)
    for instance in wanted.instances:
        if instance.host == f"r{dead}":
            sim.die(instance.name, followed=rng.random() < 0.5)
    zones = len({i.zone for i in wanted.instances if i.zone})
    ports = len({i.port for i in wanted.instances})
    states = [(h, "leaving" if h == dead else "present") for h in [*hosts, hosts[-1] + 1]]
    replaced = spec(states, ports, zones, wanted.replicas)
    if converge(sim, replaced, rng, repair=True):
        sim.stop(spec([(h, s) for h, s in states if s != "leaving"], ports, zones, wanted.replicas))


def test_ranges_stay_few() -> None:
    """Each move cuts one range in two at most."""
    sim, moves = Sim(), 0
    for last in (6, 8, 10, 12, 14, 10, 6):
        hosts = [
            (h, "present" if h <= last else "leaving") for h in range(1, 15) if h <= last or f"r{h}:7000" in sim.nodes
        ]
        plan = converge(sim, spec(hosts, 1, 0, 1))
        assert plan is not None
        moves += sum(s.verb == "move_slots" for s in plan.steps)
        sim.stop(spec([(h, s) for h, s in hosts if s != "leaving"], 1, 0, 1))
    assert sum(len(ranges_of(n.slots)) for n in sim.nodes.values()) <= 3 + moves
