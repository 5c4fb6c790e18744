# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The packet filter a host should have, from the fleet and the listeners on the host. Pure: no Ansible, no I/O.

One nftables table, `inet steelyard`, with one chain on input that drops what no rule accepts. Peers are named
sets, two for each inventory group that a rule names, so that a host which joins or leaves a group changes the
elements of sets on its peers, and no rule.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Host, Listener

TABLE = "steelyard"
SSH_PORT = 22
FAMILIES = {4: ("v4", "ipv4_addr", "ip"), 6: ("v6", "ipv6_addr", "ip6")}
# Which service's state says that a host leaves a group; the other groups of a service are named like it, and
# groups that only the inventory knows are classes of applications.
SERVICE_OF_GROUP = {"load_balancers": "nginx", "api": "app", "workers": "app"}
_NAME = re.compile(r"^[A-Za-z0-9 ._/-]{1,60}$")
EXTRA_KEYS = ("port", "proto", "networks", "groups", "name")
# Connections from before the table exists are unknown to connection tracking; see `client.Client.create`.
EARLIER = {"earlier_v4": "ipv4_addr", "earlier_v6": "ipv6_addr"}


@dataclass(frozen=True)
class Rule:
    """One rule: a name for people, and nftables' text without the comment."""

    name: str
    text: str

    @property
    def comment(self) -> str:
        """Return what marks the rule in the kernel: its name and a digest of its text."""
        return f"{self.name[:100]} {hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class PeerSet:
    """A named set of peers. `leaving` may stay in it until those hosts have been drained; `names` are unresolved."""

    name: str
    kind: str
    elements: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    names: tuple[tuple[str, str, bool], ...] = ()


