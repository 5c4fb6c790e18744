# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges all hosts by their facts before the first change: what was seen, the rule, the remedy. Pure: no Ansible."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from ansible_collections.steelyard.stack.plugins.module_utils import services
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.host.model import HostFacts
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.report import gather, host_list, tidy
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, format_size

PROVEN = (("debian", "12"), ("debian", "13"))
ACCEPTED = (("ubuntu", "22.04"), ("ubuntu", "24.04"))
OLDEST_PYTHON = (3, 10)
LEAST_MEMORY = 192 * 2**20  # a minimal Debian with systemd and sshd, and apt at work
LEAST_DISK = 512 * 2**20  # packages, one more release, and logs until somebody looks
MOST_SKEW = 1.0  # seconds; leases, journals and certificates compare clocks
DISKS = ("/", "/var")
INSTALLING = frozenset({"site", "scale"})
"""Operations that put something on hosts; others only need hosts that answer and obey."""

LONGEST_REASON = 120
_AROUND = re.compile(r"^(Task failed: |Failed to connect to the host via ssh: )+")

Facts: TypeAlias = "Mapping[str, Mapping[str, Any] | None]"


def judge(
    fleet: Fleet,
    facts: Facts,
    hosts: Collection[str],
    operation: str,
    allow_unreachable: Collection[str] = (),
    said: Mapping[str, str] | None = None,
) -> list[Problem]:
    """Return everything that is wrong with the `hosts` of this operation; equal problems of several are one.

    `facts` are the `steelyard_host` facts, None (or missing) for a host that did not answer; `said` is what
    was said of it instead.
    """

    def each() -> Iterator[tuple[str, Problem]]:
        for host in fleet.hosts:
            seen = facts.get(host.name)
            if host.name not in hosts or (seen is None and host.name in allow_unreachable):
                continue
            if seen is None:
                yield host.name, replace(UNREACHABLE, seen=in_short((said or {}).get(host.name, "")))
                continue
            for problem in _of_host(fleet, host, seen, operation):
                yield host.name, problem

    return tidy(gather(each(), ()))


def notes(fleet: Fleet, facts: Facts, hosts: Collection[str]) -> list[str]:
    """Return what is not wrong, but what the reader should know."""
    accepted: dict[str, list[str]] = {}
    for host in fleet.hosts:
        found = _os(facts.get(host.name) or {})
        if host.name in hosts and found in ACCEPTED:
            accepted.setdefault(" ".join(found), []).append(host.name)
    return [f"{name} takes the same path as Debian, unproven: {host_list(on)}" for name, on in accepted.items()]


UNREACHABLE = Problem(
    "connection",
    "every host that the operation needs answers",
    "no answer",
    "start it, or correct ansible_host, the SSH key or the sudo password (-K); mark one that is away "
    "steelyard_state: maintenance, one that is gone for good steelyard_state: leaving",
)


def in_short(said: str) -> str:
    """Return the line that says why a host did not answer, at most LONGEST_REASON characters of it."""
    text = _AROUND.sub("", said.strip())
    lines = (" ".join(line.split()) for line in text.splitlines())
    line = next((line for line in lines if line and not line.startswith("Warning: Permanently added")), "")
    if not line:
        return UNREACHABLE.seen
    return line if len(line) <= LONGEST_REASON else f"{line[: LONGEST_REASON - 1]}…"


def _of_host(fleet: Fleet, host: Host, raw: Mapping[str, Any], operation: str) -> Iterator[Problem]:
    try:
        known = HostFacts.from_dict(raw, host.vars.get("steelyard_memory"), host.vars.get("steelyard_cpus"))
        yield from _system(known)
        if operation in INSTALLING:
            yield from _room(known)
            yield from _names(known)
            yield from _access(host, known)
            if host.state_of("app") != "leaving":
                yield from _ports(fleet, host, known)
                yield from _taken(fleet, host, known) if operation == "site" else ()
                yield from services.oversubscription(fleet, host, known.memory, known.cpus)
    except SteelyardError as error:
        yield from error.problems


