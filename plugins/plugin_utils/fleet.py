# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Builds the pure `Fleet` and `Inventory` from Ansible's variables.

Ansible hands out lazy containers and tagged strings that are templated on access, host by host. Here they
become plain text, numbers, lists and mappings. A value that rests on the same things on two hosts is made
once (what a template rests on is read from the template itself), so a fleet of hundreds costs well under a
second. A single step that looks at a few hosts pays for those only: a `Fleet` makes values when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError, AnsibleUndefinedVariable
from ansible.template import Templar
from jinja2 import Environment, TemplateError, nodes

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import GROUPS, Fleet, Host
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import (
    EMPTY,
    GIVEN,
    MISSING,
    UNKNOWN,
    Failure,
    Group,
    Inventory,
)
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.rehearsal import CONNECTION
from ansible_collections.steelyard.stack.plugins.module_utils.services import SERVICES

try:  # where a value was written; a hint for the reader, so it may be missing
    from ansible._internal._datatag._tags import Origin
except ImportError:  # pragma: no cover
    Origin = None

PREFIXES = ("steelyard_", "base_", *(service.prefix for service in SERVICES))
NAMES = frozenset({"ansible_host", "ansible_port", "ansible_ssh_host", "ape_tier"})
_STATED = re.compile(rf"^({'|'.join(GROUPS)})_([a-z0-9_]+_)?(id|cluster_name|state)$")
# What Ansible itself says of an undefined value; anything else is the hint of an `undef`.
_NO_HINT = re.compile(r" is undefined$| has no (attribute|element) |^Mandatory variable ")
_OPAQUE = frozenset({"lookup", "query", "q", "vars"})
_JINJA = Environment()  # only parses, to learn names; never renders  # noqa: S701


def is_read(name: str) -> bool:
    """Return whether Steelyard reads the variable of this name."""
    return name.startswith(PREFIXES) or name in NAMES or _STATED.match(name) is not None


def fleet_from_vars(task_vars: Mapping[str, Any]) -> Fleet:
    """Return the fleet of a task's variables; a value is made when it is read, and raises Refused if it cannot."""
    reader = _Reader(task_vars["hostvars"])
    return Fleet(tuple(Host(name, groups, LazyVars(reader, name)) for name, groups in _group_names(task_vars)))


def inventory_from_vars(task_vars: Mapping[str, Any]) -> Inventory:
    """Return the whole inventory with every value made; what cannot be made is listed in `failures`."""
    reader = _Reader(task_vars["hostvars"])
    hosts: list[Host] = []
    names: dict[str, frozenset[str]] = {}
    sources: dict[str, dict[str, str]] = {}
    failures: dict[str, tuple[Failure, ...]] = {}
    secrets: dict[str, dict[str, str]] = {}
    reached: dict[str, dict[str, Any]] = {}
    for name, groups in _group_names(task_vars):
        one = reader.host(name)
        names[name] = one.stated
        sources[name] = {n: reader.source(one.raw[n]) for n in one.stated if is_read(n)}
        reached[name] = {n: plain(one.raw[n]) for n in one.stated if CONNECTION.match(n)}
        made = {n: one.make(n) for n in sorted(one.stated) if is_read(n)}
        failures[name] = tuple(f for _value, failed in made.values() for f in failed)
        variables = {n: value for n, (value, _failed) in made.items()}
        hosts.append(Host(name, groups, variables))
        wanted = variables.get("steelyard_secrets")
        secrets[name] = {n: one.given(n) for n in wanted if isinstance(n, str)} if isinstance(wanted, list) else {}
    return Inventory(
        fleet=Fleet(tuple(hosts)),
        names=names,
        sources=sources,
        failures=failures,
        secrets=secrets,
        secret_values=frozenset(reader.secret_values),
        groups=_group_tree(task_vars),
        limit=str(task_vars.get("ansible_limit") or ""),
        selected=_selected(task_vars),
        reached=reached,
    )


def host_facts(task_vars: Mapping[str, Any]) -> dict[str, dict[str, Any] | None]:
    """Return each host's `steelyard_host` facts; None for a host that has not answered in this run."""
    reader = _Reader(task_vars["hostvars"])
    found: dict[str, dict[str, Any] | None] = {}
    for name in task_vars["hostvars"]:
        facts = (reader.host(name).raw.get("ansible_facts") or {}).get("steelyard_host")
        found[name] = plain(facts) if isinstance(facts, Mapping) else None
    return found


