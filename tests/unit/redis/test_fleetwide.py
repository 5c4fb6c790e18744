"""What Redis says to the operations of a whole fleet: whom to ask, who takes part, in which turns it is restarted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils import scale, services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis import restart, scaling

CLUSTERS: dict[str, Any] = {
    "sessions": {"mode": "cluster", "ports": [7000, 7001], "replicas": 1},
    "cache": {"mode": "standalone", "group": "caches", "ports": [6379]},
}
PASSWORDS = {"admin_password": "a" * 32, "replication_password": "b" * 32}


def fleet_of(count: int = 3, states: dict[str, str] | None = None, **more: Any) -> Fleet:
    """Return hosts redis1 … with two servers each, the first with a cache beside them; `more` are redis1's variables."""
    clusters = {n: {**c, **{k: v for k, v in PASSWORDS.items() if n == "sessions" or k == "admin_password"}}
                for n, c in CLUSTERS.items()}  # fmt: skip
    hosts = []
    for number in range(1, count + 1):
        name = f"redis{number}"
        own = {"ansible_host": f"192.0.2.{number}", "redis_clusters": clusters, **(more if number == 1 else {})}
        own |= {"redis_state": states[name]} if states and name in states else {}
        hosts.append(Host(name, frozenset({"all", "redis", *(["caches"] if number == 1 else [])}), own))
    return Fleet(tuple(hosts))


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "cases" / "restart"))
def test_turns(case: dict[str, Any]) -> None:
    turns = restart.turns(fleet_of(states=case.get("states")), case["waiting"])
    found = [
        {
            "label": t.as_dict()["label"], "ports": list(t.ports), "survivors": list(t.survivors), "hosts": list(t.hosts),
            "resting": [i.name for i in t.resting.instances if i.state == "maintenance"] if t.resting else [],
        }
        for t in turns
    ]  # fmt: skip
    assert found == case["turns"]


def test_turns_as_people_read_them() -> None:
    text = restart.as_table(restart.turns(fleet_of(), {"redis1": [6379, 7000]}))
    assert "redis: 2 turn(s)" in text
    assert "redis2 speaks" in text
    assert "a short outage" in text
    assert restart.as_table(()) == "redis: nothing to restart"


def test_only_who_leads_may_change_between_restarts() -> None:
    def plan(*verbs: str) -> Plan:
        return Plan("redis", "sessions", tuple(Step(f"{v}/x", v, "x") for v in verbs))

    restart.require_settled([plan(), plan("handover", "switchover")])
    with pytest.raises(Refused, match=r"redis sessions.*move_slots x.*run scale.yml first"):
        restart.require_settled([plan("handover", "move_slots", "forget")])


def test_one_host_asks_for_each_cluster() -> None:
    fleet = fleet_of(states={"redis1": "leaving"})
    asks = {h.name: scaling.asks(fleet, h) for h in fleet.hosts}
    assert {n: [a["cluster"]["name"] for a in found] for n, found in asks.items()} == {
        "redis1": [], "redis2": ["sessions"], "redis3": [],
    }  # fmt: skip
    assert asks["redis2"][0]["candidates"] == ["redis2", "redis3"], "who leaves does not speak for those that stay"
    assert scaling.hosts(scaling.clusters(fleet)[0]) == ("redis1", "redis2", "redis3"), "but keeps the lease still"


def test_a_server_in_no_cluster_is_asked_itself() -> None:
    assert scaling.alone(fleet_of()) == {"redis1": {"caches"}}
    assert scale.looks(fleet_of(), ()) == scale.Looks(("redis1",), redis=frozenset({"redis1"})), "and nobody else"


def test_part_of_a_host_may_leave() -> None:
    both = [{"cluster": "sessions", "port": 7000}, {"cluster": "sessions", "port": 7001, "state": "leaving"}]
    fleet = fleet_of(redis_instances=both)
    assert services.leaving(fleet, fleet.host("redis1")) == ["redis"]
    assert not services.gone(fleet, fleet.host("redis1"))
    assert services.leaving(fleet, fleet.host("redis2")) == []
    away = fleet_of(states={"redis2": "leaving"})
    assert services.gone(away, away.host("redis2"))


@pytest.mark.parametrize(
    ("verb", "args", "joins"),
    [
        ("meet", {"name": "redis4:7000"}, {"redis4"}),
        ("attach", {"name": "redis5:6379"}, {"redis5"}),
        ("create", {"masters": {}}, {"redis1", "redis2"}),
        ("move_slots", {"source": "redis1:7000"}, set()),
        ("forget", {"name": "redis3:7000"}, set()),
    ],
)
def test_who_joins_by_a_plan(verb: str, args: dict[str, Any], joins: set[str]) -> None:
    step = Step(f"{verb}/x", verb, "x", hosts=("redis1", "redis2"), args=args)
    assert scaling.joining(Plan("redis", "sessions", (step,))) == joins


def test_what_is_to_be_installed_is_a_step_and_no_refusal() -> None:
    fleet = fleet_of()
    refused = Plan("redis", "redis1", refusals=(Refusal("the server is installed", "no package", "run site.yml"),))
    bare = {"plan": refused.summary(), "package": {"installed": ""}}
    plan = scaling.host_plan(fleet, fleet.host("redis1"), bare)
    assert [s.id for s in plan.steps] == ["install/redis"]
    assert "6379, 7000, 7001" in plan.steps[0].detail
    assert not plan.refusals
    there = {"plan": refused.summary(), "package": {"installed": "5:8.0.2"}}
    assert scaling.host_plan(fleet, fleet.host("redis1"), there).refusals
    gone = fleet_of(states={"redis1": "leaving"})
    left = scaling.host_plan(gone, gone.host("redis1"), bare)
    assert (left.steps, left.refusals) == ((), ()), "who leaves and has nothing needs nothing"
