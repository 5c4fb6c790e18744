"""The inventories that come with the project: read by Ansible, alone and under a lab's overlay, and judged."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.steelyard.stack.plugins.module_utils.app import model as app
from ansible_collections.steelyard.stack.plugins.module_utils.app import sizing
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet
from ansible_collections.steelyard.stack.plugins.module_utils.inventory import check
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import Inventory, declared_by
from ansible_collections.steelyard.stack.plugins.module_utils.nginx import model as nginx
from ansible_collections.steelyard.stack.plugins.module_utils.redis import inventory as redis
from ansible_collections.steelyard.stack.plugins.module_utils.redis import sizing as redis_sizing
from ansible_collections.steelyard.stack.plugins.module_utils.redis.cluster.plan import layout
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import ClusterSpec
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_size
from ansible_collections.steelyard.stack.plugins.plugin_utils import fleet

ROOT = Path(__file__).resolve().parents[3]
INVENTORIES = sorted(path.parent for path in ROOT.glob("inventories/*/hosts.yml"))
NAMES = [path.name for path in INVENTORIES]
TOKEN = "a-secret-of-the-test"
WITH_REDIS = [path.name for path in INVENTORIES if (path / "group_vars/all/redis.yml").exists()]
MIB = 2**20

# Mode, servers and MiB of each, by tier.
APE_REDIS = [
    (1, "replication", 3, 128),
    (2, "replication", 3, 512),
    (3, "replication", 3, 1024),
    (4, "cluster", 6, 2048),
]

Read = Callable[..., Inventory]


def test_the_inventories_are_found() -> None:
    assert {"ape", "cahoots", "kades", "kmp", "market"} <= set(NAMES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with an archive as the build leaves it."""
    place = tmp_path_factory.mktemp("releases")
    archive = place / "market_api-1.0.0.tar.gz"
    archive.write_bytes(b"not really one")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (place / f"{archive.name}.sha256").write_text(f"{digest}  {archive.name}\n")
    return place


