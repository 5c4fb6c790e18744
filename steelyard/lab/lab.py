# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A lab at work: finding it, and what is done to stand-ins that exist."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TypeVar

import docker
from docker.errors import DockerException
from docker.models.containers import Container
from paramiko import SSHException
from requests import RequestException

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until
from steelyard.lab import faults, machines, overlay, secure
from steelyard.lab.hostsfile import hosts_file
from steelyard.lab.inventory import MARKER
from steelyard.lab.model import CACHE_NAME, SeenLab, SeenStandIn
from steelyard.lab.network import cache_address_of
from steelyard.lab.overlay import OverlayPlace

NAME = re.compile(r"^[a-z0-9][a-z0-9_.-]{0,40}$")
PARALLEL = 8
BOOT_DEADLINE = 180  # seconds; booting takes 5, many at once on two cores take longer
LOGIN_DEADLINE = 60
FOLDER = ".lab"
BOOTED = ("running", "degraded")
WRITE = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"

# What Docker's client raises when the engine refuses, is slow, or has gone.
EXPECTED = (DockerException, RequestException)

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Lab:
    """A lab's name, inventory and files, and the engine its stand-ins run on."""

    name: str
    inventory: Path
    place: OverlayPlace
    client: docker.DockerClient

    def seen(self) -> SeenLab:
        """Return what exists of it now."""
        return machines.see_lab(self.client, self.name)

    def cuts(self) -> faults.Cuts:
        """Return which stand-ins are cut off from which."""
        return faults.Cuts.from_dict(overlay.read_marker(self.place).get("cuts", {}))


def lab_name(inventory: Path, name: str | None) -> str:
    """Return the lab's name: the given one, else that of the inventory's folder; raises Refused for a bad one."""
    is_file = inventory.is_file() or (bool(inventory.suffix) and not inventory.is_dir())
    folder = inventory.parent if is_file else inventory
    chosen = name or folder.resolve().name.lower()
    if not NAME.match(chosen):
        raise Refused(
            "a lab's name has small letters, digits, dots and hyphens", chosen, "give one with --name", str(inventory)
        )
    return chosen


def find_lab(inventory: str, name: str | None, client: docker.DockerClient | None = None) -> Lab:
    """Return the lab of an inventory, whether it exists or not; a lab that exists may be named itself instead.

    Raises Refused when the name is another inventory's, or when there is neither inventory nor lab.
    """
    client = client or machines.connect()
    path = Path(inventory)
    if not path.exists():
        return _find_by_name(inventory, name, client)
    if (path / MARKER).exists():
        raise Refused("a lab stands in for a real inventory", f"{path} is a lab's own overlay", "name the real one")
    chosen = lab_name(path, name)
    seen = machines.see_lab(client, chosen)
    if seen.exists and seen.inventory != str(path.resolve()):
        raise Refused(
            "a lab stands in for one inventory",
            f"{chosen} belongs to {seen.inventory}",
            f"give --name, or first: steelyard lab down {seen.inventory}",
            str(path),
        )
    return Lab(chosen, path, _place(seen), client)


def _find_by_name(inventory: str, name: str | None, client: docker.DockerClient) -> Lab:
    """Find a lab whose inventory has gone, by the lab's name in its place; raises Refused when there is none."""
    for chosen in dict.fromkeys((name or inventory, Path(inventory).name)):
        if not NAME.match(chosen):
            continue
        seen = machines.see_lab(client, chosen)
        place = _place(seen)
        known = seen.inventory or overlay.read_marker(place).get("inventory", "")
        if known and (chosen == inventory or known == str(Path(inventory).resolve())):
            return Lab(chosen, Path(known), place, client)
    raise Refused("the inventory is a file or a folder", inventory, "name one, for example inventories/market")


def _place(seen: SeenLab) -> OverlayPlace:
    folder = Path(seen.overlay) if seen.overlay else Path.cwd() / FOLDER / seen.name
    return OverlayPlace(folder, secure.control_directory(folder))


