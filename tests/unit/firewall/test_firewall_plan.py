"""The planner, by cases, and what holds for every plan it makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.firewall import parse
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import EARLIER, PeerSet, Rule, Table
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.parse import SeenTable
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.plan import (
    CHAINS,
    KEEP_NOBODY,
    Keep,
    Seen,
    effective_sets,
    element_commands,
    make_plan,
    same_rules,
    table_text,
)

HERE = Path(__file__).parent
RULES = (Rule("known connections", "ct state established accept"), Rule("ssh", "tcp dport 22 accept"))


def kind_of(name: str) -> str:
    return "ipv6_addr" if name.endswith("v6") else "ipv4_addr"


def table_of(raw: dict[str, Any]) -> Table:
    sets = tuple(
        PeerSet(name, kind_of(name), tuple(s.get("elements", ())), tuple(s.get("leaving", ())))
        for name, s in raw.get("sets", {}).items()
    )
    return Table(raw.get("enabled", True), RULES, sets, ("192.0.2.0/24",))


def seen_of(raw: dict[str, Any]) -> Seen:
    rest = {k: raw[k] for k in ("persisted", "armed", "ssh_peer", "forbidden") if k in raw}
    if raw["rules"] == "none":
        return Seen(None, **rest)
    comments = [rule.comment for rule in RULES]
    comments = {"as wanted": comments, "one less": comments[:-1], "one more": [*comments, ""]}[raw["rules"]]
    sets = {name: (kind_of(name), tuple(e)) for name, e in raw["sets"].items()}
    sets |= {name: (f"{kind} . inet_service . inet_service", ()) for name, kind in EARLIER.items()}
    chains = tuple((n, h, raw.get("policy", p), q) for n, h, p, q in CHAINS)
    return Seen(SeenTable(tuple(comments), sets, chains), **rest)


def keep_of(case: dict[str, Any]) -> Keep:
    """As the module is asked: what leaves is kept where told so, and what nobody knows unless it is pruned."""
    return Keep(case.get("keep_leaving", False), not case.get("prune", False))


@pytest.mark.parametrize("case", load_cases(HERE / "cases"))
def test_plan(case: dict[str, Any]) -> None:
    plan = make_plan(seen_of(case["seen"]), table_of(case["wanted"]), "h1", keep_of(case))
    if "refusal" in case:
        assert [r.rule for r in plan.refusals] == [case["refusal"]]
        assert "192.0.2.0/24" in plan.refusals[0].seen
        assert plan.refusals[0].remedy
        assert plan.steps == ()
        return
    assert [s.id for s in plan.steps] == case["steps"]
    assert plan.refusals == ()
    assert [n for n in plan.notes if not n.startswith(case.get("note", "?"))] == []
    assert len(plan.notes) == ("note" in case)


def test_the_note_on_a_stranger_says_who_and_what_to_do() -> None:
    wanted = table_of({"sets": {"api_v4": {"elements": ["10.0.0.5"]}}})
    seen = seen_of({"rules": "as wanted", "sets": {"api_v4": ["10.0.0.5", "10.0.0.10", "10.0.0.9"]}})
    first, second = make_plan(seen, wanted, "h1", Keep(unknown=True)).notes
    assert first.startswith("h1: 10.0.0.9 in api_v4 is no host of that group in the inventory; it is still let in. ")
    assert "10.0.0.10 in api_v4" in second
    assert "firewall_prune=true" in first


def test_a_set_of_another_kind_keeps_nothing() -> None:
    """It is somebody else's set that only has the name of ours."""
    wanted = table_of({"sets": {"api_v4": {"elements": ["10.0.0.5"]}}})
    seen = SeenTable((), {"api_v4": ("inet_service", ("80",))}, CHAINS)
    assert effective_sets(seen, wanted, Keep(True, True))["api_v4"][1] == ("10.0.0.5",)
    assert make_plan(Seen(seen), wanted, "h1", Keep(True, True)).notes == ()


def test_element_commands_are_one_transaction_and_touch_no_rule() -> None:
    wanted = table_of({"sets": {"api_v4": {"elements": ["10.0.0.6"]}}})
    seen = seen_of({"rules": "as wanted", "sets": {"api_v4": ["10.0.0.5"]}})
    assert element_commands(make_plan(seen, wanted, "h1").steps) == (
        "add element inet steelyard api_v4 { 10.0.0.6 }\ndelete element inet steelyard api_v4 { 10.0.0.5 }\n"
    )
    assert element_commands(()) == ""