@pytest.fixture(autouse=True)
def releases(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKET_RELEASES", str(built))


def hosts_of(name: str) -> list[str]:
    def inside(group: Mapping[str, Any]) -> list[str]:
        return [*group.get("hosts", ()), *(h for child in group.get("children", {}).values() for h in inside(child))]

    groups = yaml.safe_load((ROOT / "inventories" / name / "hosts.yml").read_text())
    return [host for group in groups.values() for host in inside(group)]


def secrets_of(name: str) -> dict[str, str]:
    """A value for each secret that the inventory asks for."""
    stated = yaml.safe_load((ROOT / "inventories" / name / "group_vars/all/fleet.yml").read_text())
    return dict.fromkeys(stated["steelyard_secrets"], TOKEN)


def overlay_of(name: str, **own: Any) -> dict[str, Any]:
    """What a lab says of each host: another address, little memory."""
    return {
        "all": {
            "hosts": {
                host: {
                    "ansible_host": f"172.31.9.{number}",
                    "steelyard_address": f"172.31.9.{number}",
                    "steelyard_lab": "test",
                    "steelyard_memory": "256mb",
                    "steelyard_cpus": 2,
                    **secrets_of(name),
                    **own,
                }
                for number, host in enumerate(hosts_of(name), 10)
            }
        }
    }


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """Read an inventory as Ansible does, with another source after it. What was read once is not read again."""
    known: dict[tuple[str, str, str | None], Inventory] = {}

    def make(name: str, later: Mapping[str, Any] | None = None) -> Inventory:
        source = dict({"all": {"vars": secrets_of(name)}} if later is None else later)
        key = (name, json.dumps(source), os.environ.get("MARKET_RELEASES"))
        if key not in known:
            place = tmp_path_factory.mktemp("later")
            second = place / "later.yml"
            second.write_text(yaml.safe_dump(source))
            known[key] = as_ansible_does([str(ROOT / "inventories" / name), str(second)], place)
        return known[key]

    return make


def as_ansible_does(sources: list[str], basedir: Path) -> Inventory:
    loader = DataLoader()
    loader.set_basedir(str(basedir))
    manager = InventoryManager(loader=loader, sources=sources)
    variables = VariableManager(loader=loader, inventory=manager)
    hostvars = HostVars(inventory=manager, variable_manager=variables, loader=loader)
    return fleet.inventory_from_vars({"hostvars": hostvars, "groups": manager.get_groups_dict()})


def declared() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for spec in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        found |= declared_by(yaml.safe_load(spec.read_text()))
    assert {"app_classes", "nginx_pools"} <= found.keys()
    return found


@pytest.mark.parametrize("later", ["alone", "in a lab"])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_it(read: Read, name: str, later: str) -> None:
    found = read(name, overlay_of(name) if later == "in a lab" else None)
    assert {host: failures for host, failures in found.failures.items() if failures} == {}
    assert [str(problem) for problem in check.problems(found, declared())] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_secret_is_asked_for_by_name(read: Read, name: str) -> None:
    wrong = check.problems(read(name, {}), declared())
    assert secrets_of(name).keys() <= {problem.where for problem in wrong}


@pytest.mark.parametrize("name", NAMES)
def test_a_release_that_is_not_built_yet_says_how_to(
    read: Read, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MARKET_RELEASES", str(tmp_path / "elsewhere"))
    wrong = check.problems(read(name), declared())
    assert wrong
    assert all("release.checksum" in problem.where for problem in wrong)
    assert all("examples/market_api/build_release.py" in problem.remedy for problem in wrong)


@pytest.mark.parametrize("name", NAMES)
def test_the_archive_is_the_checkouts_unless_said_otherwise(
    read: Read, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MARKET_RELEASES")
    for later in (None, overlay_of(name)):
        found = read(name, later).fleet.hosts[-1].vars["app_classes"]["api"]["release"]
        assert found["src"] == str(ROOT / ".build" / f"market_api-{found['version']}.tar.gz")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_real_addresses_is_left_in_a_lab(read: Read, name: str) -> None:
    lab = read(name, overlay_of(name)).fleet
    texts = [str(app.wanted_instances(lab, host)) for host in lab.hosts] + [str(nginx.wanted_pools(lab))]
    assert any("172.31.9." in text for text in texts)
    for real in read(name).fleet.hosts:
        assert not any(f"'{real.address}'" in text or f"//{real.address}:" in text for text in texts)


@pytest.mark.parametrize("name", NAMES)
def test_the_limits_fit_into_small_stand_ins(read: Read, name: str) -> None:
    lab = read(name, overlay_of(name)).fleet
    for host in lab.hosts:
        instances = app.instances_of(lab, host)
        whole = app.Slice.from_vars(host.vars["app_slice"])
        assert sizing.oversubscription(instances, whole, 256 * MIB, 2, host.name) == []


def test_market_gives_the_api_every_worker(read: Read) -> None:
    found = read("market").fleet
    (api1,) = app.instances_of(found, found.host("api1"))
    assert api1.environment["MARKET_FEEDS"] == "http://192.0.2.31:9000"
    assert [worker.port for worker in app.instances_of(found, found.host("worker1"))] == [9000]

    more = overlay_of("market")
    more["workers"] = {"hosts": {"worker2": more["all"]["hosts"]["worker1"] | {"steelyard_address": "172.31.9.99"}}}
    grown = read("market", more).fleet
    (api1,) = app.instances_of(grown, grown.host("api1"))
    assert api1.environment["MARKET_FEEDS"] == "http://172.31.9.13:9000,http://172.31.9.99:9000"


@pytest.mark.parametrize("tier", [1, 2, 3, 4])
def test_a_tier_of_ape_has_its_instances_and_workers(read: Read, tier: int) -> None:
    found = read("ape", overlay_of("ape", ape_tier=tier)).fleet
    wanted = sizing.ape_tier(tier)
    instances = [i for host in found.hosts for i in app.instances_of(found, host) if i.state == "present"]
    assert len(instances) == wanted.instances
    assert {i.command[-2:] for i in instances} == {("--workers", str(wanted.workers))}
    (pool,) = nginx.wanted_pools(found)
    assert [m.host for m in pool.members if m.state == "up"] == [i.host for i in instances]


def test_ape_is_as_its_document_says(read: Read) -> None:
    found = read("ape").fleet
    (instance,) = app.instances_of(found, found.host("api1"))
    assert (instance.memory_max, instance.cpu_quota) == (2048 * MIB, 100)
    (pool,) = nginx.wanted_pools(found)
    assert (pool.method, pool.max_fails, pool.fail_timeout) == ("least_conn", 3, 30)
    site = found.host("lb1").vars["nginx_sites"]["api"]
    assert site["websocket"] is True
    assert {site[f"{what}_timeout"] for what in ("connect", "send", "read")} == {"60s"}


def test_an_unknown_tier_is_refused(read: Read) -> None:
    wrong = check.problems(read("ape", overlay_of("ape", ape_tier=5)), declared())
    assert any("ape_tier" in problem.where and "1, 2, 3, 4" in problem.rule for problem in wrong)


def test_hosts_are_spread_over_zones(read: Read) -> None:
    def zones(fleet_: Fleet) -> list[str]:
        return [host.zone for host in fleet_.group("api")[:2]]

    assert all(len(set(zones(read(name).fleet))) == 2 for name in NAMES)


def redis_of(found: Fleet) -> ClusterSpec:
    (spec,) = redis.clusters_of(found)
    return spec


@pytest.mark.parametrize("name", WITH_REDIS)
def test_redis_fits_into_its_hosts_and_into_small_stand_ins(read: Read, name: str) -> None:
    for later in (None, overlay_of(name)):
        assert_redis_fits(read(name, later).fleet)


def assert_redis_fits(found: Fleet) -> None:
    for host in found.group("redis"):
        tenants = redis_sizing.Tenants(redis.clusters_on(found, host))
        limits = redis_sizing.HostLimits(parse_size(host.vars.get("steelyard_memory", "256mb")), 2)
        assert redis_sizing.oversubscription(limits, tenants, host.name) == []
        assert redis_sizing.tight(limits, tenants) == ""


@pytest.mark.parametrize("name", WITH_REDIS)
def test_the_application_finds_redis_and_signs_in(read: Read, name: str) -> None:
    for later in (None, overlay_of(name)):
        found = read(name, later).fleet
        spec, (api, *_) = redis_of(found), app.instances_of(found, found.group("api")[0])
        said = api.environment
        assert said["MARKET_REDIS_MODE"] == ("cluster" if spec.mode == "cluster" else "sentinel")
        assert said.get("MARKET_REDIS_MASTER", "") == (spec.name if spec.sentinel else "")
        serving = spec.sentinel.instances if spec.sentinel else spec.instances
        assert set(said["MARKET_REDIS_NODES"].split(",")) <= {f"{i.address}:{i.port}" for i in serving if i.stays}
        cluster = redis.clusters_in(found)[spec.name]
        assert said["MARKET_REDIS_USER"] in {user.name for user in cluster.users}
        assert "api" in cluster.allow_from


@pytest.mark.parametrize("name", WITH_REDIS)
def test_copies_are_on_hosts_and_in_zones_of_their_own(read: Read, name: str) -> None:
    spec = redis_of(read(name, overlay_of(name, **({"ape_tier": 4} if name == "ape" else {}))).fleet)
    shards = [[i.name for i in spec.staying]]
    if spec.mode == "cluster":
        _, replicas = layout(spec)
        shards = [[master, *(r for r, m in replicas.items() if m == master)] for master in set(replicas.values())]
    seats = {i.name: i for i in spec.instances}
    assert len(shards) == spec.wanted_shards
    for names in shards:
        assert len({seats[n].host for n in names}) == len({seats[n].zone for n in names}) == len(names)


@pytest.mark.parametrize(("tier", "mode", "servers", "size"), APE_REDIS)
def test_a_tier_of_ape_has_its_redis(read: Read, tier: int, mode: str, servers: int, size: int) -> None:
    hosts = {host: {**secrets_of("ape"), "ape_tier": tier} for host in hosts_of("ape")}
    found = read("ape", {"all": {"hosts": hosts}}).fleet
    spec = redis_of(found)
    cluster = redis.clusters_in(found)[spec.name]
    assert (spec.mode, len(spec.staying), spec.maxmemory) == (mode, servers, size * MIB)
    assert spec.maxmemory == redis_sizing.ape_maxmemory(tier)
    assert (cluster.maxmemory_policy, cluster.appendonly) == ("allkeys-lru", "everysec")
    if spec.sentinel:
        assert len([s for s in spec.sentinel.instances if s.stays]) == 3
    else:
        assert (spec.wanted_shards, spec.replicas) == (3, 1)


def test_market_has_a_primary_that_three_sentinels_watch(read: Read) -> None:
    spec = redis_of(read("market").fleet)
    assert spec.sentinel is not None
    assert (spec.name, len(spec.staying), len(spec.sentinel.instances), spec.sentinel.quorum) == ("sessions", 3, 3, 2)


def test_kades_is_as_its_document_says(read: Read) -> None:
    found = read("kades").fleet
    spec = redis_of(found)
    assert (spec.wanted_shards, spec.replicas, spec.threshold, len(spec.instances)) == (6, 2, 2.0, 18)
    assert 32 * 1024 - 6 < spec.wanted_shards * spec.maxmemory / MIB <= 32 * 1024
    assert redis.clusters_in(found)["cache"].maxmemory_policy == "volatile-lru"
    counts = Counter(i.class_name for host in found.hosts for i in app.instances_of(found, host))
    assert counts == {"api": 3, "chain_analysis": 5, "sentiment_analysis": 3, "temporal_analysis": 2}
    (pool,) = nginx.wanted_pools(found)
    assert (pool.method, pool.max_fails, pool.fail_timeout, pool.max_conns) == ("least_conn", 3, 15, 5000)
    (api,) = app.instances_of(found, found.host("api1"))
    feeds = api.environment["MARKET_FEEDS"].split(",")
    assert len(feeds) == 5
    assert feeds[-1] == "http://203.0.113.32:9001"


def test_cahoots_is_as_its_document_says(read: Read) -> None:
    found = read("cahoots").fleet
    spec = redis_of(found)
    assert spec.sentinel is not None
    watched = spec.sentinel
    assert (spec.name, watched.quorum, watched.down_after, watched.failover_timeout) == ("mymaster", 2, 5.0, 60.0)
    assert (watched.parallel_syncs, len(watched.instances), spec.maxmemory) == (1, 3, 2048 * MIB)
    assert redis.clusters_in(found)["mymaster"].maxmemory_policy == "allkeys-lru"
    (pool,) = nginx.wanted_pools(found)
    assert (pool.method, pool.keepalive, len(pool.members)) == ("least_conn", 32, 4)
    (api,) = app.instances_of(found, found.host("api1"))
    assert (api.cpu_quota, api.memory_max) == (100, 1024 * MIB)
    assert "api:rate_limit:*=60s" in api.environment["MARKET_TTLS"]


@pytest.mark.parametrize("chosen", [["mymaster"], ["mymaster", "sharded"], ["sharded"]])
def test_cahoots_goes_from_sentinel_to_cluster(read: Read, chosen: list[str]) -> None:
    more = {"cahoots_redis": chosen, "cahoots_app_redis": chosen[-1]}
    found = read("cahoots", overlay_of("cahoots", **more))
    assert [str(problem) for problem in check.problems(found, declared())] == []
    assert_redis_fits(found.fleet)
    specs = {spec.name: spec for spec in redis.clusters_of(found.fleet)}
    assert list(specs) == chosen
    if "sharded" in specs:
        sharded = specs["sharded"]
        assert (sharded.wanted_shards, sharded.replicas, sharded.node_timeout) == (3, 1, 5.0)
        (api,) = app.instances_of(found.fleet, found.fleet.host("api1"))
        assert api.environment["MARKET_REDIS_MODE"] == "cluster"


def test_kmp_is_as_its_document_says(read: Read) -> None:
    found = read("kmp").fleet
    spec = redis_of(found)
    assert (len(spec.instances), spec.replicas, spec.wanted_shards, spec.maxmemory) == (6, 1, 3, 0)
    (pool,) = nginx.wanted_pools(found)
    assert (pool.method, pool.max_conns, pool.fail_timeout) == ("least_conn", 100, 30)
    (api,) = app.instances_of(found, found.host("api1"))
    assert (api.cpu_quota, api.memory_max) == (50, 512 * MIB)
    assert (api.environment["MARKET_TTLS"].endswith("*=30m"), api.environment["MARKET_LOCAL_TTL"]) == (True, "5m")