def pick(seen: SeenLab, hosts: Sequence[str]) -> tuple[SeenStandIn, ...]:
    """Return the stand-ins of `hosts`; raises Refused naming the hosts that have none. Pure."""
    if not seen.exists:
        raise Refused("the lab is up", f"{seen.name} does not exist", "run: steelyard lab up INVENTORY")
    known = ", ".join(stand_in.host for stand_in in seen.stand_ins)
    problems = [
        Problem(host, "a stand-in of this lab", "unknown", f"it has {known}")
        for host in hosts
        if seen.stand_in(host) is None
    ]
    if problems:
        raise Refused.of(problems)
    return tuple(stand_in for host in hosts if (stand_in := seen.stand_in(host)) is not None)


def in_parallel(work: Callable[[Item], Result], items: Iterable[Item], workers: int = PARALLEL) -> list[Result]:
    """Do `work` on every item, a few at a time; all are tried, then every failure is raised as one error."""
    results: list[Result] = []
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=workers) as pool:
        for future in [pool.submit(work, item) for item in items]:
            try:
                results.append(future.result())
            except SteelyardError as err:
                problems.extend(err.problems)
            except EXPECTED as err:
                problems.append(Problem("docker", "the engine does it", str(err)[:300], "run it again"))
    if problems:
        raise SteelyardError.of(problems)
    return results


def boot(container: Container, host: str) -> str:
    """Wait until systemd has started everything; returns the host's public key. Raises GateNotPassed."""

    def observe() -> str:
        container.reload()
        if container.status != "running":
            return f"container {container.status}"
        return machines.execute(container, ["systemctl", "is-system-running"])[1].strip()

    state = wait_until(observe, lambda seen: seen in BOOTED, BOOT_DEADLINE, f"{host} has booted")
    code, key = machines.execute(container, ["cat", "/etc/ssh/ssh_host_ed25519_key.pub"])
    if code != 0:
        raise SteelyardError("the stand-in has an SSH host key", f"{state}: {key.strip()}", "run `lab up` again", host)
    return key.strip()


def prove_login(lab: Lab, host: str, address: IPv4Address) -> None:
    """Log in as Ansible will, host key strictly checked; raises GateNotPassed with the last answer."""

    def observe() -> str:
        try:
            with secure.connect(address, lab.place.ssh) as connection:
                return str(connection.run("sudo -n id -u", hide=True, in_stream=False).stdout).strip()
        except (OSError, SSHException, EOFError) as err:
            return f"{type(err).__name__}: {err}"

    wait_until(observe, lambda seen: seen == "0", LOGIN_DEADLINE, f"{host} accepts SSH logins at {address}")


def write_names(lab: Lab, stand_ins: Iterable[SeenStandIn], subnet: IPv4Network | None) -> None:
    """Write every stand-in's name and address, and the package cache's, into /etc/hosts of the running ones.

    The cache's because Docker's resolver lives in the stand-in's own packet filter: whoever empties that (a
    firewall that flushes everything) loses it, and should still be able to install packages.
    """
    everyone = tuple(stand_ins)
    addresses = {stand_in.host: stand_in.address for stand_in in everyone}
    if subnet is not None:
        addresses.setdefault(CACHE_NAME, cache_address_of(subnet))

    def write(stand_in: SeenStandIn) -> None:
        container = machines.container_of(lab.client, stand_in)
        _code, existing = machines.execute(container, ["cat", "/etc/hosts"])
        wanted = hosts_file(existing, addresses)
        if wanted == existing:
            return
        # In place: Docker has mounted this very file.
        code, said = machines.execute(container, ["python3", "-c", WRITE, "/etc/hosts", wanted])
        if code != 0:
            raise SteelyardError("names are written to /etc/hosts", said.strip(), "run `lab up` again", stand_in.host)

    in_parallel(write, [stand_in for stand_in in everyone if stand_in.state == "running"])


