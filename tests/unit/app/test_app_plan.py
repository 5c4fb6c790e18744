"""The planner over cases in data files, and its promise over simulated hosts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.app_hosts import OLD, app_class, as_seen, converged, instances, simulate
from support.cases import load_cases
from support.properties import examples

from ansible_collections.steelyard.stack.plugins.module_utils.app import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import Slice
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, make_plan, restart_needed
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen, SeenRelease


def seen_of(raw: dict[str, Any], whole: Slice) -> Seen:
    """Build a host from a case: `like` is the inventory it was converged with, the rest is what differs."""
    if "like" not in raw:
        seen = Seen()
    else:
        seen = converged(instances(classes_of(raw["like"]), groups=groups_of(raw["like"])), whole)
    for port, change in (raw.get("instances") or {}).items():
        now = seen.instances[int(port)]
        seen = replace(seen, instances={**seen.instances, int(port): replace(now, **change)})
    for name, python in (raw.get("pythons") or {}).items():
        seen = replace(seen, releases={**seen.releases, name: replace(seen.releases[name], python=python)})
    for name, state in (raw.get("releases") or {}).items():
        found = SeenRelease(
            name, *([] if state == "partial" else [f"sha256:{'0' * 64}", float(state)]), complete=state != "partial"
        )
        seen = replace(seen, releases={**seen.releases, name: found}, leftovers=("releases",))
    for name in raw.get("without_files") or ():
        seen = replace(seen, files={p: f for p, f in seen.files.items() if not p.endswith(name)})
    for path, content in (raw.get("files") or {}).items():
        template = replace(next(iter(as_seen(unit_files.host_files(instances({"api": app_class()}), whole)).values())))
        seen = replace(seen, files={**seen.files, path: replace(template, content=content)})
    return replace(seen, **(raw.get("host") or {}))


def classes_of(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: app_class(**(more or {})) for name, more in raw.items()}


def groups_of(raw: dict[str, Any]) -> tuple[str, ...]:
    return tuple(raw)


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases"))
def test_case(case: dict[str, Any]) -> None:
    whole = Slice(200, 2**30)
    wanted = case["wanted"]
    options = {"groups": groups_of(wanted["classes"]), **wanted.get("host", {})}
    wish = Wish(
        instances(classes_of(wanted["classes"]), **options) if wanted["classes"] else (),
        whole, host="api1", remove=wanted.get("remove", False), restart=wanted.get("restart", "never"),
        ports=tuple(wanted.get("ports", ())), started_before=wanted.get("started_before", 0),
        python=wanted.get("python", ""),
    )  # fmt: skip
    seen = seen_of(case["seen"], whole)
    plan = make_plan(seen, wish)
    if "refusal" in case:
        assert [r.rule for r in plan.refusals] == [case["refusal"]]
        assert plan.steps == ()
        assert all(r.remedy for r in plan.refusals)
    else:
        assert plan.refusals == ()
        assert [s.id for s in plan.steps] == case["steps"]
    assert list(restart_needed(seen, wish)) == case.get("restart_needed", [])
    for words in case.get("notes", ()):
        assert any(words in note for note in plan.notes)


VERSIONS = st.sampled_from(["1.0.0", "1.1.0", "2.0.0"])
CLASSES = st.fixed_dictionaries(
    {},
    optional={
        name: st.builds(
            lambda version, ports, secret, keep: app_class(
                version, ports=ports, secrets={"TOKEN": secret}, keep_releases=keep
            ),
            VERSIONS, st.lists(st.sampled_from(ports), unique=True, max_size=3), st.sampled_from(["a", "b"]),
            st.integers(1, 3),
        )
        for name, ports in (("api", [8000, 8001, 8002]), ("workers", [9000, 9001]))
    },
)  # fmt: skip
STATES = st.sampled_from(["present", "maintenance", "leaving"])
FULL = {"groups": ("api", "workers")}


@st.composite
def wishes(draw: st.DrawFn, **fixed: Any) -> Wish:
    wanted = instances(draw(CLASSES), app_state=draw(STATES), **FULL)
    options = {"remove": draw(st.booleans()), "restart": draw(st.sampled_from(["never", "needed"])), **fixed}
    return Wish(wanted, Slice(100, 2**30), host="api1", **options)


@st.composite
def hosts(draw: st.DrawFn) -> Seen:
    """A host left by an earlier inventory, killed anywhere in its last change, with things broken by hand."""
    seen = converged(instances(draw(CLASSES), **FULL), Slice(50, 2**30))
    before = draw(wishes())
    steps = make_plan(seen, before).steps
    for step in steps[: draw(st.integers(0, len(steps)))]:
        seen = simulate(seen, before, step)
    for port in sorted(seen.instances):
        broken = draw(st.sampled_from(["no", "no", "failed", "crashing", "unready", "disabled", "unknown", "unproven"]))
        change: dict[str, Any] = {
            "no": {}, "failed": {"active": "failed", "config": "", "release": "", "ready": False},
            "crashing": {"active": "crashing", "ready": False}, "unready": {"ready": False},
            "disabled": {"enabled": False}, "unknown": {"config": OLD, "release": ""},
            "unproven": {"good_config": "", "good_release": ""},
        }[broken]  # fmt: skip
        seen = replace(seen, instances={**seen.instances, port: replace(seen.instances[port], **change)})
    if draw(st.booleans()):
        old = SeenRelease("demo-0.9.0", "sha256:0", 0.5, complete=draw(st.booleans()))
        seen = replace(seen, releases={**seen.releases, old.id: old}, leftovers=("releases",))
    return seen


@settings(max_examples=examples(300))
@given(hosts(), wishes())
def test_a_plan_applied_leaves_nothing_to_do(seen: Seen, wish: Wish) -> None:
    plan = make_plan(seen, wish)
    for step in plan.steps:
        seen = simulate(seen, wish, step)
    assert [s.id for s in make_plan(seen, wish).steps] == []


@settings(max_examples=examples(200))
@given(hosts(), wishes(), st.data())
def test_a_plan_killed_anywhere_is_finished_by_the_next(seen: Seen, wish: Wish, data: st.DataObject) -> None:
    first = make_plan(seen, wish)
    whole = seen
    for step in first.steps:
        whole = simulate(whole, wish, step)
    for step in first.steps[: data.draw(st.integers(0, len(first.steps)))]:
        seen = simulate(seen, wish, step)
    for step in make_plan(seen, wish).steps:
        seen = simulate(seen, wish, step)
    assert seen.instances == whole.instances
    assert seen.files == whole.files
    assert seen.current == whole.current
    assert set(seen.releases) == set(whole.releases)


@settings(max_examples=examples(200))
@given(hosts(), wishes(restart="never", remove=False))
def test_site_neither_restarts_nor_stops_what_runs(seen: Seen, wish: Wish) -> None:
    plan = make_plan(seen, wish)
    assert not {s.verb for s in plan.steps} & {"restart", "stop", "remove", "clean", "drop class"}
    started = {int(s.subject) for s in plan.steps if s.verb == "start"}
    assert not started & {p for p, i in seen.instances.items() if i.running}


@settings(max_examples=examples(100))
@given(hosts(), wishes(remove=True))
def test_with_removal_only_placed_instances_stay(seen: Seen, wish: Wish) -> None:
    for step in make_plan(seen, wish).steps:
        seen = simulate(seen, wish, step)
    assert set(seen.instances) <= {i.port for i in wish.placed}
    if not wish.placed:
        assert seen == Seen(loaded=seen.loaded)


def test_steps_and_fingerprints_hold_no_secret() -> None:
    wish = Wish(instances({"api": app_class(secrets={"TOKEN": "open-sesame"})}), Slice(), host="api1")
    plan = make_plan(Seen(), wish)
    assert "open-sesame" not in str(plan.summary())
    assert "open-sesame" not in plan.as_table()


def test_another_secret_is_another_fingerprint_and_needs_a_restart() -> None:
    old, new = (instances({"api": app_class(secrets={"TOKEN": value})}) for value in "ab")
    seen, wish = converged(old, Slice()), Wish(new, Slice(), host="api1")
    assert restart_needed(seen, wish) == (8000,)
    assert make_plan(seen, wish).fingerprint != make_plan(seen, Wish(old, Slice(), host="api1")).fingerprint
