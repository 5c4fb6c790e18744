"""What a host offers, how far its clock is off, what is tuned, and the accounts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.host.facts import gather
from ansible_collections.steelyard.stack.plugins.module_utils.host.model import HostFacts, clock_skew, merge_facts
from ansible_collections.steelyard.stack.plugins.module_utils.host.tuning import WantedTuning, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.host.users import (
    SeenUser,
    WantedUser,
    commands,
    keys_text,
    problems,
)

GIB = 2**30
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExampleExa alex@example"


@pytest.mark.parametrize(
    ("limit", "stated", "memory"),
    [(None, None, 8 * GIB), (2 * GIB, None, 2 * GIB), (2 * GIB, "1gb", GIB), (None, "16gb", 8 * GIB)],
)
def test_memory_is_the_smallest_that_anybody_says(limit: int | None, stated: str | None, memory: int) -> None:
    facts = {"memory_bytes": 8 * GIB, "cpus": 4, "cgroup_memory_bytes": limit}
    assert HostFacts.from_dict(facts, steelyard_memory=stated).memory == memory


@pytest.mark.parametrize(
    ("quota", "stated", "cpus"), [(None, None, 4), (1.5, None, 2), (1.5, "1", 1), (0.2, None, 1), (None, 16, 4)]
)
def test_cpus(quota: float | None, stated: object, cpus: int) -> None:
    assert HostFacts.from_dict({"cpus": 4, "cgroup_cpus": quota}, steelyard_cpus=stated).cpus == cpus


@pytest.mark.parametrize("value", ["two", 0, -1, True, "nan"])
def test_cpus_that_are_none_are_refused(value: object) -> None:
    with pytest.raises(Refused, match="steelyard_cpus"):
        HostFacts.from_dict({"cpus": 4}, steelyard_cpus=value)


def test_clock_skew_is_what_the_round_trip_cannot_explain() -> None:
    assert clock_skew(10.0, 10.4, 11.0) == 0.0
    assert clock_skew(10.0, 13.5, 11.0) == 2.5
    assert clock_skew(10.0, 9.0, 11.0) == -1.0


def test_facts_of_several_calls_are_merged() -> None:
    first = {"time": 1, "packages": {"a": "1"}, "sysctl": {"x": "1", "y": "1"}, "sysctl_readonly": ["x", "y"]}
    second = {"time": 2, "packages": {"b": None}, "sysctl": {"x": "2"}, "sysctl_readonly": []}
    found = merge_facts(first, second)
    assert found["time"] == 2
    assert found["packages"] == {"a": "1", "b": None}
    assert found["sysctl"] == {"x": "2", "y": "1"}
    assert found["sysctl_readonly"] == ["y"]


def test_this_machine_is_read_wholly() -> None:
    found = gather(sysctls=["kernel.ostype", "vm.nosuch"], stamps=[__file__, "/no/such"])
    assert found["sysctl"] == {"kernel.ostype": "Linux", "vm.nosuch": None}
    assert found["stamps"]["/no/such"] is None
    assert "this machine" in found["stamps"][__file__] or len(found["stamps"][__file__]) == 4096
    assert found["memory_bytes"] > 0
    assert found["uid"] == os.getuid()
    assert found["disks"]
    assert found["packages"] == found["units"] == found["resolve"] == {}


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "tuning"))
def test_tuning(case: dict[str, Any]) -> None:
    plan = make_plan(case["facts"], WantedTuning.from_params(case["wanted"]))
    assert dict(plan.apply) == case["apply"]
    assert len(plan.notes) == len(case.get("notes", []))
    for note, start in zip(plan.notes, case.get("notes", []), strict=True):
        assert note.startswith(start)
    assert bool(plan.after) == bool(plan.apply)


def test_an_account_is_made_once() -> None:
    user = WantedUser("alex", uid=2000, groups=("adm",), authorized_keys=(KEY,))
    made = commands(user, None)
    assert made == [
        ["useradd", "--shell", "/bin/bash", "--create-home", "--uid", "2000", "--groups", "adm", "--", "alex"]
    ]
    assert commands(user, SeenUser(2000, "/home/alex", "/bin/bash", frozenset({"adm", "alex"}))) == []
    assert keys_text(user) == KEY + "\n"


def test_an_account_is_changed_only_where_it_differs() -> None:
    user = WantedUser("alex", groups=("adm", "www-data"), shell="/bin/sh")
    found = commands(user, SeenUser(1, "/h", "/bin/bash", frozenset({"adm"})))
    assert [argv[1] for argv in found] == ["--shell", "--append"]
    assert keys_text(user) is None


def test_an_account_with_another_number_is_refused() -> None:
    with pytest.raises(Refused, match="2000"):
        commands(WantedUser("alex", uid=2000), SeenUser(1000, "/h", "/bin/bash"))


def test_an_account_is_removed_once() -> None:
    gone = WantedUser("former", state="absent", authorized_keys=(KEY,))
    assert commands(gone, SeenUser(1, "/h", "/bin/bash")) == [["userdel", "--", "former"]]
    assert commands(gone, None) == []
    assert keys_text(gone) is None


@pytest.mark.parametrize(
    "users",
    [
        [WantedUser("Alex")],
        [WantedUser("alex"), WantedUser("alex")],
        [WantedUser("-rf")],
        [WantedUser("root", state="absent")],
        [WantedUser("alex", authorized_keys=("not a key",))],
        [WantedUser("alex", authorized_keys=(f"{KEY}\nssh-rsa AAAA",))],
    ],
)
def test_unusable_accounts_are_refused(users: list[WantedUser]) -> None:
    assert problems(users)


def test_usable_accounts_are_not() -> None:
    keys = (KEY, f'from="192.0.2.0/24",no-pty {KEY}', "ecdsa-sha2-nistp256 AAAAE2 x")
    assert problems([WantedUser("alex", authorized_keys=keys), WantedUser("_apt-2")]) == []
