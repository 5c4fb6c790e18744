# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The applications, as the shared parts see them. Pure."""

from __future__ import annotations

from ansible_collections.steelyard.stack.plugins.module_utils.app import model, sizing
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.service import Room, Service


def _problems(fleet: Fleet) -> list[Problem]:
    found = dict.fromkeys(model.problems(fleet))
    for host in fleet.hosts:
        try:
            _slice_of(host)
        except SteelyardError as error:
            found.update(dict.fromkeys(error.problems))
    return list(found)


def _slice_of(host: Host) -> model.Slice:
    return model.Slice.from_vars(host.vars.get("app_slice") or {})


def _promised(fleet: Fleet, host: Host) -> int:
    return sizing.promised_memory(model.instances_of(fleet, host), _slice_of(host))


def _oversubscription(fleet: Fleet, host: Host, room: Room) -> list[Problem]:
    instances = model.instances_of(fleet, host)
    return sizing.oversubscription(instances, _slice_of(host), room.memory, room.cpus, "memory and CPUs", room.others)


def _is_on(fleet: Fleet, host: Host) -> bool:
    return bool(model.instances_of(fleet, host))


SERVICE = Service(
    name=model.SERVICE,
    problems=_problems,
    is_on=_is_on,
    listeners=model.listeners,
    units=("app@*",),
    wanted={
        "app_instances": model.wanted_instances,
        "leaving_hosts": lambda fleet, _host: [h.name for h in fleet.hosts if h.state_of(model.SERVICE) == "leaving"],
    },
    promised=_promised,
    oversubscription=_oversubscription,
)
