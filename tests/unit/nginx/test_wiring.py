"""What connects the pure parts to Ansible: options and specs say the same, filters, the action's own decisions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from jinja2.nativetypes import NativeEnvironment

from ansible_collections.steelyard.stack.plugins.action.nginx_pool import ActionModule, _balancer, _ok_to_stop
from ansible_collections.steelyard.stack.plugins.filter.nginx import FilterModule
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import client
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.client import LEFTOVERS
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.model import Member, Pool
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.options import SETTING_OPTIONS
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.plan import make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.sizing import Settings
from ansible_collections.steelyard.stack.plugins.module_utils.nginx.state import Balancer, SeenPool

ROLE = Path(__file__).parents[3] / "roles" / "nginx"
FILTERS = FilterModule().filters()
POOL = Pool("api", "api", (Member("api1", "10.0.0.1", 8000), Member("api2", "10.0.0.2", 8000)), health="/readyz")
FACTS = {"cpus": 2, "memory_bytes": 2**30, "nofile_hard": 20000, "sysctl": {"net.core.somaxconn": "4096"}}


def options_of(name: str) -> dict[str, Any]:
    spec = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    return {k: {"type": v["type"]} for k, v in spec[name]["options"].items()}


def test_settings_are_the_same_everywhere() -> None:
    assert options_of("nginx_settings") == SETTING_OPTIONS
    assert set(SETTING_OPTIONS) == set(Settings(1, 1, 1).as_dict())


def removal() -> dict[str, dict[str, Any]]:
    """Return the tasks of remove.yml, each by its module, with the role's own variables filled in."""
    environment = NativeEnvironment()
    environment.filters["dirname"] = os.path.dirname
    own = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    own["nginx_dropin"] = environment.from_string(own["nginx_dropin"]).render(own)

    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: filled(v) for k, v in value.items()}
        if isinstance(value, list):
            return [filled(v) for v in value]
        return (
            environment.from_string(value).render(own, item="") if isinstance(value, str) and "{{" in value else value
        )

    tasks = yaml.safe_load((ROLE / "tasks" / "remove.yml").read_text())
    return {key: {**t, key: filled(t[key]), "loop": filled(t.get("loop"))} for t in tasks for key in t if "." in key}


def test_a_removal_run_again_leaves_none_of_what_read_reports() -> None:
    """Each task does its part whatever an earlier, killed run has done already."""
    tasks = removal()
    apt, files = tasks["ansible.builtin.apt"], tasks["ansible.builtin.file"]
    assert not {"when"} & {*apt, *files}
    packages = [f"/var/lib/dpkg/info/{name}.list" for name in apt["ansible.builtin.apt"]["name"]]
    gone = [*packages, *files["loop"]]
    assert [path for path in LEFTOVERS if not any(path == g or path.startswith(f"{g}/") for g in gone)] == []
    assert apt["ansible.builtin.apt"]["purge"] is True
    assert "autoremove" not in apt["ansible.builtin.apt"], "what else the host no longer needs is not ours"


@pytest.mark.parametrize("left", [None, *range(len(LEFTOVERS))])
def test_read_reports_what_a_removal_left(left: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [str(tmp_path / str(n)) for n in range(len(LEFTOVERS))]
    monkeypatch.setattr(client, "LEFTOVERS", paths)
    monkeypatch.setattr(client, "NGINX", str(tmp_path / "nginx"))
    if left is not None:
        Path(paths[left]).mkdir()
    found = client.read_balancer(client.Client(), "lb1", (POOL,))
    assert (found.installed, found.leftovers) == (False, left is not None)


def test_every_filter_is_documented() -> None:
    folder = ROLE.parents[1] / "plugins" / "filter"
    documented = {p.stem: yaml.safe_load(p.read_text())["DOCUMENTATION"] for p in folder.glob("nginx_*.yml")}
    assert set(documented) == set(FILTERS)
    assert all(doc["name"] == name for name, doc in documented.items())


def test_settings_are_sized_within_the_hosts_limit() -> None:
    found = FILTERS["nginx_settings"](FACTS, {}, memory="256mb", cpus=1)
    assert (found["worker_processes"], found["worker_connections"], found["limited"]) == (1, 5461, False)
    assert FILTERS["nginx_settings"](FACTS, {}, cpus=1)["limited"] is True


def test_a_refusal_is_ansibles_error() -> None:
    with pytest.raises(AnsibleFilterError, match="did you mean backlog"):
        FILTERS["nginx_settings"](FACTS, {"backlogs": 1})


def test_files_of_new_pools_are_only_seeded() -> None:
    members, loaded = FILTERS["nginx_member_files"]([POOL.as_dict()], "/etc/nginx/steelyard/pools")
    assert members["dest"].endswith("/api.members")
    assert members["content"].count("\nserver ") == 2
    assert members["keep"]
    assert loaded["keep"]
    assert "location = /steelyard/loaded/pool/api" in loaded["content"]


def test_upstreams_and_urls() -> None:
    assert FILTERS["nginx_pools"]([POOL.as_dict()]) == [
        {"name": "api", "method": "", "keepalive": 32, "health": "/readyz"}
    ]
    assert FILTERS["nginx_status_url"]("0.0.0.0:8080") == "http://127.0.0.1:8080"
    assert FILTERS["nginx_status_url"]("[::1]:8080") == "http://[::1]:8080"


def test_sites_go_from_variable_to_listen() -> None:
    sites = FILTERS["nginx_sites"]({"market": {"pool": "api", "read_timeout": "1m"}})
    assert sites[0]["read_timeout"] == 60
    assert FILTERS["nginx_listen"](sites, 511, ipv6=False) == {
        "sites": {"market": ["80 default_server backlog=511"]}, "nobody": []
    }  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "variables", "reachable", "excused", "leaving"),
    [
        ({"unreachable": True}, {}, False, False, False),
        (None, {"nginx_state": "maintenance"}, False, True, False),
        ({"failed": True}, {"steelyard_state": "leaving"}, False, True, True),
        ({"balancer": Balancer("x").as_dict()}, {}, True, False, False),
        ({"balancer": Balancer("x").as_dict()}, {"nginx_state": "leaving"}, True, True, True),
    ],
)
def test_a_balancer_is_what_it_answers_and_what_the_inventory_says(
    answer: Any, variables: Any, reachable: bool, excused: bool, leaving: bool
) -> None:
    found = _balancer("lb1", answer, variables)
    assert (found.host, found.reachable, found.excused, found.leaving) == ("lb1", reachable, excused, leaving)