def plain(value: Any) -> Any:
    """Return an Ansible value as plain text, numbers, lists and mappings, all the way down."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Mapping):
        return {plain(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return str.__str__(str(value))


class LazyVars(Mapping[str, Any]):
    """One host's variables that Steelyard reads, each made when it is first asked for."""

    def __init__(self, reader: _Reader, name: str) -> None:
        self._reader = reader
        self._name = name

    def __getitem__(self, key: str) -> Any:
        if not is_read(key):
            raise KeyError(key)
        host = self._reader.host(self._name)
        if key not in host.stated:
            raise KeyError(key)
        value, failures = host.make(key)
        if failures:
            raise Refused.of(Problem(f"{self._name}: {f.path}", f.rule, f.seen, f.remedy) for f in failures)
        return value

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and is_read(key) and key in self._reader.host(self._name).stated

    def __iter__(self) -> Iterator[str]:
        return (n for n in self._reader.host(self._name).stated if is_read(n))

    def __len__(self) -> int:
        return sum(1 for _name in self)


class _Reader:
    """Reads hosts; remembers what was made, by what it rests on."""

    def __init__(self, hostvars: Any) -> None:
        self.hostvars = hostvars
        self.loader = hostvars._loader  # HostVars has no public way to it
        self.shared: dict[tuple[Any, ...], tuple[Any, tuple[Failure, ...]]] = {}
        self.secret_values: set[str] = set()
        self._hosts: dict[str, _HostReader] = {}
        self._needs: dict[int, frozenset[str] | None] = {}
        self._sources: dict[int, str] = {}
        self._here = Path.cwd()

    def host(self, name: str) -> _HostReader:
        """Return the reader of one host."""
        if name not in self._hosts:
            self._hosts[name] = _HostReader(self, self.hostvars.raw_get(name))
        return self._hosts[name]

    def needs(self, raw: Any) -> frozenset[str] | None:
        """Return the names of the variables that the templates in a raw value use; None when they cannot be known."""
        # Keyed by identity: the raw values live as long as their _HostReader, and so as long as this.
        if id(raw) not in self._needs:
            self._needs[id(raw)] = _names_in(raw)
        return self._needs[id(raw)]

    def source(self, raw: Any) -> str:
        """Return `group_vars/all.yml:12`, where the value was written; empty when Ansible does not know."""
        if id(raw) not in self._sources:
            origin = Origin.get_tag(raw) if Origin is not None else None
            self._sources[id(raw)] = self._short(origin) if origin is not None and origin.path else ""
        return self._sources[id(raw)]

    def _short(self, origin: Any) -> str:
        path = Path(str(origin.path))
        shown = path.relative_to(self._here) if path.is_relative_to(self._here) else path
        return f"{shown}:{origin.line_num}" if origin.line_num else str(shown)