def test_the_text_replaces_our_table_and_nothing_else() -> None:
    wanted = table_of({"sets": {"api_v4": {"elements": ["10.0.0.6"]}, "api_v6": {}}})
    text = table_text(
        wanted, effective_sets(None, wanted, KEEP_NOBODY), ["10.0.0.9 . 40000 . 22", "2001:db8::1 . 1 . 2"]
    )
    assert text.startswith("table inet steelyard\ndelete table inet steelyard\ntable inet steelyard {\n")
    assert "flush" not in text
    assert "policy drop" in text
    assert "elements = { 10.0.0.9 . 40000 . 22 }" in text
    assert "elements = { 2001:db8::1 . 1 . 2 }" in text
    for rule in RULES:
        assert f'{rule.text} comment "{rule.comment}"' in text


@pytest.mark.parametrize("version", ["1.0.6", "1.1.3"])
def test_captured_tables(version: str) -> None:
    found = parse.table((HERE / f"captured/nft_{version}.json").read_text())
    assert found.chains == CHAINS
    assert found.sets["api_v4"] == ("ipv4_addr", ("10.0.0.5", "10.0.0.7", "10.0.0.8"))
    assert found.sets["api_v6"] == ("ipv6_addr", ())
    assert found.sets["earlier_v4"][0] == "ipv4_addr . inet_service . inet_service"
    assert len(found.comments) == 15
    assert all(" " in comment for comment in found.comments)
    assert SeenTable.from_dict(found.as_dict()) == found


def test_an_element_of_several_parts_with_a_timeout() -> None:
    element = '{"elem": {"val": {"concat": ["172.17.0.1", 52150, 22]}, "expires": 3595}}'
    text = f'{{"nftables": [{{"set": {{"name": "s", "type": ["ipv4_addr", "inet_service"], "elem": [{element}]}}}}]}}'
    assert parse.table(text).sets == {"s": ("ipv4_addr . inet_service", ("172.17.0.1 . 52150 . 22",))}


def test_a_rule_without_a_comment_is_seen() -> None:
    assert parse.table('{"nftables": [{"rule": {"expr": []}}]}').comments == ("",)


def test_what_nft_complains_about() -> None:
    assert parse.is_missing("Error: No such file or directory\nlist table inet steelyard")
    assert parse.is_forbidden("netlink: Error: cache initialization failed: Operation not permitted")
    assert not parse.is_forbidden("Error: syntax error, unexpected newline")


ipv4 = st.lists(st.integers(1, 9).map(lambda n: f"10.0.0.{n}"), unique=True, max_size=5)


@given(
    there=ipv4,
    here=ipv4,
    leaving=ipv4,
    keep=st.builds(Keep, st.booleans(), st.booleans()),
    rules=st.sampled_from(["none", "as wanted", "one less"]),
)
def test_apply_then_plan_again_nothing_is_left(
    there: list[str], here: list[str], leaving: list[str], keep: Keep, rules: str
) -> None:
    gone = [a for a in leaving if a not in here]
    wanted = table_of({"sets": {"api_v4": {"elements": here, "leaving": gone}}})
    seen = seen_of({"rules": rules, "sets": {"api_v4": there}, "persisted": True})
    plan = make_plan(seen, wanted, "h1", keep)
    elements = set(there)
    for step in plan.steps:
        if step.verb in ("create_table", "replace_table"):
            elements = set(effective_sets(seen.table, wanted, keep)["api_v4"][1])
        elif step.verb == "add_elements":
            elements |= set(step.args["elements"])
        elif step.verb == "remove_elements":
            elements -= set(step.args["elements"])
    after = seen_of({"rules": "as wanted", "sets": {"api_v4": sorted(elements)}, "persisted": True})
    assert same_rules(after.table, wanted)
    assert make_plan(after, wanted, "h1", keep).steps == ()
    before = set(there) if rules != "none" else set()
    strangers = before - {*here, *gone}
    assert set(here) <= elements <= {*here, *gone, *strangers}
    assert elements & strangers == (strangers if keep.unknown else set())
    if not keep.leaving:
        assert not elements & set(gone)
    elif rules != "none":
        assert elements & set(gone) == before & set(gone)
    assert bool(plan.notes) == bool(keep.unknown and strangers)
    assert make_plan(after, wanted, "h1", keep).notes == plan.notes
