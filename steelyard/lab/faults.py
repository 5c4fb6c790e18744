# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which stand-ins are cut off from which, and the packet filter's rules that say so. Pure.

A cut is a table of its own in each stand-in, looked at before any rule of the firewall role and before
connection tracking, so open connections stop too. Both ends drop both ways: one end that is restarted
or loses its rules does not reopen the cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from itertools import combinations
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

TABLE = "steelyard_lab_cut"
ALL = "all"


@dataclass(frozen=True)
class Cuts:
    """Pairs of hosts that do not reach each other, and hosts that reach nothing, not even the control machine."""

    pairs: frozenset[frozenset[str]] = field(default_factory=frozenset)
    isolated: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Cuts:
        """Read what `as_dict` wrote."""
        pairs = frozenset(frozenset(pair) for pair in value.get("pairs", ()))
        return cls(pairs, frozenset(value.get("isolated", ())))

    def as_dict(self) -> dict[str, Any]:
        """Return them for the lab's marker, in a stable order."""
        return {"pairs": sorted(sorted(pair) for pair in self.pairs), "isolated": sorted(self.isolated)}

    def peers_of(self, host: str) -> tuple[str, ...]:
        """Return the hosts that `host` is cut off from."""
        return tuple(sorted(peer for pair in self.pairs if host in pair for peer in pair - {host}))

    def without(self, hosts: Iterable[str]) -> Cuts:
        """Forget hosts that are no longer there."""
        gone = set(hosts)
        return Cuts(frozenset(pair for pair in self.pairs if not pair & gone), self.isolated - gone)


def cut(current: Cuts, hosts: Sequence[str], everyone: Sequence[str], control: bool = False) -> Cuts:
    """Return the cuts after `hosts` were cut from each other; one alone, or with `all`, from everyone else.

    With `control` they lose every connection, the control machine's too. Raises Refused when no host is named.
    """
    named = [host for host in hosts if host != ALL]
    if not named and ALL not in hosts:
        raise Refused("a cut is between hosts", "none named", "name two hosts, or one and `all`")
    if control:
        return Cuts(current.pairs, current.isolated | set(named or everyone))
    if not named:
        pairs = {frozenset(pair) for pair in combinations(everyone, 2)}
    elif len(named) == 1 or ALL in hosts:
        pairs = {frozenset((host, other)) for host in named for other in everyone if other != host}
    else:
        pairs = {frozenset(pair) for pair in combinations(dict.fromkeys(named), 2)}
    return Cuts(current.pairs | pairs, current.isolated)


def heal(current: Cuts, hosts: Sequence[str]) -> Cuts:
    """Return the cuts after healing: between the named hosts, all of one named alone, all when none is named."""
    named = {host for host in hosts if host != ALL}
    if not named:
        return Cuts()
    if len(named) == 1 or ALL in hosts:
        return Cuts(frozenset(pair for pair in current.pairs if not pair & named), current.isolated - named)
    return Cuts(frozenset(pair for pair in current.pairs if not pair <= named), current.isolated - named)


def ruleset(host: str, cuts: Cuts, addresses: Mapping[str, IPv4Address]) -> str:
    """Return nft commands that make the stand-in's cuts exactly these, in one transaction."""
    # Adding the table first makes the removal work whether or not it was there.
    lines = [f"add table inet {TABLE}", f"delete table inet {TABLE}"]
    peers = [str(addresses[peer]) for peer in cuts.peers_of(host) if peer in addresses]
    if host in cuts.isolated:
        rules = ("iifname != lo drop", "oifname != lo drop")
    elif peers:
        inside = f"{{ {', '.join(peers)} }}"
        rules = (f"ip saddr {inside} drop", f"ip daddr {inside} drop")
    else:
        return "\n".join(lines) + "\n"
    lines.append(f"add table inet {TABLE}")
    for hook, rule in zip(("input", "output"), rules, strict=True):
        chain = f"inet {TABLE} {hook}"
        lines.append(f"add chain {chain} {{ type filter hook {hook} priority -400; policy accept; }}")
        lines.append(f"add rule {chain} {rule}")
    return "\n".join(lines) + "\n"