class _HostReader:
    """One host's raw variables, and how to make values of them."""

    def __init__(self, reader: _Reader, raw: Any) -> None:
        self.reader = reader
        self.raw: dict[str, Any] = raw
        facts = raw.get("ansible_facts") or {}
        self.stated = frozenset(str.__str__(n) for n in raw if n not in facts)
        self._templar: Templar | None = None

    def make(self, name: str) -> tuple[Any, tuple[Failure, ...]]:
        """Return one variable's plain value and what could not be made of it (UNKNOWN stands there)."""
        failures: list[Failure] = []
        return self._value(self.raw[name], name, False, failures), tuple(failures)

    def given(self, name: str) -> str:
        """Return whether a secret is given, missing, empty or unknown; its value goes nowhere else."""
        if name not in self.raw:
            return MISSING
        failures: list[Failure] = []
        value = self._value(self.raw[name], name, True, failures)
        if failures:
            return failures[0].seen
        return EMPTY if value in ("", None) else GIVEN

    def _rests_on(self, raw: Any) -> tuple[Any, ...] | None:
        """Return what decides the value: the raw value itself and all that its templates use, however far."""
        todo: list[Any] = [raw]
        seen: dict[str, Any] = {}
        while todo:
            needs = self.reader.needs(todo.pop())
            if needs is None:
                return None
            for name in needs - seen.keys():
                seen[name] = _identity(self.raw.get(name))
                if name in self.raw:
                    todo.append(self.raw[name])
        return (id(raw), *sorted(seen.items(), key=lambda item: item[0]))

    def _value(self, raw: Any, path: str, secret: bool, failures: list[Failure]) -> Any:
        """Return the plain value of a raw one, taken from an earlier host when it rests on the same there."""
        rests_on = self._rests_on(raw)
        if rests_on is None:
            return self._convert(raw, path, secret, failures)
        key = (path, secret, *rests_on)
        if key not in self.reader.shared:
            failed: list[Failure] = []
            self.reader.shared[key] = (self._convert(raw, path, secret, failed), tuple(failed))
        value, known = self.reader.shared[key]
        failures += known
        return value

    def _convert(self, raw: Any, path: str, secret: bool, failures: list[Failure]) -> Any:
        if isinstance(raw, Mapping):
            hidden = secret or path.endswith(".secrets")
            return {plain(k): self._value(v, f"{path}.{k}", hidden, failures) for k, v in raw.items()}
        if isinstance(raw, list | tuple):
            return [self._value(v, f"{path}[{n}]", secret, failures) for n, v in enumerate(raw)]
        text = isinstance(raw, str)
        if text and "{{" not in raw and "{%" not in raw:
            value = plain(raw)
        elif text or not isinstance(raw, bool | int | float | None):
            value = self._template(raw, path, secret, failures)
        else:
            value = plain(raw)
        if secret and isinstance(value, str) and value not in ("", UNKNOWN):
            self.reader.secret_values.add(value)
        return value

    def _template(self, raw: Any, path: str, secret: bool, failures: list[Failure]) -> Any:
        if self._templar is None:
            variables = {**self.raw, "hostvars": self.reader.hostvars}
            self._templar = Templar(loader=self.reader.loader, variables=variables)
        try:
            return plain(self._templar.template(raw))
        except AnsibleUndefinedVariable as err:
            rule, seen = "every variable that a value uses is defined", _first_line(err)
            remedy = "define it, or correct its name"
            if not secret and not _NO_HINT.search(seen):  # whoever wrote the value says what to do: undef(hint=…)
                seen, remedy = "no value yet", seen
        except AnsibleError as err:
            # Ansible's words may hold the value itself: not where it is a secret.
            rule, seen = "a value can be made", type(err).__name__ if secret else _first_line(err)
            remedy = "correct the expression; for an encrypted value give the vault password"
        failures.append(Failure(path, self.reader.source(raw), rule, seen, remedy))
        return UNKNOWN


def _first_line(err: Exception) -> str:
    return str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__


def _identity(raw: Any) -> Any:
    return str.__str__(raw) if isinstance(raw, str) else id(raw)


def _names_in(raw: Any) -> frozenset[str] | None:
    """Return every name that the templates in a raw value mention; None where a lookup may read anything."""
    if isinstance(raw, Mapping):
        parts = [_names_in(v) for v in raw.values()]
    elif isinstance(raw, list | tuple):
        parts = [_names_in(v) for v in raw]
    elif isinstance(raw, str) and ("{{" in raw or "{%" in raw):
        try:
            names = frozenset(n.name for n in _JINJA.parse(str.__str__(raw)).find_all(nodes.Name))
        except TemplateError:
            return None
        return None if names & _OPAQUE else names
    else:
        return frozenset()
    return None if None in parts else frozenset().union(*(p for p in parts if p is not None))


def _group_names(task_vars: Mapping[str, Any]) -> list[tuple[str, frozenset[str]]]:
    """Return each inventory host with the names of its groups, in inventory order."""
    found: dict[str, set[str]] = {plain(name): set() for name in task_vars["hostvars"]}
    for group, members in task_vars["groups"].items():
        for member in members:
            found.setdefault(plain(member), set()).add(plain(group))
    return [(name, frozenset(groups)) for name, groups in found.items()]


def _group_tree(task_vars: Mapping[str, Any]) -> dict[str, Group]:
    """Return the inventory's groups with their direct children."""
    inventory = task_vars["hostvars"]._inventory  # variables tell members, but not which group holds which
    return {
        plain(name): Group(
            plain(name),
            tuple(plain(g.name) for g in group.child_groups),
            tuple(plain(h.name) for h in group.get_hosts()),
        )
        for name, group in inventory.groups.items()
    }


def _selected(task_vars: Mapping[str, Any]) -> frozenset[str]:
    """Return the hosts that `--limit` leaves; all of them when there is none."""
    return frozenset(plain(h.name) for h in task_vars["hostvars"]._inventory.get_hosts())