def _system(known: HostFacts) -> Iterator[Problem]:
    name, version = _os(known.raw)
    if (name, version) not in (*PROVEN, *ACCEPTED):
        supported = ", ".join(" ".join(each) for each in (*PROVEN, *ACCEPTED))
        yield Problem("os", "the operating system is supported", f"{name} {version}", f"install one of {supported}")
    python = tuple(known.raw.get("python") or (0, 0))
    if python < OLDEST_PYTHON:
        remedy = "install a newer one, and name it in ansible_python_interpreter"
        yield Problem("python", "Python is at least 3.10", ".".join(map(str, python)), remedy)
    if known.uid != 0:
        remedy = "let the login user use sudo, or give ansible_become_password in a vault"
        yield Problem("sudo", "tasks run as root", f"uid {known.uid}", remedy)
    if abs(known.clock_skew) > MOST_SKEW:
        way = "ahead of" if known.clock_skew > 0 else "behind"
        seen = f"{format_duration(abs(known.clock_skew))} {way} the control machine"
        yield Problem("clock", f"clocks differ by at most {MOST_SKEW:g} s", seen, "set the clock; chronyc makestep")


def _room(known: HostFacts) -> Iterator[Problem]:
    if known.memory < LEAST_MEMORY:
        rule, remedy = f"there are at least {format_size(LEAST_MEMORY)} of memory", "give the host more"
        if known.stated_memory == known.memory:
            remedy = "give the host more, or raise steelyard_memory"
        yield Problem("memory", rule, format_size(known.memory), remedy)
    for disk in known.raw.get("disks") or ():
        if disk["mount"] in DISKS and disk["free"] < LEAST_DISK:
            rule, seen = f"{format_size(LEAST_DISK)} are free on {disk['mount']}", format_size(disk["free"])
            remedy = "remove what is old (journalctl --vacuum-size, apt-get clean), or grow it"
            yield Problem("disk", rule, seen, remedy)


def _names(known: HostFacts) -> Iterator[Problem]:
    for name, found in sorted((known.raw.get("resolve") or {}).items()):
        if not found.get("addresses"):
            remedy = f"add {name} to DNS or /etc/hosts there, or state an IP address as steelyard_address"
            yield Problem("names", "the host can look up the hosts that it talks to", f"no address for {name}", remedy)
        elif not any(_same_name(name, other) for other in found.get("names") or ()):
            where = ", ".join(found["addresses"])
            seen = f"{where} is {', '.join(found.get('names') or ()) or 'nobody'}, not {name}"
            remedy = f"give {where} the name {name} in reverse DNS or /etc/hosts, or state steelyard_address"
            yield Problem("names", "addresses lead back to their names", seen, remedy)


def _access(host: Host, known: HostFacts) -> Iterator[Problem]:
    if known.ssh_peer and services.shuts_out(host, known.ssh_peer):
        remedy = f"add a network with {known.ssh_peer} to it, or you lock yourself out"
        seen = f"you come from {known.ssh_peer}"
        yield Problem("steelyard_control_networks", "SSH stays allowed from where it comes from now", seen, remedy)


def _ports(fleet: Fleet, host: Host, known: HostFacts) -> Iterator[Problem]:
    for wanted in services.listeners(fleet, host):
        holders: dict[str, list[str]] = {}
        for socket in known.raw.get("listening") or ():
            unit, address = str(socket.get("unit") or ""), str(socket["address"])
            if socket["port"] == wanted.port and services.overlap(wanted.address, address) and not services.owns(unit):
                holders.setdefault(unit or str(socket.get("process") or "an unknown process"), []).append(address)
        for holder, addresses in holders.items():
            seen = f"port {wanted.port} for {wanted.service} is held by {holder} on {', '.join(addresses)}"
            remedy = f"stop and disable {holder}, or choose another port"
            yield Problem("ports", "ports that the inventory wants are free, or ours", seen, remedy)


def _taken(fleet: Fleet, host: Host, known: HostFacts) -> Iterator[Problem]:
    """Refuse to change the firewall of a host whose balancers may still send to a port that it no longer has."""
    for seen in services.still_served(fleet, host, known.raw.get("listening") or ()):
        rule = "a host that serves loses a port or group only after it left"
        remedy = (
            "undo that change, mark the host app_state: leaving, run scale.yml; then change it, mark it present, run "
            "scale.yml"
        )
        yield Problem("app_ports", rule, f"{seen} still runs", remedy)


def _os(raw: Mapping[str, Any]) -> tuple[str, str]:
    found = raw.get("os") or {}
    return str(found.get("id", "")), str(found.get("version_id", ""))


def _same_name(name: str, other: str) -> bool:
    """Return whether one name is the other, or the other with its domain."""
    one, two = name.rstrip(".").lower(), other.rstrip(".").lower()
    return one == two or one.startswith(f"{two}.") or two.startswith(f"{one}.")
