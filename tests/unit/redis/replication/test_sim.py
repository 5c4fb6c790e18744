"""Plans of thousands of random replicated clusters, applied to a simulation: valid, nothing left, also after kills."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.properties import examples
from support.replication_sim import Sim

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    REPLICATION,
    ClusterSpec,
    Instance,
    Sentinel,
    SentinelInstance,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication import judge
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.health import judge as health
from ansible_collections.steelyard.stack.plugins.module_utils.redis.replication.plan import make_plan, resume

profile = settings(max_examples=examples(300), suppress_health_check=list(HealthCheck))
LETTERS = {"present": "", "leaving": "l", "maintenance": "m"}
NO_HEIR = "the last copy of data is not removed"


def read(line: str) -> ClusterSpec:
    """An inventory on one line, as hypothesis prints it: `1 2l 3m / 1 2 3l 4 / 2`: servers, Sentinels, quorum."""
    servers, watching, quorum = (part.split() for part in line.split("/"))
    states = {letter: state for state, letter in LETTERS.items()}
    found = [(int(w.rstrip("lm")), states[w.lstrip("0123456789")]) for w in servers]
    views = [(int(w.rstrip("lm")), states[w.lstrip("0123456789")]) for w in watching]
    instances = tuple(Instance("s", f"r{n}", f"10.0.0.{n}", 6379, "", state) for n, state in found)
    sentinels = tuple(SentinelInstance("s", f"r{n}", f"10.0.0.{n}", 26379, "", state) for n, state in views)
    sentinel = Sentinel("redis", quorum=int(quorum[0]), instances=sentinels) if sentinels else None
    return ClusterSpec("s", REPLICATION, instances, primary=instances[0].host, sentinel=sentinel)


def written(servers: dict[int, str], sentinels: dict[int, str], quorum: int) -> str:
    lines = [" ".join(f"{n}{LETTERS[s]}" for n, s in sorted(one.items())) for one in (servers, sentinels)]
    return f"{lines[0]} / {lines[1]} / {quorum}"


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """A cluster, and what its inventory wants next, again and again."""
    servers = dict.fromkeys(range(1, draw(st.integers(2, 4)) + 1), "present")
    sentinels = dict.fromkeys(range(1, draw(st.sampled_from([0, 3, 4, 5])) + 1), "present")
    found = [written(servers, sentinels, 2)]
    for _ in range(draw(st.integers(1, 4))):
        for hosts, least in ((servers, 1), (sentinels, 3)):
            for number in [n for n, s in hosts.items() if s == "leaving"]:
                del hosts[number]
            for number in list(hosts):
                what = draw(st.sampled_from(["", "", "", "leaving", "maintenance", "present"]))
                stay = [n for n, s in hosts.items() if s != "leaving" and n != number]
                hosts[number] = what if what and (what != "leaving" or len(stay) >= least) else hosts[number]
            if hosts and draw(st.booleans()):
                hosts[max(hosts) + 1] = "present"
        staying = [n for n, s in sentinels.items() if s != "leaving"]
        found.append(written(servers, sentinels, draw(st.integers(1, max(1, len(staying))))))
    return found


def assert_valid(sim: Sim, wanted: ClusterSpec) -> None:
    leader = sim.leader()
    members = {i.name: i for i in wanted.instances}
    assert members[leader.name].stays
    resting = all(i.state != "present" for i in wanted.instances)
    assert members[leader.name].state == "present" or resting
    for one in wanted.staying:
        server = sim.by_name(one.name)
        assert server is leader or server.of == leader.place
    for one in wanted.instances:
        assert one.stays or not sim.by_name(one.name).alive or not sim.by_name(one.name).of
    staying = [s for s in (wanted.sentinel.instances if wanted.sentinel else ()) if s.stays]
    places = {f"{s.address}:{s.port}" for s in staying}
    for view in [s for s in sim.sentinels.values() if s.place in places]:
        assert view.leader == leader.place
        assert view.others == places - {view.place}
        assert view.told == judge.told(wanted)
        assert view.replicas <= {sim.by_name(i.name).place for i in wanted.staying}


def converge(sim: Sim, wanted: ClusterSpec, rng: random.Random | None = None, to: str = "") -> bool:
    """Plan and apply until nothing is left; with `rng` killed up to three times. False where it is refused."""
    sim.start(wanted)
    plan = make_plan(wanted, sim.answers(), switchover_to=to)
    if plan.refusals:
        assert {r.rule for r in plan.refusals} == {NO_HEIR}, plan.as_table()
        return False
    for _ in range(rng.randrange(4) if rng else 0):
        stop = rng.randrange(len(plan.steps)) if rng and plan.steps else 0
        for step in plan.steps[:stop]:
            sim.apply(step)
        if rng and plan.steps:
            sim.half(plan.steps[stop], rng)
        plan = make_plan(wanted, sim.answers(), switchover_to=to)
        assert not plan.refusals, plan.as_table()
    for step in plan.steps:
        sim.apply(step)
    again = make_plan(wanted, sim.answers(), switchover_to=to)
    assert not again.steps and not again.refusals, again.as_table()
    assert_valid(sim, wanted)
    assert health(wanted, sim.answers()).ok or len(wanted.staying) < 2, health(wanted, sim.answers()).as_table()
    return True


def rest_of(wanted: ClusterSpec) -> ClusterSpec:
    """The inventory without who has left."""
    servers = " ".join(i.host[1:] for i in wanted.instances if i.stays)
    watching = " ".join(s.host[1:] for s in (wanted.sentinel.instances if wanted.sentinel else ()) if s.stays)
    return read(f"{servers} / {watching} / 1")


@profile
@given(histories())
def test_a_plan_applied_leaves_nothing(history: list[str]) -> None:
    sim = Sim()
    for wanted in map(read, history):
        if not converge(sim, wanted):
            return
        sim.stop(rest_of(wanted))


@profile
@given(histories(), st.integers(0, 2**32))
def test_a_killed_plan_is_finished_by_the_next(history: list[str], seed: int) -> None:
    sim, rng = Sim(), random.Random(seed)
    for wanted in map(read, history):
        if not converge(sim, wanted, rng):
            return
        sim.stop(rest_of(wanted))


def finish(sim: Sim, saved: Plan, wanted: ClusterSpec, rng: random.Random, elections: bool) -> bool:
    """Kill a saved plan anywhere and go on under it, three times; then to its end. False where it is unfit."""
    for _ in range(3):
        try:
            left = resume(saved, wanted, sim.answers())
        except StateMoved:
            assert elections
            return False
        assert elections or not left.refusals, left.as_table()
        if left.refusals:
            return False
        stop = rng.randrange(len(left.steps) + 1)
        for step in left.steps[:stop]:
            sim.apply(step)
        if stop < len(left.steps):
            sim.half(left.steps[stop], rng)
        if elections and rng.random() < 0.5 and any(s.leader for s in sim.sentinels.values()):
            sim.fail_over(rng)
    if not elections:
        for step in resume(saved, wanted, sim.answers()).steps:
            sim.apply(step)
        assert not resume(saved, wanted, sim.answers()).steps
    return True


@profile
@given(histories(), st.integers(0, 2**32), st.booleans())
def test_a_saved_plan_goes_on(history: list[str], seed: int, elections: bool) -> None:
    """Killed anywhere, three times, under the same plan. An election may make it unfit: then it says so."""
    sim, rng = Sim(), random.Random(seed)
    for wanted in map(read, history):
        sim.start(wanted)
        present = [i.name for i in wanted.instances if i.state == "present"]
        saved = make_plan(wanted, sim.answers())
        if not saved.steps and not saved.refusals and present:
            saved = make_plan(wanted, sim.answers(), switchover_to=rng.choice(present))
        if saved.refusals or not finish(sim, Plan.from_summary(saved.summary()), wanted, rng, elections):
            return
        if not converge(sim, wanted):
            return
        sim.stop(rest_of(wanted))


@profile
@given(histories(), st.integers(0, 2**32))
def test_the_dead_are_replaced(history: list[str], seed: int) -> None:
    """A host dies, with its Sentinel; the others elect another primary where they may; then the host leaves."""
    sim, rng = Sim(), random.Random(seed)
    wanted = read(history[0])
    if not wanted.sentinel or not converge(sim, wanted):
        return
    dead = rng.choice(sim.wanted.instances)
    if sim.leader().name == dead.name:
        sim.fail_over(rng)
    sim.by_name(dead.name).alive = False
    for one in sim.sentinels.values():
        if one.name.split(":")[0] == dead.host:
            one.alive = False
    number = int(dead.host[1:])
    servers = {int(i.host[1:]): "present" for i in wanted.instances} | {number: "leaving", 11: "present"}
    sentinels = {int(s.host[1:]): "present" for s in wanted.sentinel.instances} | {12: "present"}
    if number in sentinels:
        sentinels[number] = "leaving"
    replaced = read(written(servers, sentinels, 2))
    assert converge(sim, replaced, rng)


@settings(profile, max_examples=examples(100, share=3))
@given(histories(), st.integers(0, 2**32))
def test_a_returned_primary_follows(history: list[str], seed: int) -> None:
    sim, rng = Sim(), random.Random(seed)
    wanted = read(history[0])
    if not converge(sim, wanted):
        return
    sim.fail_over(rng)
    leads = sim.leader().name
    assert converge(sim, wanted)
    assert sim.leader().name == leads, "who leads is the Sentinels' business"


@settings(profile, max_examples=examples(100, share=3))
@given(histories(), st.integers(0, 2**32))
def test_switched_over(history: list[str], seed: int) -> None:
    sim, rng = Sim(), random.Random(seed)
    wanted = read(history[0])
    if converge(sim, wanted):
        to = rng.choice(wanted.instances).name
        assert converge(sim, wanted, rng, to)
        assert sim.leader().name == to