def apply_cuts(lab: Lab, seen: SeenLab, cuts: faults.Cuts, hosts: Iterable[str]) -> None:
    """Make the packet filters of the running ones among `hosts` say what `cuts` says."""
    addresses = {stand_in.host: stand_in.address for stand_in in seen.stand_ins}

    def apply(stand_in: SeenStandIn) -> None:
        container = machines.container_of(lab.client, stand_in)
        code, said = machines.execute(container, ["nft", faults.ruleset(stand_in.host, cuts, addresses)])
        if code != 0:
            raise SteelyardError("nftables takes the cut", said.strip(), "look at the stand-in", stand_in.host)

    wanted = set(hosts)
    in_parallel(apply, [s for s in seen.stand_ins if s.host in wanted and s.state == "running"])


def change_cuts(lab: Lab, cuts: faults.Cuts) -> None:
    """Put new cuts into force, remember them for stand-ins that start later, and close connections to isolated ones."""
    seen, before = lab.seen(), lab.cuts()
    overlay.update_marker(lab.place, cuts=cuts.as_dict())
    concerned = {host for pair in before.pairs ^ cuts.pairs for host in pair} | (before.isolated ^ cuts.isolated)
    apply_cuts(lab, seen, cuts, concerned)
    gone = [s.address for s in seen.stand_ins if s.host in cuts.isolated]
    secure.close_connections(lab.place.control, gone)


def kill(lab: Lab, stand_ins: Iterable[SeenStandIn]) -> None:
    """Stop stand-ins as a power failure does, and close the connections to them."""

    def stop(stand_in: SeenStandIn) -> None:
        if stand_in.state == "running":
            machines.container_of(lab.client, stand_in).kill(signal="SIGKILL")

    chosen = tuple(stand_ins)
    in_parallel(stop, chosen)
    secure.close_connections(lab.place.control, [s.address for s in chosen])


def start(lab: Lab, stand_ins: Iterable[SeenStandIn]) -> None:
    """Start stand-ins that are not running, at their own addresses, and wait until they can be worked with."""
    chosen = tuple(stand_ins)
    cuts = lab.cuts()

    def begin(stand_in: SeenStandIn) -> None:
        container = machines.container_of(lab.client, stand_in)
        if container.status == "paused":
            container.unpause()
        elif container.status != "running":
            container.start()
        boot(container, stand_in.host)

    in_parallel(begin, chosen)
    seen = lab.seen()
    write_names(lab, seen.stand_ins, seen.subnet)
    apply_cuts(lab, seen, cuts, [s.host for s in chosen])
    in_parallel(lambda s: prove_login(lab, s.host, s.address), [s for s in chosen if s.host not in cuts.isolated])


def down(lab: Lab, hosts: Sequence[str] = ()) -> list[str]:
    """Remove the lab, or only some of its stand-ins; returns what was removed. What is not there is fine."""
    with overlay.locked(lab.place):
        return _down(lab, hosts)


def _down(lab: Lab, hosts: Sequence[str]) -> list[str]:
    seen = lab.seen()
    chosen = pick(seen, hosts) if hosts else seen.stand_ins
    secure.close_connections(lab.place.control, [s.address for s in chosen] if hosts else None)
    in_parallel(lambda s: machines.remove_container(machines.container_of(lab.client, s)), chosen)
    removed = [f"stand-in {s.host}" for s in chosen]
    if hosts:
        if lab.place.marker.exists():
            overlay.update_marker(lab.place, cuts=lab.cuts().without(hosts).as_dict())
            overlay.forget_hosts(lab.place, hosts)
        return removed
    if machines.remove_network(lab.client, lab.name):
        removed.append(f"network {machines.network_name(lab.name)}")
    if overlay.remove_overlay(lab.place):
        removed.append(f"overlay {lab.place.folder}")
    if lab.place.control.is_dir() and not any(lab.place.control.iterdir()):
        lab.place.control.rmdir()
    return removed
