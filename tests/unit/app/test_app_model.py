"""Classes and instances out of inventory variables: what is refused, and what is made of the rest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.app_hosts import app_class, checksum, host, instances
from support.cases import load_cases

from ansible_collections.steelyard.stack.plugins.module_utils.app import model
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Listener


@pytest.mark.parametrize("case", load_cases(Path(__file__).parent / "model_cases"))
def test_case(case: dict[str, Any]) -> None:
    classes = {name: app_class(**more) for name, more in case["classes"].items()}
    fleet = Fleet((host(classes, **case.get("host", {})),))
    found = [[p.where, p.rule, p.remedy] for p in model.problems(fleet)]
    assert found == case["problems"]


def test_problems_of_shared_variables_are_said_once() -> None:
    classes = {"api": app_class(memory_max="lots")}
    assert len(model.problems(Fleet((host(classes), host(classes, name="api2"))))) == 1


def test_a_secret_is_never_repeated() -> None:
    classes = {"api": app_class(secrets={"TOKEN": "open\x01sesame", "OTHER": ["open", "sesame"]})}
    fleet = Fleet((host(classes),))
    assert len(model.problems(fleet)) == 2
    assert "sesame" not in str(model.problems(fleet))
    assert "sesame" not in repr(instances({"api": app_class(secrets={"TOKEN": "sesame"})}))


def test_instances_have_their_placeholders_filled_in() -> None:
    release = {"version": "1.0.0", "src": "/srv/market_api-1.0.0.tar.gz", "checksum": checksum("1.0.0"),
               "check": "{release}/bin/check"}  # fmt: skip
    command = "{release}/bin/serve {address}:{port} {host} {class} {workers} '{\"json\": 1}'"
    found = instances({"api": app_class(release=release, command=command, workers=4)}, app_ports={"api": [8001, 8000]})
    assert [i.port for i in found] == [8000, 8001]
    path = "/opt/steelyard/app/releases/market_api-1.0.0"
    expected = (f"{path}/bin/serve", "192.0.2.11:8000", "api1", "api", "4", '{"json": 1}')
    assert found[0].command == expected
    assert found[0].check == (f"{path}/bin/check",)
    assert found[0].unit == "app@8000.service"
    assert found[0].slice == "app-api.slice"
    assert found[0].memory_max == 128 * 2**20


def test_what_a_filled_in_value_brings_is_not_filled_in_again() -> None:
    found = model.expand(["{host}", "{port}"], {"host": "{port}", "port": 1})
    assert found == ("{port}", "1")


@pytest.mark.parametrize(
    ("bind", "probe"),
    [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.11", "192.0.2.11"), ("127.0.0.1", "127.0.0.1")],
)
def test_an_instance_is_probed_where_it_listens(bind: str, probe: str) -> None:
    assert instances({"api": app_class(address=bind)})[0].probe_address == probe


def test_an_instance_binds_the_hosts_address_unless_told() -> None:
    assert instances({"api": app_class()})[0].bind_address == "192.0.2.11"


def test_other_groups_get_nothing() -> None:
    assert instances({"api": app_class()}, groups=("workers",)) == ()


def test_states_of_the_host_are_the_instances() -> None:
    assert [i.state for i in instances({"api": app_class()}, steelyard_state="leaving")] == ["leaving"]
    assert [i.state for i in instances({"api": app_class()}, steelyard_state="leaving", app_state="present")] == [
        "present"
    ]


def test_instances_survive_json() -> None:
    for instance in instances({"api": app_class(environment={"N": 1, "B": True}, secrets={"S": "x"})}):
        assert model.Instance.from_dict(instance.as_dict()) == instance
        assert instance.environment == {"N": "1", "B": "true"}


def test_listeners_say_who_may_connect() -> None:
    found = host({"api": app_class(allow_from=["load_balancers"], allow_from_networks=["198.51.100.0/24"])})
    expected = [Listener(8000, "app api", ("load_balancers",), ("198.51.100.0/24",), "192.0.2.11")]
    assert model.listeners(Fleet((found,)), found) == expected


def test_hosts_without_classes_are_nobodys_business() -> None:
    found = model.Host("db1", frozenset({"redis"}), {})
    fleet = Fleet((found,))
    assert (model.problems(fleet), model.wanted_instances(fleet, found), model.listeners(fleet, found)) == ([], [], [])


@pytest.mark.parametrize(
    ("src", "version", "name"),
    [
        ("/srv/market_api-1.0.0.tar.gz", "1.0.0", "market_api-1.0.0"),
        ("https://example.org/market-api_2.tgz?sig=a/b", "2", "market_api-2"),
        ("dist/market_api-1.0.0-py3-none-any.whl", "1.0.0", "market_api-1.0.0"),
        ("build.tar.gz", "7", "build-7"),
        ("/srv/../-.tar.gz", "7", "release-7"),
    ],
)
def test_a_release_is_named_after_its_archive(src: str, version: str, name: str) -> None:
    found = model.Release(version, src, checksum(version)).id
    assert found == name
    assert re.fullmatch(r"[A-Za-z0-9_.]+-[A-Za-z0-9._+!-]+", found)


def test_a_slice_refuses_what_it_does_not_know() -> None:
    assert model.Slice.from_vars({"cpu_quota": "200%", "memory_max": "1gb"}) == model.Slice(200, 2**30)
    with pytest.raises(Refused, match="did you mean cpu_quota"):
        model.Slice.from_vars({"cpu_quote": "1%"})
