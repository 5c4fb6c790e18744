# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries a firewall plan out, one host at a time, and takes part in proving it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.firewall.plan import (
    Seen,
    effective_sets,
    element_commands,
    same_rules,
    table_text,
)

if TYPE_CHECKING:
    from ansible_collections.steelyard.stack.plugins.module_utils.firewall.client import Client
    from ansible_collections.steelyard.stack.plugins.module_utils.firewall.model import Table
    from ansible_collections.steelyard.stack.plugins.module_utils.firewall.plan import Keep
    from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan


def read(client: Client, wanted: Table, ssh_peer: str, keep: Keep) -> Seen:
    """Observe the kernel's table, the files for the next boot and whether a rollback waits."""
    table, forbidden = client.read()
    if forbidden:
        return Seen(None, ssh_peer, forbidden=forbidden)
    if not wanted.enabled:
        return Seen(table, ssh_peer, client.anything_persisted())
    text = table_text(wanted, effective_sets(table, wanted, keep))
    return Seen(table, ssh_peer, client.persisted(text), client.armed())


def apply_plan(client: Client, plan: Plan, seen: Seen, wanted: Table, keep: Keep, seconds: float) -> bool:
    """Do the steps; True when a rollback is armed, so that the control side must confirm over a new connection."""
    verbs = {step.verb for step in plan.steps}
    if not verbs:
        return False
    client.require_nft()
    if "remove_table" in verbs:
        client.disarm()  # a trial that still runs would bring the table back
        client.remove()
        client.forget_rollback()
        return False
    if verbs & {"create_table", "replace_table"}:
        earlier = client.earlier_connections() if seen.table is None else []
        # While a trial runs the present table is the one on trial: the way back stays the one that was confirmed last.
        client.disarm()
        client.arm(seconds, keep=seen.armed)
        client.load(table_text(wanted, effective_sets(seen.table, wanted, keep), earlier))
        return True
    commands = element_commands(plan.steps)
    if commands:
        client.load(commands)
    if "confirm" in verbs:
        client.disarm()
        client.arm(seconds, keep=True)  # the whole time again: the former run used up part of it
        return True
    client.persist(table_text(wanted, effective_sets(seen.table, wanted, keep)))
    return False


def confirm(client: Client, wanted: Table, keep: Keep) -> None:
    """A new connection has reached this host: keep the rule set; raises GateNotPassed when it was taken back.

    Whether it was is seen from the rules in force. A timer that is gone says nothing: an earlier confirmation may
    have stopped it and its answer got lost.
    """
    client.disarm()
    table, _forbidden = client.read()
    if not same_rules(table, wanted):
        client.forget_rollback()
        raise GateNotPassed(
            "a new connection succeeds while the new rule set is on trial",
            "it did not in time: the former rule set is back",
            "check steelyard_control_networks and firewall_ssh_ports against how you reach this host",
        )
    client.persist(table_text(wanted, effective_sets(table, wanted, keep)))
    client.forget_rollback()
