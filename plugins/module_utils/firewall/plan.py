# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the table as it is to the table as wanted. Pure: values in, values out.

Where only peers changed, elements are added and removed in place and every rule keeps its counters. Where rules
changed the table is replaced as a whole, which the executor arms with a rollback.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.fingerprint import fingerprint
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import (
    EARLIER,
    TABLE,
    PeerSet,
    Table,
    outside,
)
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.parse import SeenTable
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Refusal, Step

CHAINS = (("input", "input", "drop", 0),)
PRUNE = "firewall_prune"
"""The variable that takes those out of the sets whom the inventory does not know."""


@dataclass(frozen=True)
class Keep:
    """Who stays in a set though the inventory does not place it there.

    `leaving`: hosts that leave, until they are drained. `unknown`: addresses of no host of the group, which may be
    those of a live machine whose line was deleted, or changed, before it had left.
    """

    leaving: bool = False
    unknown: bool = False


KEEP_NOBODY = Keep()


@dataclass(frozen=True)
class Seen:
    """What the planner looks at. `persisted`: the files for the next boot are as wanted; `armed`: a rollback waits."""

    table: SeenTable | None
    ssh_peer: str = ""
    persisted: bool = False
    armed: bool = False
    forbidden: str = ""


def make_plan(seen: Seen, wanted: Table, host: str, keep: Keep = KEEP_NOBODY) -> Plan:
    """Return the steps; addresses that are in a set and that `keep` names stay there."""
    if seen.forbidden:
        note = f"packet filtering is not possible on {host} ({seen.forbidden}): left out"
        return Plan("firewall", host, notes=(note,))
    if not wanted.enabled:
        gone = seen.table is None and not seen.persisted
        return _plan(() if gone else (_step("remove_table", TABLE, host),), (), seen, wanted, host)
    refusals = _refusals(seen.ssh_peer, wanted)
    if refusals:
        return _plan((), refusals, seen, wanted, host)
    steps = _table_steps(seen, wanted, host, keep)
    if seen.armed and not any(s.verb.endswith("_table") for s in steps):
        steps = (*steps, _step("confirm", TABLE, host, "a new rule set still waits for its confirmation"))
    if not seen.persisted and not any(s.verb.endswith("_table") or s.verb == "confirm" for s in steps):
        steps = (*steps, _step("persist", TABLE, host, "for the next boot"))
    return _plan(steps, (), seen, wanted, host, _notes(seen.table, wanted, host) if keep.unknown else ())


