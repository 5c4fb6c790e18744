"""Whom a scaling step concerns and in which order it is done: case by case, and over whole simulated fleets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.cases import load_cases
from support.properties import examples
from support.world import World, as_seen_table, make_fleet, settled

from ansible_collections.steelyard.stack.plugins.module_utils import scale
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model as nginx
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import scaling as redis

CASES = Path(__file__).parent / "cases"


def pool_step(words: str) -> Step:
    """Return the step of `add api3 on lb1 lb2`."""
    verb, host, _on, *balancers = words.split()
    host, _at, endpoint = host.partition("@")  # a member that is named by its endpoint is no longer placed there
    member = f"{host}@{endpoint}" if endpoint else f"{host}:8000"
    return Step(f"{verb}/api/{member}", verb, f"{host}:8000 in api", hosts=tuple(balancers), args={"host": host})


def plan_of(service: str, cluster: str, raw: dict[str, Any]) -> Plan:
    """Return a service's plan of a case; its steps are `verb subject`."""
    make = (
        pool_step if service == "nginx" else lambda w: Step(w.replace(" ", "/", 1), *w.split(" ", 1), hosts=(cluster,))
    )
    refusals = tuple(Refusal(rule, "seen", "remedy") for rule in raw.get("refusals", ()))
    steps = tuple(make(words) for words in raw.get("steps", ()))
    return Plan(service, cluster, steps, refusals, tuple(raw.get("notes", ())), raw.get("fingerprint", "f"))


def answers_of(fleet: Fleet, seen: dict[str, Any]) -> scale.Answers:
    of_hosts = {
        service: {host: plan_of(service, host, raw) for host, raw in seen.get(service, {}).items()}
        for service in ("app", "redis", "firewall")
    }
    pools = tuple(plan_of("nginx", "main", raw) for raw in seen.get("pools", ()))
    present = [h.name for h in fleet.group("load_balancers") if h.state_of("nginx") == "present"]
    balancers = tuple(seen.get("balancers", present))
    return scale.Answers(pools, **of_hosts, balancers=balancers, retiring=tuple(seen.get("retiring", ())),
                         lease_left=seen.get("lease_left", False), clusters=clusters_of(fleet, seen))  # fmt: skip


def clusters_of(fleet: Fleet, seen: dict[str, Any]) -> tuple[scale.Located, ...]:
    """Return the one cluster of the fleet as a case has found it; its steps are `verb instance`."""
    wanted = redis.clusters(fleet)
    return tuple(
        scale.Located(
            "redis", "sessions", raw["coordinator"], cluster_plan(fleet, raw), redis.hosts(wanted[0]),
            knows=raw.get("knows", True), left=raw.get("left", False),
        )
        for raw in seen.get("clusters", ())
    )  # fmt: skip


def cluster_plan(fleet: Fleet, raw: dict[str, Any]) -> Plan:
    plan = plan_of("redis", "sessions", raw)
    everybody = tuple(h.name for h in fleet.group("redis"))
    steps = (replace(s, hosts=everybody, args={"name": s.subject} if ":" in s.subject else {}) for s in plan.steps)
    return replace(plan, steps=tuple(steps))


def asked(fleet: Fleet, look: str) -> Fleet:
    """Return the fleet as a run with `-e steelyard_look=…` has it."""
    return Fleet(tuple(replace(h, vars={**h.vars, scale.LOOK: look}) for h in fleet.hosts)) if look else fleet


def test_who_is_asked_for_is_in_the_inventory() -> None:
    fleet = make_fleet(lb1="present", api1="present", worker1="leaving")
    assert scale.asked_for(asked(fleet, "worker1, api1")) == ("worker1", "api1")
    assert scale.asked_for(asked(fleet, "all")) == ("api1", "worker1")
    with pytest.raises(Refused, match="api9"):
        scale.asked_for(asked(fleet, "api1,api9"))


@pytest.mark.parametrize("case", load_cases(CASES))
def test_case(case: dict[str, Any]) -> None:
    fleet = asked(make_fleet(case.get("vars", {}), **case["fleet"]), case.get("look", ""))
    answers = answers_of(fleet, case["seen"])
    plan = scale.assemble(fleet, answers)
    looks = scale.looks(fleet, answers.pools, answers.clusters)
    asked_of = {"look_app": sorted(looks.app), "look_redis": sorted(looks.redis)}
    found = {
        "look": list(looks.hosts),
        **{part: names for part, names in asked_of.items() if part in case["wanted"]},
        "parts": {host: list(own) for host, own in scale.parts(fleet, answers).items()},
        "steps": [s.id for s in plan.steps],
        "refusals": [r.rule for r in plan.refusals],
        "notes": list(plan.notes),
    }
    assert found == {"refusals": [], "notes": [], **case["wanted"]}
    assert len({s.id for s in plan.steps}) == len(plan.steps)
    assert all(s.hosts for s in plan.steps)


