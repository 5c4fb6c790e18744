# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Application classes and their instances as the inventory states them. Pure: no Ansible.

A class (`api`, `workers`) is one program with its release, limits and checks; an instance is one process
of it on one host, named by its port: `app@8000.service`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.app.options import ARCHIVES, CLASS_OPTIONS, SLICE_OPTIONS
from ansible_collections.steelyard.stack.plugins.module_utils.app.readers import (
    read_command,
    read_number,
    read_ports,
    read_release,
    read_variables,
    whole_number,
)
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fleet import Fleet, Host, Listener
from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration, parse_percent, parse_size
from ansible_collections.steelyard.stack.plugins.module_utils.validate import check

SERVICE = "app"
ROOT = "/opt/steelyard/app"
PLACEHOLDERS = ("release", "address", "port", "host", "class", "workers")
WILDCARDS = ("0.0.0.0", "::", "")

_CLASS_NAME = re.compile(r"^[a-z][a-z0-9_]{0,31}$")  # a dash would nest systemd slices
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Release(Portable):
    """A built program: an archive (`.tar.gz`, `.tgz`) or a wheel (`.whl`), and the checksum that proves it.

    `src` is a path on the control machine, a URL, or (`remote_src`) a path on the host. `check` is an argument
    list (with placeholders) that must succeed before the release is used.
    """

    version: str
    src: str
    checksum: str
    check: tuple[str, ...] = ()
    remote_src: bool = False

    @property
    def kind(self) -> str:
        """`wheel` or `archive`."""
        return "wheel" if self.file_name.endswith(".whl") else "archive"

    @property
    def file_name(self) -> str:
        """The archive's own name, without its path and a URL's query."""
        return self.src.split("?", 1)[0].rsplit("/", 1)[-1]

    @property
    def is_url(self) -> bool:
        """Whether the host downloads it."""
        return self.src.startswith(("http://", "https://"))

    @property
    def id(self) -> str:
        """Directory name: the archive's own name and the version, so that classes share what they share."""
        name = self.file_name
        if self.kind == "wheel":
            name = name.split("-", 1)[0]
        else:
            name = next((name[: -len(s)] for s in ARCHIVES if name.endswith(s)), name)
            name = name.removesuffix(f"-{self.version}").removesuffix(f"_{self.version}")
        name = re.sub(r"[^A-Za-z0-9_.]+", "_", name).strip("._") or "release"
        return f"{name}-{self.version}"

    @property
    def path(self) -> str:
        """Where it lives on a host, complete or not at all."""
        return f"{ROOT}/releases/{self.id}"


@dataclass(frozen=True)
class Slice:
    """The quota of all instances of a host together; 0 is none."""

    cpu_quota: float = 0
    memory_max: int = 0

    @classmethod
    def from_vars(cls, raw: object, where: str = "app_slice") -> Slice:
        """Read `app_slice`; raises Refused with every problem."""
        wrong = check(raw, SLICE_OPTIONS, where)
        given = raw if isinstance(raw, Mapping) else {}
        cpu = read_number(parse_percent, given.get("cpu_quota") or "0", f"{where}.cpu_quota", wrong)
        memory = read_number(parse_size, given.get("memory_max") or "0", f"{where}.memory_max", wrong)
        if wrong:
            raise Refused.of(wrong)
        return cls(cpu, memory)


@dataclass(frozen=True, kw_only=True)
class Program:
    """How a process runs, wherever it does. Sizes are bytes, durations seconds, quotas percent of one CPU."""

    release: Release
    command: tuple[str, ...]
    health: str = ""
    readiness: str = ""
    environment: Mapping[str, str] = field(default_factory=dict, hash=False)
    secrets: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    cpu_quota: float = 0
    memory_max: int = 0
    stop_deadline: float = 20
    start_deadline: float = 30
    keep_releases: int = 3


@dataclass(frozen=True, kw_only=True)
class AppClass(Program):
    """A program as the inventory states it; its command has placeholders."""

    name: str
    group: str
    ports: tuple[int, ...]
    address: str = ""
    workers: int = 1
    allow_from: tuple[str, ...] = ()
    allow_from_networks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Instance(Program, Portable):
    """One process of a class on one host; `address` is where peers reach it, `bind_address` what it binds.

    What `as_dict` returns has its secrets: it is for the module's `instances`, never for a log.
    """

    class_name: str
    host: str
    address: str
    bind_address: str
    port: int
    state: str
    check: tuple[str, ...] = ()

    @property
    def key(self) -> int:
        """What names it on its host."""
        return self.port

    @property
    def unit(self) -> str:
        """The systemd unit."""
        return f"app@{self.port}.service"

    @property
    def slice(self) -> str:
        """The class's slice, below `app.slice`."""
        return f"app-{self.class_name}.slice"

    @property
    def probe_address(self) -> str:
        """Where the host itself reaches it: the bound address, or loopback when it binds all."""
        if self.bind_address in WILDCARDS:
            return "::1" if self.bind_address == "::" else "127.0.0.1"
        return self.bind_address


