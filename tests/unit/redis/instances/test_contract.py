"""Documentation, argument specs, the role and the lookup agree with what the code accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from support import redis_hosts
from support.documented import documentation, spec_of, without_no_log

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.redis import options
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import package_named
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.start import directives
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.wanted import wish_of
from ansible_collections.steelyard.stack.plugins.modules import redis_instances

ROLE = Path(__file__).resolve().parents[4] / "roles" / "redis"
FACTS = {
    "memory_bytes": 8 * 2**30, "cgroup_memory_bytes": 2**30, "cpus": 4, "cgroup_cpus": 2.0, "nofile_hard": 20000,
    "virtualization": "docker", "sysctl": {"net.core.somaxconn": "32768"},
}  # fmt: skip
CLUSTER: dict[str, Any] = {
    "mode": "replication", "ports": [7000], "admin_password": "verwaltung-verwahrt-im-tresor", "replication_password": "nachbildung-verwahrt-im-tresor",
    "users": {"app": {"password": "anwendung-verwahrt-im-tresor"}}, "primary": "redis2",
    "sentinel": {"quorum": 2, "down_after": "3s", "password": "wache-verwahrt-im-tresor"}, "allow_from": ["redis"],
}  # fmt: skip


def params(host: str, **cluster: Any) -> dict[str, Any]:
    """What the role hands to the module on a host of a fleet of three."""
    variables = {"redis_clusters": {"sessions": {**CLUSTER, **cluster}}}
    hosts = [Host(f"redis{n}", frozenset({"redis"}), {**variables, "ansible_host": f"10.0.0.{n}"}) for n in (1, 2, 3)]
    fleet = Fleet(tuple(hosts))
    names = ("instances", "sentinels", "clusters", "secrets")
    found = {name: services.wanted(f"redis_{name}", fleet, fleet.host(host)) for name in names}
    tenants = services.wanted("redis_tenants", fleet, fleet.host(host))
    return {**found, "facts": tenants, "package": {"name": "redis-server", "hold": True}}


def test_the_documentation_is_the_argument_spec() -> None:
    documented = spec_of(documentation("redis_instances")["options"])
    assert documented == without_no_log(redis_instances.ARGUMENTS)


def test_examples_use_known_options() -> None:
    examples = yaml.safe_load(redis_instances.EXAMPLES)
    assert examples
    for example in examples:
        assert set(example["steelyard.stack.redis_instances"]) <= set(redis_instances.ARGUMENTS)


@pytest.mark.parametrize("entry", ["main", "remove", "verify"])
def test_the_roles_defaults_are_its_specs(entry: str) -> None:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"][entry]["options"]
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert {n: o["default"] for n, o in specs.items() if "default" in o} == defaults


def test_the_role_documents_every_key_of_a_cluster() -> None:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    text = " ".join(specs["redis_clusters"]["description"])
    keys = (*options.CLUSTER_OPTIONS, *options.SENTINEL_OPTIONS, *options.USER_OPTIONS, *options.TLS_OPTIONS)
    assert [key for key in keys if f"C({key})" not in text] == []


def test_the_role_states_an_instance_as_the_code_reads_it() -> None:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    stated = {
        name: {k: v for k, v in option.items() if k != "description"}
        for name, option in specs["redis_instances"]["options"].items()
    }
    assert stated == {
        name: {k: list(v) if k == "choices" else v for k, v in o.items()}
        for name, o in options.INSTANCE_OPTIONS.items()
    }


def test_the_packages_of_module_and_role_are_those_that_are_known() -> None:
    specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    choices = redis_instances.PACKAGE["name"]["choices"]
    assert specs["redis_package"]["options"]["name"]["choices"] == choices
    units = yaml.safe_load((ROLE / "vars/main.yml").read_text())["__redis_own_units"]
    assert units == {name: package_named(name).unit for name in choices}
    with pytest.raises(Refused, match="redis-servre"):
        package_named("redis-servre")


def test_what_the_lookup_answers_becomes_servers_and_sentinels() -> None:
    wish = wish_of(params("redis1"), FACTS)
    (server,), (watcher,) = wish.servers, wish.watchers
    assert (server.replicaof, server.nofile, wish.hold) == ("10.0.0.2 7000", 20000, True)
    stated = directives(unit_files.settings_text(server))
    assert stated["bind"] == "10.0.0.1"
    assert stated["masteruser"] == "replication"
    assert 0.6 * 2**30 > int(stated["maxmemory"]) > 0.5 * 2**30
    assert server.secrets == {"masterauth": "nachbildung-verwahrt-im-tresor"}
    assert watcher.monitor[0] == "sentinel monitor sessions 10.0.0.2 7000 2"
    assert watcher.watched["down-after-milliseconds"] == "3000"


def test_the_stated_primary_is_nobodys_replica() -> None:
    assert wish_of(params("redis2"), FACTS).servers[0].replicaof == ""


def test_a_new_replica_of_a_living_cluster_is_given_the_primary_that_it_has() -> None:
    given = {**params("redis3"), "primaries": {"sessions": "10.0.0.1 7000"}}
    wish = wish_of(given, FACTS)
    assert wish.servers[0].replicaof == "10.0.0.1 7000"
    assert wish.watchers[0].monitor[0] == "sentinel monitor sessions 10.0.0.1 7000 2"


def test_passwords_are_in_no_file_but_the_secret_ones() -> None:
    wish = wish_of(params("redis1"), FACTS)
    files = unit_files.host_files(wish.placed_servers, wish.placed_watchers, redis_hosts.PACKAGE)
    told = {
        (f.path, word)
        for f in files
        for word in (
            "verwaltung-verwahrt-im-tresor",
            "nachbildung-verwahrt-im-tresor",
            "anwendung-verwahrt-im-tresor",
            "wache-verwahrt-im-tresor",
        )
        if word in f.content
    }
    assert told == {("/etc/steelyard/redis/7000/secrets.conf", "nachbildung-verwahrt-im-tresor")}


def test_without_the_secrets_nothing_is_made() -> None:
    with pytest.raises(Refused, match="redis_secrets"):
        wish_of({**params("redis1"), "secrets": {}}, FACTS)


def test_a_limit_of_memory_may_follow_from_the_server() -> None:
    given = params("redis1", maxmemory="100mb")
    assert wish_of(given, FACTS).servers[0].memory_max == 0
    assert wish_of({**given, "memory_max": "300mb"}, FACTS).servers[0].memory_max == 300 * 2**20
    assert wish_of({**given, "memory_max": "auto"}, FACTS).servers[0].memory_max > 200 * 2**20


def test_a_bigger_cluster_needs_no_restart_for_its_limits() -> None:
    small = wish_of(params("redis1", mode="cluster", sentinel=None, primary=None, ports=[7000], replicas=0), FACTS)
    grown = wish_of(
        params("redis1", mode="cluster", sentinel=None, primary=None, ports=[7000, 7001], replicas=0), FACTS
    )
    one, other = small.servers[0], grown.servers[0]
    assert unit_files.unit_digest(one, small.package) == unit_files.unit_digest(other, grown.package)


def fleet(*groups: str, **variables: Any) -> Fleet:
    """A fleet of one host in these groups, with the usual cluster stated."""
    stated = {"redis_clusters": {"sessions": {**CLUSTER, "sentinel": None}}, "ansible_host": "10.0.0.1", **variables}
    return Fleet((Host("redis1", frozenset(groups), stated),))


def test_kernel_settings_are_asked_for_where_redis_is() -> None:
    with_redis, without = fleet("redis"), fleet("api")
    assert services.wanted("sysctls", with_redis, with_redis.hosts[0]) == {"vm.overcommit_memory": 1}
    assert services.wanted("sysctls", without, without.hosts[0]) == {}


def test_redis_is_a_service_of_its_hosts() -> None:
    with_redis, without = fleet("redis"), fleet("api")
    assert services.services_of(with_redis, with_redis.hosts[0]) == ["base", "redis"]
    assert services.services_of(without, without.hosts[0]) == ["base"]
    assert services.owns("redis@7000.service")
    assert services.owns("redis-sentinel@26379.service")


def test_more_memory_than_the_host_has_is_found() -> None:
    one = fleet("redis", redis_clusters={"sessions": {**CLUSTER, "sentinel": None, "maxmemory": "4gb"}})
    found = services.oversubscription(one, one.hosts[0], 2**30, 2)
    assert [p.rule for p in found] == ["the maxmemory of all servers fits into the host"]
    assert services.oversubscription(one, one.hosts[0], 8 * 2**30, 2) == []


def test_what_leaves_needs_no_room_and_no_primary() -> None:
    given = params("redis1")
    for kind in ("instances", "sentinels"):
        given[kind] = [{**one, "state": "leaving"} for one in given[kind]]
    wish = wish_of({**given, "clusters": []}, FACTS)
    assert (wish.servers, wish.watchers, wish.placed) == ((), (), ())
