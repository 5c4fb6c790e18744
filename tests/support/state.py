"""What must be true of the machines after an operation, read from the machines themselves."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterable

from support.rehearsal import Rehearsal

# Everything that the app role and its module put on a host.
LEFTOVERS = "ls -d /opt/steelyard/app /etc/steelyard/app /etc/systemd/system/app* /run/systemd/transient/app* 2>/dev/null || true"

BEHIND = ("worker1", "redis1")  # what the API asks: their firewalls let its hosts in


def get(url: str, timeout: float = 10) -> tuple[int, str]:
    """Return status and body of one request; an HTTP error is an answer, not an exception."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def served_by(url: str, times: int = 30) -> Counter[str]:
    """Return how many of `times` requests through the balancer each host answered."""
    return Counter(json.loads(get(f"{url}/whoami")[1])["host"] for _ in range(times))


def members(fleet: Rehearsal, balancer: str) -> str:
    """Return the members of the pool `api` as a balancer's file has them."""
    return fleet.shell(balancer, "cat /etc/nginx/steelyard/pools/api.members")


def assert_nothing_left_behind(fleet: Rehearsal, hosts: Iterable[str] = ("lb1", "lb2")) -> None:
    """No lease and no undo note on any of these hosts: the balancers, unless said otherwise."""
    for host in hosts:
        for directory in ("undo", "lease"):
            find = f"find /var/lib/steelyard/{directory} -type f ! -name '.*' 2>/dev/null || true"
            assert fleet.shell(host, find).strip() == "", f"left in {directory} of {host}"


def assert_gone(fleet: Rehearsal, host: str) -> None:
    """Units, files, pool entries and firewall set members of a host that left are all gone."""
    address = fleet.address(host)
    assert fleet.shell(host, LEFTOVERS).strip() == ""
    assert fleet.shell(host, "systemctl list-units --all --plain --no-legend 'app@*' 'app*.slice'").strip() == ""
    for balancer in ("lb1", "lb2"):
        assert address not in fleet.shell(balancer, "cat /etc/nginx/steelyard/pools/*")
    for host_behind in BEHIND:
        assert address not in fleet.shell(host_behind, "nft list ruleset"), host_behind
    assert_nothing_left_behind(fleet)


def assert_member(fleet: Rehearsal, host: str) -> None:
    """The balancer has the host in its pool, and the firewalls of workers and Redis let it in."""
    address = fleet.address(host)
    for balancer in ("lb1", "lb2"):
        assert f"{address}:8000" in fleet.shell(balancer, "cat /etc/nginx/steelyard/pools/api.members")
    for host_behind in BEHIND:
        assert address in fleet.shell(host_behind, "nft list ruleset"), host_behind
    assert_nothing_left_behind(fleet)
