"""Plans of a host: cases as data files, and that a plan that was done leaves nothing to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import redis_hosts
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.plan import (
    make_plan,
    restart_reasons,
    unplaced,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Note, Seen, SeenOne

HERE = Path(__file__).parent


@pytest.mark.parametrize("case", load_cases(HERE / "cases" / "plan"))
def test_plan(case: dict[str, Any]) -> None:
    """A case has `wish` and `seen`, and `steps` (ids, or ids with a part of their detail), `refusals` or `notes`."""
    wish = redis_hosts.wish(case.get("wish", {}))
    plan = make_plan(redis_hosts.seen(case.get("seen", {}), wish), wish)
    refusals = [f"{r.rule}: {r.seen} {r.remedy}" for r in plan.refusals]
    assert len(refusals) == len(case.get("refusals", [])), refusals
    assert all(part in text for part, text in zip(case.get("refusals", []), refusals, strict=True)), refusals
    wanted = [step if isinstance(step, dict) else {step: ""} for step in case.get("steps", [])]
    assert [s.id for s in plan.steps] == [name for step in wanted for name in step]
    details = [part for step in wanted for part in step.values()]
    assert all(part in s.detail for part, s in zip(details, plan.steps, strict=True)), [s.detail for s in plan.steps]
    assert len(plan.notes) == len(case.get("notes", [])), plan.notes
    assert all(part in note for part, note in zip(case.get("notes", []), plan.notes, strict=True)), plan.notes


def test_no_plan_shows_a_secret() -> None:
    wish = redis_hosts.wish({"servers": [{"secrets": {"masterauth": "neuesgeheimnis"}}], "watchers": [{}]})
    seen = redis_hosts.seen_as_wanted(wish)
    ones = {
        "7000": replace(seen.ones["7000"], live={**seen.ones["7000"].live, "masterauth": "altesgeheimnis"}),
        "sentinel-26379": replace(seen.ones["sentinel-26379"], note=Note()),
    }
    plan = make_plan(replace(seen, ones=ones), wish)
    assert [s.id for s in plan.steps] == ["set/7000", "set/sentinel-26379", "prove/sentinel-26379"]
    assert not [word for word in ("neuesgeheimnis", "altesgeheimnis", "geheim") if word in str(plan.summary())]


def done(seen: Seen, wish: Wish) -> Seen:
    """Return the host after every step of its plan was done, as each step says what it does."""
    wanted = redis_hosts.seen_as_wanted(wish)
    ones = dict(seen.ones)
    for step in make_plan(seen, wish).steps:
        key = step.subject
        if step.verb in ("silence", "hold", "reload", "clean"):
            seen = replace(
                seen,
                **{"silence": {"quiet": True}, "hold": {"held": True}, "reload": {"loaded": True}}.get(
                    step.verb, {"leftovers": ()}
                ),
            )
        elif step.verb == "configure":
            seen = replace(seen, files=wanted.files)
        elif step.verb == "remove":
            ones.pop(key)
        elif step.verb == "stop":
            ones[key] = replace(ones[key], active="inactive")
        else:
            there, now = wanted.ones[key], ones.get(key, SeenOne(key))
            changed = {
                "create": {"own": True},
                "enable": {"enabled": True},
                "start": {"active": "active", "enabled": True, "started_with": there.started_with, "unit": there.unit, "live": there.live,
                          "users": there.users, "categories": there.categories, "version": there.version, "error": "", "loading": False, "started": 5000.0},
                "set": {"live": {**now.live, **{n: v for n, v in there.live.items() if n != "io-threads"}},
                        "note": replace(now.note, secrets=there.note.secrets)},
                "set users": {"users": there.users, "note": there.note},
                "prove": {"note": there.note, "error": "", "loading": False},
            }  # fmt: skip
            changed["restart"] = {**changed["start"]}
            ones[key] = replace(now, **changed[step.verb])
    return replace(seen, ones=ones)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Wish, Seen]:
    """A wish and a host that is anywhere between nothing and all of it, with leftovers of others."""
    ports = draw(st.lists(st.sampled_from([7000, 7001, 7002]), unique=True, max_size=3))
    states = st.sampled_from(["present", "present", "maintenance", "leaving"])
    servers = [
        {
            "port": p,
            "state": draw(states),
            "settings": draw(st.sampled_from([{}, {"maxmemory": 99999999}, {"io-threads": 2}])),
        }
        for p in ports
    ]
    watchers = [{}] if draw(st.booleans()) else []
    wish = redis_hosts.wish({
        "servers": servers, "watchers": watchers, "remove": draw(st.booleans()), "hold": draw(st.booleans()),
        "restart": draw(st.sampled_from(["never", "needed"])),
    })  # fmt: skip
    usual = redis_hosts.wish({"servers": [{"port": p} for p in (7000, 7001, 7002)], "watchers": [{}]})
    seen = redis_hosts.seen_as_wanted(usual)
    ones = {}
    for key, one in seen.ones.items():
        if draw(st.booleans()):
            active = draw(st.sampled_from(["active", "active", "inactive", "failed", "crashing"]))
            gone = {} if active == "active" else {"live": {}, "started_with": {}, "unit": "", "users": ()}
            other = {"note": Note()} if draw(st.booleans()) else {}
            ones[key] = replace(
                one,
                active=active,
                enabled=draw(st.booleans()),
                own=active == "active" or draw(st.booleans()),
                **gone,
                **other,
            )
    files = {p: f for p, f in seen.files.items() if draw(st.booleans())}
    return wish, replace(
        seen, ones=ones, files=files, held=draw(st.booleans()), quiet=draw(st.booleans()), loaded=draw(st.booleans())
    )


@given(situations())
def test_what_was_done_is_not_done_again(situation: tuple[Wish, Seen]) -> None:
    wish, seen = situation
    plan = make_plan(seen, wish)
    assert plan.refusals == ()
    after = make_plan(done(seen, wish), wish)
    assert [s.id for s in after.steps] == []


@given(situations())
def test_nothing_that_runs_is_stopped_unless_asked(situation: tuple[Wish, Seen]) -> None:
    wish, seen = situation
    plan = make_plan(seen, wish)
    waits = {one.key for one in wish.placed if restart_reasons(seen, wish, one)}
    for step in plan.steps:
        if step.verb == "restart":
            assert wish.restart == "needed" and step.subject in waits
        if step.verb in ("stop", "remove"):
            assert wish.remove and step.subject in unplaced(seen, wish)
        if step.verb == "start":
            assert not (step.subject in seen.ones and seen.ones[step.subject].running)
