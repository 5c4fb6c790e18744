"""Fleets whose hosts reach each other by DNS name, or by IPv6, built, scaled out and in on a lab of their own.

An overlay states IPv4 addresses, so both are stated on the command line here, where they win.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.types import IPAMConfig, IPAMPool
from support.rehearsal import Rehearsal
from support.runs import BIN, ROOT, Run, run
from support.state import served_by

HOSTS = ("lb1", "api1", "api2", "api3", "worker1")
NETWORK6 = "steelyard-addresses-ipv6"
BIND_HOSTS = 'mount --bind "$0" /etc/hosts && exec "$@"'


class Fleet(Rehearsal):
    """A lab in which every host has the address that `stated` says; `hosts_file` is this machine's in its runs."""

    stated: dict[str, str]
    hosts_file: Path | None = None

    def run_with_addresses(self, playbook: str) -> Run:
        """Run a playbook with the stated addresses."""
        own = {
            "stated": self.stated,
            "steelyard_address": "{{ stated[inventory_hostname] }}",
            "market_feeds": f"http://{in_url(self.stated['worker1'])}:9000",
        }
        argv = [BIN / "ansible-playbook", "-i", self.inventory, "-i", self.overlay, f"playbooks/{playbook}.yml"]
        # A mount namespace of its own: nobody else sees this /etc/hosts.
        inside = ["unshare", "--mount", "sh", "-c", BIND_HOSTS, self.hosts_file] if self.hosts_file else []
        record = ROOT / ".build" / "records" / f"{self.name}.jsonl"
        record.parent.mkdir(parents=True, exist_ok=True)
        return run(*inside, *argv, "-e", json.dumps(own), record=record, timeout=900)


def in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    run("python", "examples/market_api/build_release.py").ok()
    market = Fleet("addresses", ROOT / "inventories" / "market")
    without_redis(market)
    market.add_host("api", "api3", ansible_host="192.0.2.23", lab_memory="384mb", steelyard_state="leaving")
    market.lab("up").ok()
    try:
        yield market
    finally:
        market.lab("down").ok()


def without_redis(market: Fleet) -> None:
    """Take Redis out: its hosts are reached by IP addresses alone, and that is refused otherwise."""
    with market.edit() as hosts:
        del hosts["redis"]
    with market.edit("group_vars/all/redis.yml") as stated:
        stated["redis_clusters"] = {}
    with market.edit("group_vars/all/app.yml") as stated:
        api = stated["app_classes"]["api"]
        for part in ("environment", "secrets"):
            api[part] = {name: value for name, value in api[part].items() if "REDIS" not in name}


def grow_and_shrink(fleet: Fleet) -> None:
    """Build the fleet, add api3 and take it away; every pool line and firewall set has the stated addresses."""
    url = f"http://{fleet.address('lb1')}"
    fleet.run_with_addresses("site").ok()
    assert fleet.run_with_addresses("site").ok().changed == {}
    fleet.run_with_addresses("verify").ok()
    assert set(served_by(url)) == {"api1", "api2"}
    fleet.mark("api", "api3", steelyard_state="present")
    fleet.run_with_addresses("scale").ok()
    assert set(served_by(url)) == {"api1", "api2", "api3"}
    members = fleet.shell("lb1", "cat /etc/nginx/steelyard/pools/api.members")
    for host in ("api1", "api2", "api3"):
        assert f"server {in_url(fleet.stated[host])}:8000 " in members
    fleet.mark("api", "api3", steelyard_state="leaving")
    fleet.run_with_addresses("scale").ok()
    assert set(served_by(url)) == {"api1", "api2"}
    assert "api3" not in fleet.shell("lb1", "cat /etc/nginx/steelyard/pools/api.members")


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="names need a mount namespace: run as root"
)
def test_hosts_reach_each_other_by_name(fleet: Fleet) -> None:
    """The control machine looks names up too, for firewall sets: they resolve there as they do on the stand-ins."""
    fleet.stated = {host: host for host in HOSTS}
    fleet.hosts_file = ROOT / ".build" / "rehearsal" / "addresses.hosts"
    own = "".join(f"{fleet.address(host)} {host}\n" for host in HOSTS)
    fleet.hosts_file.write_text(Path("/etc/hosts").read_text() + own)
    grow_and_shrink(fleet)
    sets = fleet.shell("worker1", "nft list set inet steelyard api_v4")
    assert fleet.address("api1") in sets
    assert fleet.address("api3") not in sets


@pytest.fixture
def addresses6(fleet: Fleet) -> Iterator[dict[str, str]]:
    """A second network with IPv6, which every stand-in is attached to; skips where Docker has none."""
    client = docker.from_env()
    pools = [IPAMPool(subnet="fd5e:1ab:77::/64")]
    try:
        network = client.networks.create(NETWORK6, enable_ipv6=True, ipam=IPAMConfig(pool_configs=pools))
    except docker.errors.APIError as error:
        pytest.skip(f"Docker makes no network with IPv6 here: {error.explanation}")
    try:
        for host in HOSTS:
            network.connect(f"steelyard-{fleet.name}-{host}")
        network.reload()
        found = {c["Name"].rpartition("-")[2]: c["IPv6Address"] for c in network.attrs["Containers"].values()}
        yield {host: str(ipaddress.ip_interface(address).ip) for host, address in found.items()}
    finally:
        network.reload()
        for container in network.attrs["Containers"]:
            network.disconnect(container, force=True)
        network.remove()


def test_hosts_reach_each_other_over_ipv6(fleet: Fleet, addresses6: dict[str, str]) -> None:
    fleet.stated = addresses6
    grow_and_shrink(fleet)
    sets = fleet.shell("worker1", "nft list set inet steelyard api_v6")
    assert addresses6["api1"] in sets
    assert addresses6["api3"] not in sets