def test_the_only_balancer_does_not_leave() -> None:
    found = Bare()._answer(arguments("plan", seen=seen("lb1")), {"hostvars": {"lb1": {"nginx_state": "leaving"}}})
    assert (found["failed"], found["exit_code"]) == (True, 2)
    assert "lb1 would be the last one to go" in found["msg"]


def test_stopping_a_member_is_judged_over_all_balancers() -> None:
    one = {"balancer": Balancer("lb1", {"api": SeenPool(POOL.servers())}).as_dict(), "answers": {}}
    sick = {"members": [{"pool": "api", "endpoint": "10.0.0.2:8000", "said": "HTTP 503"}]}
    assert _ok_to_stop({"member": "api1", "seen": {"lb1": one}}, (POOL,))["verdict"]["ok"]
    with pytest.raises(GateNotPassed, match="on lb2"):
        _ok_to_stop(
            {
                "member": "api1",
                "seen": {"lb1": one, "lb2": {**one, "answers": sick, "balancer": {**one["balancer"], "host": "lb2"}}},
            },
            (POOL,),
        )


class Bare(ActionModule):
    """The action without a connection: what it would run is written down."""

    def __init__(self) -> None:
        self.loops: list[tuple[dict[str, Any], Any]] = []

    def run_loop(self, module_name: str, module_args: Any, plan: Any, task_vars: Any, **_: Any) -> dict[str, Any]:
        self.loops.append((dict(module_args), plan))
        return {"changed": bool(plan.steps)}

    def show_plan(self, plan: Any, task_vars: Any) -> None:
        pass

    def finish(self, result: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        return result


def seen(*hosts: str) -> dict[str, Any]:
    start = SeenPool(POOL.servers()[:1])
    return {h: {"balancer": Balancer(h, {"api": start}).as_dict()} for h in hosts}


def arguments(operation: str, **more: Any) -> dict[str, Any]:
    return {"operation": operation, "pools": [POOL.as_dict()], "cluster": "main", "host": "lb1", **more}


def test_plan_looks_at_its_own_cluster_only() -> None:
    variables = {"hostvars": {"lb1": {}, "lb2": {}, "edge1": {"nginx_cluster_name": "edge"}}}
    found = Bare()._answer(arguments("plan", seen=seen("lb1", "lb2", "edge1")), variables)
    assert [s["hosts"] for s in found["plan"]["steps"]] == [["lb1", "lb2"]]
    assert found["changed"] is True


def test_a_refused_plan_fails_with_its_reasons() -> None:
    found = Bare()._answer(arguments("plan", seen={**seen("lb1"), "lb2": {"unreachable": True}}), {})
    assert (found["failed"], found["exit_code"], found["changed"]) == (True, 2, False)
    assert "lb2 is unreachable" in found["msg"]


def test_a_saved_plan_that_is_done_leaves_nothing() -> None:
    saved = make_plan((POOL,), [Balancer("lb1", {"api": SeenPool(POOL.servers()[:1])})]).summary()
    done = {"lb1": {"balancer": Balancer("lb1", {"api": SeenPool(POOL.servers())}).as_dict()}}
    found = Bare()._answer(arguments("plan", seen=done, expect=saved), {})
    assert (found["changed"], found["plan"]["steps"]) == (False, [])


def test_apply_does_its_own_part_of_one_phase() -> None:
    action = Bare()
    plan = Bare()._answer(arguments("plan", seen=seen("lb1", "lb2")), {})["plan"]
    action._answer(arguments("apply", plan=plan, phase="add"), {})
    action._answer(arguments("apply", plan=plan, phase="drain"), {})
    action._answer({**arguments("apply", plan=plan), "host": "lb3"}, {})
    assert [[s.id for s in p.steps] for _, p in action.loops] == [["add/api/api2:8000"], [], []]
    assert action.loops[0][0]["operation"] == "apply"
    assert "seen" not in action.loops[0][0]


@pytest.mark.parametrize("operation", ["", "aply", None])
def test_unknown_operations_are_refused(operation: Any) -> None:
    with pytest.raises(Refused, match="operation is one of"):
        Bare()._answer(arguments(operation), {})