def scaled(world: World) -> None:
    """Do what the plays of scale.yml do; raises AssertionError where somebody could not be served on the way."""
    answers = world.look()
    own = scale.parts(world.fleet, answers)
    join, drop, serve, leave, busy = (
        [h for h, of_host in own.items() if part in of_host] for part in ("join", "drop", "serve", "leave", "balance")
    )
    world.set_firewalls(join, keep=True)
    world.apply_apps(join)
    world.apply_apps(drop, remove=True)
    world.set_firewalls(serve, keep=True)
    before = world.members()
    for host in set(scale.hosts_to_look_at(world.fleet, answers.pools)) & world.apps.keys() - set(leave):
        assert not world.lost(host), f"a run killed after the pools changed would not look at {host} again"
    for phase in ("add", "drain", "remove") if busy else ():
        world.balance(answers.pools[0], phase)
        for host in world.members() - before:
            assert world.runs(host), f"{host} was added before it ran"
            serving = [n for n in scale.hosts_serving(world.fleet, [host]) if not scale.leaving(world.fleet.host(n))]
            assert all(world.lets_in(name, host) for name in serving), f"{host} is shut out"
    for host in leave:
        assert host not in world.members(), f"{host} is stopped while it is a member"
    world.apply_apps(leave, remove=True)
    world.set_firewalls({*serve, *leave}, keep=False)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Fleets as runs that were killed anywhere may leave them: any host may be half in or half out."""
    states = st.sampled_from(["present", "present", "leaving"])
    hosts = {f"lb{n}": "present" for n in range(1, draw(st.integers(1, 2)) + 1)}
    hosts |= {f"api{n}": draw(states) for n in range(1, draw(st.integers(2, 4)) + 1)}
    hosts |= {f"worker{n}": draw(states) for n in range(1, draw(st.integers(1, 2)) + 1)}
    fleet = make_fleet(**hosts)
    programs = [n for n in hosts if not n.startswith("lb")]
    more = {"app_ports": {"api": [8000, 8001], "workers": [9000, 9001]}}  # a port that was taken from the host since
    apps = {n: draw(st.sampled_from([settled(fleet, n), settled(fleet, n, **more), Seen()])) for n in programs}
    everybody = make_fleet(**dict.fromkeys(hosts, "present"))
    (pool,) = nginx.wanted_pools(everybody)
    # Who is a member runs: it was proved when it was added. And who runs as a member is let in.
    lines = [s for s in pool.servers() if apps[s.host].instances]
    balancers = {}
    for name in sorted(hosts.keys() - set(programs)):
        of_this = tuple(draw(st.sampled_from([s, s, replace(s, down=True)])) for s in lines if draw(st.booleans()))
        balancers[name] = Balancer(name, {"api": SeenPool(of_this)})
    world = World(fleet, balancers, apps, {})
    world.tables = {name: draw(tables(world, everybody, name)) for name in hosts}
    return world


@st.composite
def tables(draw: st.DrawFn, world: World, everybody: Fleet, host: str) -> Any:
    """Return a firewall that lets in the members, and any of the others."""
    if host in world.apps and not world.apps[host].instances and draw(st.booleans()):
        return None
    whole = as_seen_table(World(everybody, {}, {}, {}).table(host), None, keep=True)
    # Balancers are let in by site.yml, which installs them; of the others, members were let in before they were added.
    members = {everybody.host(n).address for n in (*world.members(), *world.balancers)}
    kept = {e for _kind, found in whole.sets.values() for e in found if e in members or draw(st.booleans())}
    return replace(whole, sets={n: (kind, tuple(e for e in own if e in kept)) for n, (kind, own) in whole.sets.items()})


@settings(max_examples=examples(40))
@given(worlds())
def test_scaled_once_nothing_is_left_to_do(world: World) -> None:
    assume(not scale.assemble(world.fleet, world.look()).refusals)
    scaled(world)
    answers = world.look()
    assert scale.assemble(world.fleet, answers).steps == ()
    assert scale.parts(world.fleet, answers) == {}
    gone = [h.name for h in world.fleet.hosts if scale.leaving(h)]
    assert not world.members() & set(gone)
    assert not any(world.apps[name].instances for name in gone if name in world.apps)
    assert all(world.runs(h.name) for h in world.fleet.hosts if h.name in world.apps and h.name not in gone)


@settings(max_examples=examples(40))
@given(worlds())
def test_the_plan_holds_every_service_steps_once_and_in_order(world: World) -> None:
    answers = world.look()
    plan = scale.assemble(world.fleet, answers)
    assert len({s.id for s in plan.steps}) == len(plan.steps)
    stay = [h.name for h in world.fleet.hosts if not scale.leaving(h)]
    stays = {"add_elements": True, "stop": False}  # where the order matters: of those that stay, or of those that leave
    verbs = [s.verb if (s.hosts[0] in stay) == stays.get(s.verb, s.hosts[0] in stay) else "" for s in plan.steps]
    changes = [n for n, s in enumerate(plan.steps) if s.verb in ("add", "enable") and s.id.startswith(s.verb)]
    if changes:
        assert "start" not in verbs[changes[0] :]
        assert "add_elements" not in verbs[changes[0] :]
    takes = [n for n, verb in enumerate(verbs) if verb == "drain"]
    if takes:
        assert not {"stop", "remove_elements"} & set(verbs[: takes[-1]])


def test_a_plan_is_another_when_a_service_plan_is() -> None:
    fleet = make_fleet(lb1="present", api1="present")
    raw = {"pools": [{"steps": ["add api1 on lb1"], "fingerprint": "a"}]}
    one = scale.assemble(fleet, answers_of(fleet, raw))
    raw["pools"][0]["fingerprint"] = "b"
    other = scale.assemble(fleet, answers_of(fleet, raw))
    assert one.steps == other.steps
    assert one.fingerprint != other.fingerprint
    assert Plan.from_summary(one.summary()) == one