def expand(words: Iterable[str], values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the arguments with `{release}`, `{port}`, … put in; other braces stay as they are. No shell."""
    return tuple(_PLACEHOLDER.sub(lambda m: str(values.get(m.group(1), m.group(0))), word) for word in words)


def read_class(name: str, raw: object, where: str = "") -> tuple[AppClass | None, list[Problem]]:
    """Return the class that `raw` states, or None with everything that is wrong with it."""
    where = where or f"app_classes.{name}"
    typed = check(raw, CLASS_OPTIONS, where)
    if not _CLASS_NAME.match(name):
        rule = "a class is named with lower-case letters, digits and _"
        typed.append(Problem(where, rule, repr(name), "rename the class"))
    if not isinstance(raw, Mapping):
        return None, typed
    wrong: list[Problem] = []

    def given(key: str) -> Any:
        value = raw.get(key)
        return CLASS_OPTIONS[key].get("default") if value is None else value

    def number(parse: Any, key: str) -> Any:
        return read_number(parse, given(key), f"{where}.{key}", wrong)

    release = read_release(given("release"), f"{where}.release", PLACEHOLDERS, wrong)
    found = AppClass(
        name=name,
        group=str(given("group") or name),
        ports=read_ports(given("ports"), f"{where}.ports", wrong),
        release=Release(**release),
        command=read_command(given("command"), f"{where}.command", PLACEHOLDERS, wrong),
        address=str(given("address")),
        workers=number(whole_number, "workers"),
        health=str(given("health")),
        readiness=str(given("readiness")),
        environment=read_variables(given("environment"), f"{where}.environment", False, wrong),
        secrets=read_variables(given("secrets"), f"{where}.secrets", True, wrong),
        cpu_quota=number(parse_percent, "cpu_quota"),
        memory_max=number(parse_size, "memory_max"),
        stop_deadline=number(parse_duration, "stop_deadline"),
        start_deadline=number(parse_duration, "start_deadline"),
        keep_releases=number(whole_number, "keep_releases"),
        allow_from=_texts(given("allow_from")),
        allow_from_networks=_texts(given("allow_from_networks")),
    )
    unread = {p.where for p in wrong}
    wrong += [p for p in _class_problems(found, where) if p.where not in unread]
    problems = typed + [p for p in wrong if not _told(typed, p.where)]
    return (None if problems else found), problems


def _texts(raw: object) -> tuple[str, ...]:
    return tuple(str(item) for item in raw) if isinstance(raw, (list, tuple)) else ()


def _told(typed: Iterable[Problem], where: str) -> bool:
    """Whether it was said before: of this place, of something in it, or that a key which holds it is missing."""
    for p in typed:
        missing = p.rule.endswith(" is required") and f"{p.where}.{p.rule.removesuffix(' is required')}"
        if _inside(p.where, where) or (missing and _inside(where, missing)):
            return True
    return False


def _inside(path: str, of: str) -> bool:
    return path == of or path.startswith((f"{of}.", f"{of}["))


def _class_problems(cls: AppClass, where: str) -> list[Problem]:
    found = []
    for key, path in (("health", cls.health), ("readiness", cls.readiness)):
        if path and (not path.startswith("/") or re.search(r"[\s\x00-\x1f]", path)):
            remedy = "start it with /, or leave it out for a TCP check"
            found.append(Problem(f"{where}.{key}", "a check is a path", repr(path), remedy))
    for key, seconds in (("stop_deadline", cls.stop_deadline), ("start_deadline", cls.start_deadline)):
        if seconds == 0:
            found.append(Problem(f"{where}.{key}", "a deadline is longer than nothing", "0", "write it as 20s"))
    for both in sorted(set(cls.environment) & set(cls.secrets)):
        rule = "a variable is in environment or in secrets"
        found.append(Problem(f"{where}.environment.{both}", rule, "in both", "keep it in secrets"))
    return found


def classes_from_vars(variables: Mapping[str, Any]) -> dict[str, AppClass]:
    """Return the classes that a host's `app_classes` states; raises Refused with every problem."""
    raw = variables.get("app_classes") or {}
    if not isinstance(raw, Mapping):
        rule, remedy = "app_classes is a mapping of classes", "write app_classes: {api: {…}}"
        raise Refused(rule, type(raw).__name__, remedy, "app_classes")
    read = {str(name): read_class(str(name), value) for name, value in raw.items()}
    problems = [p for _found, wrong in read.values() for p in wrong]
    if problems:
        raise Refused.of(problems)
    return {name: found for name, (found, _wrong) in read.items() if found is not None}


def classes_of(fleet: Fleet, host: Host) -> dict[str, AppClass]:
    """Return the classes that a host's variables state; raises Refused with every problem."""
    raw = host.vars.get("app_classes")
    return fleet.once("app_classes", raw, lambda: classes_from_vars({"app_classes": raw})) if raw else {}


def _ports_on(cls: AppClass, host: Host) -> tuple[int, ...]:
    """The host's own `app_ports.<class>` when stated, else the class's ports; raises Refused."""
    own = host.vars.get("app_ports") or {}
    if not isinstance(own, Mapping):
        where = f"{host.name}: app_ports"
        raise Refused("app_ports maps a class to its ports", repr(own), "write app_ports: {api: [8000]}", where)
    if cls.name not in own:
        return cls.ports
    problems: list[Problem] = []
    ports = read_ports(own[cls.name], f"{host.name}: app_ports.{cls.name}", problems)
    if problems:
        raise Refused.of(problems)
    return ports


def _instance(cls: AppClass, host: Host, port: int, state: str) -> Instance:
    bind = cls.address or host.address
    values = {
        "release": cls.release.path, "address": bind, "port": port,
        "host": host.name, "class": cls.name, "workers": cls.workers,
    }  # fmt: skip
    program = {f.name: getattr(cls, f.name) for f in fields(Program)} | {"command": expand(cls.command, values)}
    return Instance(
        **program, class_name=cls.name, host=host.name, address=host.address, bind_address=bind, port=port, state=state,
        check=expand(cls.release.check, values),
    )  # fmt: skip


def instances_of(fleet: Fleet, host: Host) -> tuple[Instance, ...]:
    """Return the instances that the inventory places on `host`, ordered by port; raises Refused.

    On a leaving host they are returned with that state: pools drain them, and only then are they removed.
    """
    found: list[Instance] = []
    classes = classes_of(fleet, host)
    if not classes:
        return ()
    state = host.state_of(SERVICE)
    for cls in classes.values():
        if cls.group in host.groups:
            found += [_instance(cls, host, port, state) for port in _ports_on(cls, host)]
    return tuple(sorted(found, key=lambda i: (i.port, i.class_name)))


def wanted_instances(fleet: Fleet, host: Host) -> list[dict[str, Any]]:
    """Return `instances_of` in JSON types, for the module; they carry secrets."""
    return [instance.as_dict() for instance in instances_of(fleet, host)]


def listeners(fleet: Fleet, host: Host) -> list[Listener]:
    """Return the ports that the instances open on `host`, and who may reach them."""
    classes = classes_of(fleet, host)
    return [
        Listener(i.port, f"{SERVICE} {i.class_name}", classes[i.class_name].allow_from,
                 classes[i.class_name].allow_from_networks, i.bind_address)
        for i in instances_of(fleet, host)
    ]  # fmt: skip


def problems(fleet: Fleet) -> list[Problem]:
    """Return everything that is wrong with the fleet's classes, ports and releases, each said once."""
    found: dict[Problem, None] = {}
    for host in fleet.hosts:
        try:
            instances = instances_of(fleet, host)
            classes = classes_of(fleet, host)
        except SteelyardError as err:
            found.update(dict.fromkeys(err.problems))
            continue
        found.update(dict.fromkeys(_host_problems(fleet, host, instances, classes)))
    return list(found)


def _host_problems(
    fleet: Fleet, host: Host, instances: tuple[Instance, ...], classes: Mapping[str, AppClass]
) -> list[Problem]:
    found: list[Problem] = []
    taken: dict[int, Instance] = {}
    for instance in instances:
        other = taken.setdefault(instance.port, instance)
        if other is not instance:
            seen = f"port {instance.port} of {other.class_name} and {instance.class_name}"
            remedy = "give one of them another port (ports, or app_ports on the host)"
            found.append(Problem(host.name, "a port is used once on a host", seen, remedy))
    for name in sorted(set(host.vars.get("app_ports") or {}) - set(classes)):
        known = ", ".join(sorted(classes)) or "none"
        remedy = f"classes are: {known}"
        found.append(Problem(f"{host.name}: app_ports", "app_ports names a class", str(name), remedy))
    checksums: dict[str, str] = {}
    for cls in classes.values():
        if not fleet.group(cls.group):
            remedy = f"add a host to {cls.group}, or correct app_classes.{cls.name}.group"
            found.append(Problem(f"app_classes.{cls.name}.group", "a class's group has hosts", cls.group, remedy))
        if checksums.setdefault(cls.release.id, cls.release.checksum) != cls.release.checksum:
            remedy = "a version never changes: give the other archive another version, or another file name"
            rule = "one release has one checksum"
            found.append(Problem(f"app_classes.{cls.name}.release", rule, cls.release.id, remedy))
    return found