def effective_sets(seen: SeenTable | None, wanted: Table, keep: Keep) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return type and elements of each peer set as they should be afterwards.

    A leaving host that could connect until now (no such set yet) keeps that right with `keep.leaving`.
    """
    found = {}
    for peers in wanted.sets:
        there: set[str] = set(peers.leaving) if keep.leaving else set()
        if seen is not None and peers.name in seen.sets:
            there &= set(seen.sets[peers.name][1])
        unknown = _unknown(seen, peers) if keep.unknown else set()
        elements = {*peers.elements, *there, *unknown}
        found[peers.name] = (peers.kind, tuple(sorted(elements, key=_order)))
    return found


def _unknown(seen: SeenTable | None, peers: PeerSet) -> set[str]:
    """Return what is in one of our sets and is the address of no host of its group, leaving or not."""
    kind, elements = seen.sets.get(peers.name, ("", ())) if seen is not None else ("", ())
    return set(elements) - {*peers.elements, *peers.leaving} if kind == peers.kind else set()


def _notes(seen: SeenTable | None, wanted: Table, host: str) -> tuple[str, ...]:
    """Say who is still let in though the inventory does not know it."""
    found = ((peers.name, sorted(_unknown(seen, peers), key=_order)) for peers in wanted.sets)
    kept = [f"{address} in {name}" for name, addresses in found for address in addresses]
    if not kept:
        return ()
    remedy = f"if it left for good, run site.yml with -e {PRUNE}=true; else put its line back, marked leaving, and run scale.yml"
    said = "is no host of that group in the inventory; it is still let in"
    return tuple(f"{host}: {each} {said}. Remedy: {remedy}" for each in kept)


def same_rules(seen: SeenTable | None, wanted: Table) -> bool:
    """Say whether the kernel has exactly the wanted rules, chain and sets, whatever is in the sets."""
    if seen is None:
        return False
    kinds = {name: kind for name, (kind, _elements) in seen.sets.items() if name not in EARLIER}
    return (
        seen.comments == tuple(rule.comment for rule in wanted.rules)
        and seen.chains == CHAINS
        and kinds == {peers.name: peers.kind for peers in wanted.sets}
        and all(name in seen.sets for name in EARLIER)
    )


def _table_steps(seen: Seen, wanted: Table, host: str, keep: Keep) -> tuple[Step, ...]:
    if seen.table is None:
        detail = f"{len(wanted.rules)} rules, {len(wanted.sets)} sets; taken back unless a new connection succeeds"
        return (_step("create_table", TABLE, host, detail),)
    if not same_rules(seen.table, wanted):
        return (_step("replace_table", TABLE, host, _difference(seen.table, wanted)),)
    steps = []
    for name, (_kind, elements) in effective_sets(seen.table, wanted, keep).items():
        there = set(seen.table.sets[name][1])
        for verb, addresses in (("add_elements", set(elements) - there), ("remove_elements", there - set(elements))):
            if addresses:
                ordered = sorted(addresses, key=_order)
                args = {"set": name, "elements": ordered}
                steps.append(_step(verb, name, host, ", ".join(ordered), args))
    return tuple(steps)


def _difference(seen: SeenTable, wanted: Table) -> str:
    have, want = set(seen.comments), {rule.comment for rule in wanted.rules}
    gone = [comment.rpartition(" ")[0] or "a rule of somebody else" for comment in seen.comments if comment not in want]
    new = [rule.name for rule in wanted.rules if rule.comment not in have]
    parts = [f"+ {', '.join(dict.fromkeys(new))}" if new else "", f"- {', '.join(dict.fromkeys(gone))}" if gone else ""]
    return "; ".join(p for p in parts if p) or "order of rules, or sets"


def _refusals(ssh_peer: str, wanted: Table) -> tuple[Refusal, ...]:
    if not ssh_peer or not outside(ssh_peer, wanted.control_networks):
        return ()
    seen = f"{ssh_peer}, networks {', '.join(wanted.control_networks)}"
    remedy = "add the network you connect from to steelyard_control_networks, or run from inside them"
    return (Refusal("the current SSH client is inside steelyard_control_networks", seen, remedy),)


def _step(verb: str, subject: str, host: str, detail: str = "", args: Mapping[str, object] | None = None) -> Step:
    return Step(f"{verb}/{subject}", verb, subject, detail, seconds=0.1, hosts=(host,), args=args or {})


def _plan(
    steps: Sequence[Step], refusals: Sequence[Refusal], seen: Seen, wanted: Table, host: str, notes: Sequence[str] = ()
) -> Plan:
    rests_on = seen.table.as_dict() if seen.table else None
    return Plan("firewall", host, tuple(steps), tuple(refusals), tuple(notes), fingerprint(wanted.as_dict(), rests_on))


def _order(address: str) -> tuple[int, bytes]:
    parsed = ipaddress.ip_address(address)
    return parsed.version, parsed.packed


def element_commands(steps: Iterable[Step]) -> str:
    """Return nftables' text that does all element steps in one atomic transaction; empty when there are none."""
    verbs = {"add_elements": "add", "remove_elements": "delete"}
    lines = [
        f"{verbs[s.verb]} element inet {TABLE} {s.args['set']} {{ {', '.join(s.args['elements'])} }}"
        for s in steps
        if s.verb in verbs
    ]
    return "\n".join(lines) + "\n" if lines else ""


def table_text(wanted: Table, sets: dict[str, tuple[str, tuple[str, ...]]], earlier: Iterable[str] = ()) -> str:
    """Return nftables' text that replaces our table, and nothing else, atomically.

    `earlier` are connections, `address . port . port`, that are accepted for an hour without being known to
    connection tracking.
    """
    connections = {"earlier_v4": [e for e in earlier if ":" not in e], "earlier_v6": [e for e in earlier if ":" in e]}
    lines = [f"table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    for name, kind in EARLIER.items():
        lines += [f"  set {name} {{", f"    type {kind} . inet_service . inet_service", "    flags timeout"]
        lines += ["    timeout 1h", *_elements(connections[name]), "  }"]
    for name, (kind, elements) in sets.items():
        lines += [f"  set {name} {{", f"    type {kind}", *_elements(elements), "  }"]
    lines += ["  chain input {", "    type filter hook input priority filter; policy drop;"]
    lines += [f'    {rule.text} comment "{rule.comment}"' for rule in wanted.rules]
    return "\n".join([*lines, "  }", "}", ""])


def _elements(elements: Sequence[str]) -> list[str]:
    return [f"    elements = {{ {', '.join(elements)} }}"] if elements else []