@dataclass(frozen=True)
class Table:
    """The table as wanted; `enabled` False means that it should not exist."""

    enabled: bool = True
    rules: tuple[Rule, ...] = ()
    sets: tuple[PeerSet, ...] = ()
    control_networks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the table in JSON types."""
        return {
            "enabled": self.enabled,
            "control_networks": list(self.control_networks),
            "rules": [{"name": rule.name, "text": rule.text} for rule in self.rules],
            "sets": {
                s.name: {
                    "type": s.kind, "elements": list(s.elements), "leaving": list(s.leaving),
                    "names": [{"host": host, "name": name, "leaving": gone} for host, name, gone in s.names],
                }
                for s in self.sets
            },
        }  # fmt: skip

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Table:
        """Read back what `as_dict` wrote."""
        sets = tuple(
            PeerSet(
                name, s["type"], tuple(s["elements"]), tuple(s.get("leaving", ())),
                tuple((n["host"], n["name"], bool(n["leaving"])) for n in s.get("names", ())),
            )
            for name, s in raw.get("sets", {}).items()
        )  # fmt: skip
        rules = tuple(Rule(r["name"], r["text"]) for r in raw.get("rules", ()))
        return cls(bool(raw["enabled"]), rules, sets, tuple(raw.get("control_networks", ())))


@dataclass(frozen=True)
class Extra:
    """One entry of `firewall_extra_rules`."""

    port: str
    proto: str = "tcp"
    networks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    name: str = field(default="extra")


def wanted_table(fleet: Fleet, host: Host, listeners: Sequence[Listener]) -> dict[str, Any]:
    """Return the wanted table of one host in JSON types; raises Refused on unusable variables."""
    found = problems_of(fleet, host)
    if found:
        raise Refused.of(found)
    if not enabled(host):
        return Table(enabled=False).as_dict()
    control = tuple(_network(n) for n in host.vars["steelyard_control_networks"])
    openings = [_opening_of(li) for li in _reachable(listeners)] + _extras(host)
    groups = sorted({group for opening in openings for group in opening.groups})
    rules = [*_basic_rules(), *_ssh_rules(host, control)]
    for opening in sorted(set(openings), key=lambda o: (o.name, o.proto, o.port, o.groups, o.networks)):
        rules += _rules_of(opening)
    sets = tuple(s for group in groups for s in _peer_sets(fleet, group))
    return Table(True, tuple(rules), sets, control).as_dict()


def problems(fleet: Fleet) -> list[Problem]:
    """Return what is wrong with the firewall variables of all hosts."""
    return [problem for host in fleet.hosts for problem in problems_of(fleet, host)]


def problems_of(fleet: Fleet, host: Host) -> list[Problem]:
    """Return what is wrong with the firewall variables of one host."""
    if not enabled(host):
        return []
    where = f"{host.name}: steelyard_control_networks"
    networks = host.vars.get("steelyard_control_networks") or ()
    if not networks or isinstance(networks, str):
        remedy = "list the networks you administer from, e.g. [192.0.2.0/24], or set firewall_enabled: false"
        return [Problem(where, "SSH is allowed from somewhere", repr(networks), remedy)]
    found = _bad_networks(where, networks)
    for port in _ssh_ports(host):
        if not _is_port_range(str(port)):
            ports = f"{host.name}: firewall_ssh_ports"
            found.append(Problem(ports, "a port is 1 to 65535", repr(port), "list the ports that sshd listens on"))
    known = {group for each in fleet.hosts for group in each.groups}
    for number, raw in enumerate(host.vars.get("firewall_extra_rules") or ()):
        found += _bad_extra(f"{host.name}: firewall_extra_rules[{number}]", raw, known)
    return found


def lets_in(fleet: Fleet, host: Host, peer: Host, listener: Listener) -> bool:
    """Return whether the host's table, as wanted, lets `peer` connect to the listener.

    It does where that cannot be told: an address that is only known as a name, variables that are refused elsewhere.
    """
    if not enabled(host) or host.name == peer.name:
        return True
    try:
        if _admits(_opening_of(listener), peer):
            return True
    except ValueError:  # a network that is none
        return True
    if not host.vars.get("firewall_extra_rules"):
        return False
    if problems_of(fleet, host):
        return True
    return any(e.proto == "tcp" and _covers(e.port, listener.port) and _admits(e, peer) for e in _extras(host))


def _admits(opening: Extra, peer: Host) -> bool:
    if peer.groups & set(opening.groups):
        return True
    return bool(opening.networks) and not (_is_address(peer.address) and outside(peer.address, opening.networks))


def _covers(ports: str, port: int) -> bool:
    ends = ports.split("-")
    return int(ends[0]) <= port <= int(ends[-1])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def outside(peer: str, networks: Iterable[str]) -> bool:
    """Say whether an address is in none of the networks; an IPv4 address inside IPv6 counts as IPv4."""
    address = ipaddress.ip_address(peer.partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    return not any(address in ipaddress.ip_network(n, strict=False) for n in networks)


def enabled(host: Host) -> bool:
    """Return whether the host filters packets. A value given on the command line is a word."""
    return str(host.vars.get("firewall_enabled", True)).lower() not in ("false", "no", "off", "0")


def _bad_networks(where: str, networks: Iterable[Any]) -> list[Problem]:
    found = []
    for network in networks:
        try:
            _network(network)
        except ValueError:
            found.append(Problem(where, "a network is an address with a prefix length", repr(network), _HOW))
    return found


_HOW = "write it as 192.0.2.0/24 or 2001:db8::/32"


def _bad_extra(where: str, raw: Any, known: set[str]) -> list[Problem]:
    if not isinstance(raw, Mapping) or "port" not in raw or set(raw) - set(EXTRA_KEYS):
        rule = f"a rule has a port and any of {', '.join(EXTRA_KEYS[1:])}"
        return [Problem(where, rule, repr(raw), "e.g. {port: 9100, networks: [192.0.2.0/24]}")]
    found = _bad_networks(where, raw.get("networks") or ())
    if not _is_port_range(str(raw["port"])):
        found.append(Problem(where, "a port is 1 to 65535, or a range", repr(raw["port"]), "write 9100 or 9100-9110"))
    if raw.get("proto", "tcp") not in ("tcp", "udp"):
        found.append(Problem(where, "proto is tcp or udp", repr(raw["proto"]), "choose one"))
    if not _NAME.match(str(raw.get("name", "extra"))):
        remedy = "use letters, digits, spaces and . _ / -"
        found.append(Problem(where, "a name is at most 60 plain characters", repr(raw["name"]), remedy))
    unknown = [group for group in raw.get("groups") or () if group not in known]
    if unknown:
        found.append(Problem(where, "the groups are in the inventory", ", ".join(unknown), "check the spelling"))
    if not raw.get("networks") and not raw.get("groups"):
        found.append(Problem(where, "a rule says who may connect", "neither networks nor groups", "add one of them"))
    return found


def _is_port_range(text: str) -> bool:
    ends = text.split("-")
    return len(ends) <= 2 and all(e.isdigit() and 0 < int(e) < 65536 for e in ends) and int(ends[0]) <= int(ends[-1])


def _ssh_ports(host: Host) -> list[Any]:
    return list(host.vars.get("firewall_ssh_ports") or [host.vars.get("ansible_port") or SSH_PORT])


def _network(value: Any) -> str:
    return str(ipaddress.ip_network(str(value), strict=False))


def _reachable(listeners: Iterable[Listener]) -> list[Listener]:
    """Leave out what only this host can reach, and what nobody may."""
    return [li for li in listeners if not _is_loopback(li.address) and (li.groups or li.networks)]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _opening_of(listener: Listener) -> Extra:
    networks = tuple(sorted({_network(n) for n in listener.networks}))
    groups = tuple(sorted(set(listener.groups)))
    return Extra(str(listener.port), "tcp", networks, groups, listener.service)


def _extras(host: Host) -> list[Extra]:
    return [
        Extra(
            str(raw["port"]), str(raw.get("proto", "tcp")),
            tuple(sorted({_network(n) for n in raw.get("networks") or ()})),
            tuple(sorted(set(raw.get("groups") or ()))), str(raw.get("name", "extra")),
        )
        for raw in host.vars.get("firewall_extra_rules") or ()
    ]  # fmt: skip


def _basic_rules() -> list[Rule]:
    errors = "destination-unreachable, time-exceeded, parameter-problem, echo-request"
    neighbours = "nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, mld-listener-query"
    return [
        Rule("known connections", "ct state established,related accept"),
        Rule("invalid", "ct state invalid drop"),
        Rule("loopback", 'iif "lo" accept'),
        Rule("icmp", f"icmp type {{ {errors} }} accept"),
        Rule("icmpv6", f"icmpv6 type {{ {errors}, packet-too-big, {neighbours} }} accept"),
        Rule("dhcpv6 replies", "ip6 saddr fe80::/10 udp dport 546 accept"),
        Rule("earlier connections", "ip saddr . tcp sport . tcp dport @earlier_v4 accept"),
        Rule("earlier connections", "ip6 saddr . tcp sport . tcp dport @earlier_v6 accept"),
    ]


def _ssh_rules(host: Host, control: Sequence[str]) -> list[Rule]:
    """Literal networks, so that a change of who may use SSH replaces the table, which is armed with a rollback."""
    return [rule for port in _ssh_ports(host) for rule in _from_networks("ssh", "tcp", str(port), control)]


def _rules_of(opening: Extra) -> list[Rule]:
    rules = []
    for group in opening.groups:
        for suffix, _kind, keyword in FAMILIES.values():
            name = f"{opening.name} {opening.port} from {group}"
            text = f"{keyword} saddr @{group}_{suffix} {opening.proto} dport {opening.port} accept"
            rules.append(Rule(name, text))
    return rules + _from_networks(opening.name, opening.proto, opening.port, opening.networks)


def _from_networks(name: str, proto: str, port: str, networks: Iterable[str]) -> list[Rule]:
    rules = []
    for raw in networks:
        network = ipaddress.ip_network(raw)
        keyword = FAMILIES[network.version][2]
        source = f"meta nfproto ipv{network.version}" if network.prefixlen == 0 else f"{keyword} saddr {network}"
        rules.append(Rule(f"{name} {port} from {network}", f"{source} {proto} dport {port} accept"))
    return rules


def _peer_sets(fleet: Fleet, group: str) -> list[PeerSet]:
    service = SERVICE_OF_GROUP.get(group, group if group in GROUPS else "app")
    members: dict[tuple[int, bool], set[str]] = {}
    names = []
    for host in fleet.group(group):
        gone = host.state_of(service) == "leaving"
        try:
            address = ipaddress.ip_address(host.address)
        except ValueError:
            names.append((host.name, host.address, gone))
            continue
        members.setdefault((address.version, gone), set()).add(str(address))
    return [
        PeerSet(
            f"{group}_{suffix}", kind, _sorted(members.get((version, False), ())),
            _sorted(members.get((version, True), set()) - members.get((version, False), set())), tuple(names),
        )
        for version, (suffix, kind, _keyword) in FAMILIES.items()
    ]  # fmt: skip


def _sorted(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(addresses, key=lambda a: ipaddress.ip_address(a).packed))


def resolved(table: Table, addresses: Mapping[str, Sequence[str]]) -> Table:
    """Return the table with host names replaced by `addresses`; raises Refused, naming every unknown one."""
    missing = {(host, name) for s in table.sets for host, name, _gone in s.names if not addresses.get(name)}
    if missing:
        remedy = "give the host a steelyard_address, or a name that the control machine can resolve"
        rule = "peers have an address"
        raise Refused.of(Problem(host, rule, name, remedy) for host, name in sorted(missing))
    sets = []
    for peers in table.sets:
        version = 4 if peers.kind == "ipv4_addr" else 6
        new: dict[bool, set[str]] = {False: set(peers.elements), True: set(peers.leaving)}
        for _host, name, gone in peers.names:
            new[gone] |= {a for a in addresses[name] if ipaddress.ip_address(a).version == version}
        here, gone_ones = _sorted(new[False]), _sorted(new[True] - new[False])
        sets.append(PeerSet(peers.name, peers.kind, here, gone_ones))
    return Table(table.enabled, table.rules, tuple(sets), table.control_networks)
