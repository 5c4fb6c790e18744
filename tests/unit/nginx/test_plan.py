"""The planner, by cases, and two properties of every plan it makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.cases import load_cases
from support.properties import examples

from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import parse
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Member, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import (
    after_steps,
    hold_plan,
    in_phases,
    last_balancer_refusal,
    make_plan,
    phase_of,
    resume,
)
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool, Server
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan


def balancer(host: str, raw: dict[str, Any]) -> Balancer:
    pools = {
        name: SeenPool(parse.members(pool["lines"]), pool.get("loaded", True))
        for name, pool in raw.get("pools", {}).items()
    }
    held = tuple((p, e) for p, e in raw.get("held", ()))
    return Balancer(host, **{**raw, "pools": pools, "held": held})


def read(case: dict[str, Any]) -> tuple[tuple[Pool, ...], tuple[Balancer, ...]]:
    wanted = tuple(Pool.from_dict(p) for p in case["wanted"])
    return wanted, tuple(balancer(host, raw) for host, raw in case["seen"].items())


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "plan"))
def test_case(case: dict[str, Any]) -> None:
    plan = make_plan(*read(case))
    assert [r.rule for r in plan.refusals] == case.get("refusals", [])
    if "steps" in case:
        assert [(s.id, list(s.hosts)) for s in plan.steps] == list(case["steps"].items())
    notes = case.get("notes", [])
    for note in notes:
        assert any(note in said for said in plan.notes), plan.notes


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "plan"))
def test_case_done_leaves_nothing(case: dict[str, Any]) -> None:
    wanted, seen = read(case)
    plan = make_plan(wanted, seen)
    if not plan.refusals:
        assert make_plan(wanted, [after_steps(b, plan.steps) for b in seen]).steps == ()


ADDRESSES = [f"10.0.0.{n}" for n in range(1, 6)]


@st.composite
def fleets(draw: st.DrawFn) -> tuple[tuple[Pool, ...], tuple[Balancer, ...]]:
    """Pools whose members may be anything, and balancers that hold any of them in any state."""
    pools, seen = [], {f"lb{n}": Balancer(f"lb{n}") for n in range(1, draw(st.integers(2, 3)))}
    for name in ("api", "ws")[: draw(st.integers(1, 2))]:
        states = draw(st.lists(st.sampled_from(["up", "up", "down", "removed"]), min_size=1, max_size=5))
        members = tuple(
            Member(f"h{n}", ADDRESSES[n], 8000, state, draw(st.sampled_from([1, 1, 2])))
            for n, state in enumerate(states)
        )
        known = tuple(f"h{n}" for n in range(5))
        pool = Pool(name, name, members, min_members=draw(st.integers(1, 2)), known_hosts=known)
        pools.append(pool)
        for host, one in seen.items():
            lines = [
                Server(m.address, m.port, down=draw(st.booleans()), weight=draw(st.sampled_from([1, 2])), max_fails=3,
                       fail_timeout=30, host=m.host)
                for m in members if draw(st.booleans())
            ]  # fmt: skip
            departed = draw(st.lists(st.integers(0, 4), max_size=2, unique=True))
            lines += [Server(ADDRESSES[n], 8001, down=draw(st.booleans()), host=f"h{n}") for n in departed]
            held = tuple((name, m.endpoint) for m in members if draw(st.integers(0, 9)) == 0)
            held += (("lost", "10.0.0.1:8000"),) if name == "api" and draw(st.booleans()) else ()
            found = SeenPool(tuple(lines), draw(st.integers(0, 4)) > 0)
            seen[host] = replace(one, pools={**one.pools, name: found}, held=one.held + held)
    seen["lb0"] = replace(seen["lb1"], host="lb0", excused=True, running=draw(st.booleans()))
    seen["lb9"] = Balancer("lb9", installed=False, running=False, excused=draw(st.booleans()))
    return tuple(pools), tuple(seen.values())


def left_over(wanted: tuple[Pool, ...], seen: list[Balancer]) -> tuple[str, ...]:
    assert not [h for b in seen if b.in_service for h in b.held], "no note is left"
    return tuple(s.id for s in make_plan(wanted, seen).steps)


@given(fleets())
def test_a_plan_applied_leaves_nothing(fleet: tuple[tuple[Pool, ...], tuple[Balancer, ...]]) -> None:
    wanted, seen = fleet
    plan = make_plan(wanted, seen)
    assert left_over(wanted, [after_steps(b, plan.steps) for b in seen]) == ()


@settings(max_examples=examples(300))
@given(fleets(), st.data())
def test_any_part_of_a_plan_done_goes_on_under_it(
    fleet: tuple[tuple[Pool, ...], tuple[Balancer, ...]], data: st.DataObject
) -> None:
    """Each balancer was killed after any number of its own steps: the same saved plan finishes the work."""
    wanted, seen = fleet
    saved = Plan.from_summary(make_plan(wanted, seen).summary())
    assume(not saved.refusals)
    halfway = []
    for one in seen:
        own = [s for s in saved.steps if one.host in s.hosts]
        halfway.append(after_steps(one, own[: data.draw(st.integers(0, len(own)))]))
    rest = resume(saved, wanted, halfway)
    assert {s.id for s in rest.steps} <= {s.id for s in saved.steps}
    assert left_over(wanted, [after_steps(b, rest.steps) for b in halfway]) == ()


@given(fleets())
def test_no_step_is_for_a_balancer_out_of_service_or_without_nginx(
    fleet: tuple[tuple[Pool, ...], tuple[Balancer, ...]],
) -> None:
    for step in make_plan(*fleet).steps:
        assert not {"lb0", "lb9"} & {*step.hosts, *step.args.get("before", {})}


@given(fleets())
def test_a_plan_adds_before_it_takes(fleet: tuple[tuple[Pool, ...], tuple[Balancer, ...]]) -> None:
    """And no allowed plan ever has fewer serving members on its way than the fewer of its start and its minimum."""
    wanted, seen = fleet
    plan = make_plan(wanted, seen)
    phases = [phase_of(s.verb) for s in plan.steps]
    assert phases == sorted(phases, key=["add", "drain", "remove"].index)
    if plan.refusals:
        return
    for one in seen:
        for pool in wanted if one.in_service else ():
            lowest = min(sum(s.serves for s in one.pools[pool.name].servers), pool.min_members)
            now = one
            for step in plan.for_host(one.host).steps:
                now = after_steps(now, [step])
                assert sum(s.serves for s in now.pools[pool.name].servers) >= lowest


def grown() -> tuple[tuple[Pool, ...], tuple[Balancer, ...], Plan]:
    pool = Pool("api", "api", tuple(Member(f"h{n}", ADDRESSES[n], 8000) for n in range(3)))
    seen = (
        Balancer("lb1", {"api": SeenPool(pool.servers()[:2])}),
        Balancer("lb2", {"api": SeenPool(pool.servers()[:2])}),
    )
    return (pool,), seen, make_plan((pool,), seen)


def test_a_saved_plan_refuses_another_inventory() -> None:
    wanted, seen, plan = grown()
    other = Pool("api", "api", wanted[0].members, min_members=2)
    with pytest.raises(StateMoved, match="inventory"):
        resume(plan, (other,), seen)


def test_a_saved_plan_refuses_a_member_that_somebody_changed() -> None:
    wanted, seen, plan = grown()
    strange = Server("10.0.0.3", 8000, weight=7, max_fails=3, fail_timeout=30)
    moved = Balancer("lb2", {"api": seen[1].pools["api"].with_server("10.0.0.3:8000", strange)})
    with pytest.raises(StateMoved, match=r"10\.0\.0\.3:8000"):
        resume(plan, wanted, (seen[0], moved))


def test_a_saved_plan_refuses_changed_steps() -> None:
    wanted, seen, plan = grown()
    raw = plan.summary()
    raw["steps"][0]["args"]["before"]["lb1"] = wanted[0].servers()[0].as_dict()
    with pytest.raises(StateMoved):
        resume(Plan.from_summary(raw), wanted, seen)


def test_a_saved_plan_does_not_mind_what_it_does_not_touch() -> None:
    wanted, seen, plan = grown()
    drifted = seen[0].pools["api"].with_server("10.0.0.1:8000", Server("10.0.0.1", 8000, weight=9))
    rest = resume(plan, wanted, (Balancer("lb1", {"api": drifted}), seen[1]))
    assert [s.id for s in rest.steps] == ["add/api/h2:8000"]


def test_a_saved_plan_does_not_mind_a_new_host_of_another_kind() -> None:
    wanted, seen, plan = grown()
    assert resume(plan, (replace(wanted[0], known_hosts=("redis1",)),), seen).steps == plan.steps


def test_fingerprint_rests_on_members_and_not_on_connections() -> None:
    wanted, seen, plan = grown()
    busy = Balancer("lb1", {"api": SeenPool(seen[0].pools["api"].servers, connections={"10.0.0.1:8000": 7})})
    assert make_plan(wanted, (busy, seen[1])).fingerprint == plan.fingerprint
    weighted = seen[0].pools["api"].with_server("10.0.0.3:8000", Server("10.0.0.3", 8000))
    assert make_plan(wanted, (Balancer("lb1", {"api": weighted}), seen[1])).fingerprint != plan.fingerprint


def test_hold_takes_a_host_out_and_puts_it_back() -> None:
    wanted, seen, _ = grown()
    hold = hold_plan(wanted, seen[0], ["h0"], release=False)
    assert [s.id for s in hold.steps] == ["hold/api/h0:8000"]
    assert hold.refusals == ()
    held = after_steps(seen[0], hold.steps)
    back = hold_plan(wanted, held, ["h0"], release=True)
    assert [s.id for s in back.steps] == ["unhold/api/h0:8000"]
    assert after_steps(held, back.steps).pools == seen[0].pools
    assert hold_plan(wanted, seen[0], ["h0"], release=True).steps == ()


def test_hold_again_waits_again() -> None:
    wanted, seen, _ = grown()
    held = after_steps(seen[0], hold_plan(wanted, seen[0], ["h0"], release=False).steps)
    assert [s.id for s in hold_plan(wanted, held, ["h0"], release=False).steps] == ["hold/api/h0:8000"]


def test_hold_refuses_what_would_hurt() -> None:
    wanted, seen, _ = grown()
    assert [r.rule for r in hold_plan(wanted, seen[0], ["h0", "h1"], release=False).refusals] == [
        "a pool is never emptied"
    ]


def test_hold_refuses_where_nginx_is_stopped_and_passes_who_has_nothing_to_hold() -> None:
    wanted, seen, _ = grown()
    stopped = replace(seen[0], running=False)
    assert [r.rule for r in hold_plan(wanted, stopped, ["h0"], release=False).refusals] == ["every balancer runs nginx"]
    assert hold_plan(wanted, stopped, ["other"], release=False).refusals == ()


SERVES, GONE = Balancer("lb1"), Balancer("lb3", installed=False, running=False)
LEAVES = Balancer("lb2", excused=True, leaving=True)


@pytest.mark.parametrize(
    ("balancers", "refused"),
    [
        ((SERVES, LEAVES), False),
        ((LEAVES,), True),
        ((LEAVES, replace(SERVES, excused=True)), True),
        ((LEAVES, replace(SERVES, running=False)), True),
        ((LEAVES, replace(SERVES, reachable=False)), True),
        ((LEAVES, GONE), True),
        ((replace(GONE, excused=True, leaving=True), GONE), False),
        ((replace(LEAVES, reachable=False), GONE), False),
        ((replace(SERVES, excused=True),), False),
    ],
)
def test_the_last_balancer_that_serves_does_not_leave(balancers: tuple[Balancer, ...], refused: bool) -> None:
    found = last_balancer_refusal(balancers)
    assert (found is not None) is refused
    assert (found in make_plan((), balancers).refusals) is refused


def test_phases_take_their_steps_alone() -> None:
    _, _, plan = grown()
    assert in_phases(plan.steps, "drain") == ()
    assert in_phases(plan.steps, "add") == in_phases(plan.steps, "all") == plan.steps


def test_plan_survives_json() -> None:
    _, _, plan = grown()
    assert Plan.from_summary(plan.summary()) == plan
