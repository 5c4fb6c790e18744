# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server's settings: what is wanted, as text of a file, and held against what a running server says. Pure.

What we manage is stated in full, so that the file decides and not the version's defaults. The file is read last: the
server rewrites its own. A value is compared by its normal form, which is what CONFIG GET answers (`256mb` is
268435456). Sizes are powers of 1024 whatever their spelling, as everywhere in Steelyard, and written out in bytes:
redis.conf itself takes `1k` for 1000.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.redis import directives as table
from ansible_collections.steelyard.stack.plugins.module_utils.redis.directives import DIRECTIVES, Directive, canonical
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    CLUSTER,
    REPLICATOR,
    STANDALONE,
    Cluster,
)
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_size, parse_size
from ansible_collections.steelyard.stack.plugins.module_utils.validate import nearest

HIDDEN = "(hidden)"
Pairs = tuple[tuple[str, str], ...]
"""Directives with their values as a configuration file has them, in order."""

_CLASSES = {"normal": "0 0 0", "slave": "268435456 67108864 60", "pubsub": "33554432 8388608 60"}
"""The servers' own limits; replicas are called slaves in what all versions answer."""
_EVENTS = "g$lshzxetd"
"""What the letter A of keyspace events stands for."""
_PLAIN = re.compile(r"^[^\s\"'\\\x00-\x1f]+$")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

STATED_BY_KEY = {
    "maxmemory": "maxmemory",
    "maxmemory-policy": "maxmemory_policy",
    "appendonly": "appendonly",
    "appendfsync": "appendonly",
    "save": "save",
    "cluster-node-timeout": "node_timeout",
    "min-replicas-to-write": "min_replicas_to_write",
}
"""Directives that a cluster states by a key of its own."""

OURS = frozenset(
    table.names("""
aclfile appenddirname appendfilename bind cluster-allow-replica-migration cluster-announce-ip cluster-config-file
cluster-enabled cluster-port daemonize dbfilename dir enable-debug-command enable-module-command
enable-protected-configs import-mode include logfile loadmodule masterauth masteruser pidfile port protected-mode
rdma-bind rdma-port rename-command replica-announce-ip replicaof requirepass supervised tls-auth-clients
tls-ca-cert-dir tls-ca-cert-file tls-cert-file tls-client-cert-file tls-client-key-file tls-client-key-file-pass
tls-cluster tls-key-file tls-key-file-pass tls-port tls-replication unixsocket unixsocketgroup unixsocketperm user
""")
)
"""What follows from the inventory's other words, or would undo what they promise."""


@dataclass(frozen=True)
class ConfigPlan:
    """What differs between the wanted and the live settings of one server, in normal form.

    `live` can be set at once (CONFIG SET takes all of them in one call, and either all or none are taken), `restart`
    only by a restart. `unknown` are wanted directives that the server does not know.
    """

    live: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    restart: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)
    unknown: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.live or self.restart or self.unknown)


def needs_restart(name: str) -> bool:
    """Whether a directive is taken only when the server starts."""
    return canonical(name) in table.FIXED


def settings_problems(settings: Mapping[str, Any], where: str) -> list[Problem]:
    """Return what is wrong with a cluster's own `settings`: unknown names, ours, values that do not fit."""
    found = []
    for name, value in settings.items():
        here, spelled = f"{where}.{name}", canonical(str(name))
        if spelled in STATED_BY_KEY:
            remedy = f"state it as {STATED_BY_KEY[spelled]}"
            found.append(Problem(here, "a directive that has a key of its own is stated by it", str(name), remedy))
        elif spelled in OURS:
            rule = "this directive follows from the rest of the inventory"
            found.append(Problem(here, rule, str(name), "remove it"))
        elif spelled not in DIRECTIVES:
            near = nearest(spelled, [n for n in DIRECTIVES if n not in OURS])
            remedy = f"did you mean {near}?" if near else "remove it, or correct its name"
            found.append(Problem(where, "only directives that Redis 7.0 to 8.x know are used", str(name), remedy))
        else:
            try:
                normal(spelled, value, here)
            except SteelyardError as error:
                found += error.problems
    return found


def unknown_to(settings: Mapping[str, Any], server: str, version: Sequence[int], where: str) -> list[Problem]:
    """Return the stated directives that a server (`redis`, `valkey`) of a version would refuse to start with."""
    text = ".".join(str(part) for part in version)
    return [
        Problem(where, f"{server} {text} knows the directive", str(name), "remove it, or use a version that knows it")
        for name in settings
        if not table.known_to(str(name), server, tuple(version))
    ]


def wanted_settings(cluster: Cluster, address: str, port: int, sized: Mapping[str, str]) -> dict[str, str]:
    """Return every directive that one server is to have, in normal form: sizing's, then the cluster's, then `settings`.

    `address` is where its peers reach it, and the only one that it listens on beside its socket. What follows from
    where its files are (dir, aclfile, certificates) is the role's to add; secrets are `secret_settings`.
    """
    found: dict[str, Any] = {
        **sized,
        "bind": address,
        "protected-mode": "yes",
        "maxmemory-policy": cluster.maxmemory_policy,
        "appendonly": "no" if cluster.appendonly == "no" else "yes",
        "appendfsync": "everysec" if cluster.appendonly == "no" else cluster.appendonly,
        "save": " ".join(cluster.save),
        "cluster-enabled": "yes" if cluster.mode == CLUSTER else "no",
        "min-replicas-to-write": str(cluster.min_replicas_to_write),
    }
    if cluster.maxmemory:
        found["maxmemory"] = cluster.maxmemory
    if cluster.mode == CLUSTER:
        found["cluster-node-timeout"] = str(round(cluster.node_timeout * 1000))
        found["cluster-announce-ip"] = address
        # Replicas must not wander behind the plan's back.
        found["cluster-allow-replica-migration"] = "no"
    if cluster.mode != STANDALONE:
        found["masteruser"] = REPLICATOR
        found["replica-announce-ip"] = address
        found["replica-announce-port"] = str(port)
    if cluster.tls:
        found |= {"tls-replication": "yes", "tls-cluster": "yes" if cluster.mode == CLUSTER else "no"}
        # Clients prove who they are by their ACL user; a certificate, where they show one, is checked.
        found |= {"tls-auth-clients": "optional", "tls-protocols": "TLSv1.2 TLSv1.3"}
    found |= {canonical(name): value for name, value in cluster.settings.items()}
    return {name: normal(name, found[name], f"redis_clusters.{cluster.name}.settings.{name}") for name in sorted(found)}


def secret_settings(cluster: Cluster) -> dict[str, str]:
    """Return the directives whose values are secret: they belong into a private file, and into no diff."""
    password = cluster.secrets.passwords.get(REPLICATOR, "")
    return {"masterauth": password} if cluster.mode != STANDALONE and password else {}


def pairs(settings: Mapping[str, str]) -> Pairs:
    """Return settings as a file has them. A list of savings is added to by each file read, so it begins with none."""
    found: list[tuple[str, str]] = []
    for name, value in settings.items():
        if name == "save":
            found.append((name, '""'))
            if not value:
                continue
        found.append((name, in_file(name, value)))
    return tuple(found)


def render(settings: Mapping[str, str]) -> str:
    """Return settings as the text of a file."""
    return "".join(f"{name} {value}\n" for name, value in pairs(settings))


def in_file(name: str, value: str) -> str:
    """Return a value in normal form as a configuration file has it: quoted where it is one word with blanks."""
    kind = DIRECTIVES[name].kind if name in DIRECTIVES else table.TEXT
    several = kind in (table.LIST, table.SAVE, table.BUFFERS, table.FLAGS) or name in ("bind", "replicaof")
    if value and (several or _PLAIN.match(value)):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def plan_config(wanted: Mapping[str, str], live: Mapping[str, str]) -> ConfigPlan:
    """Return what of the wanted settings a server that answers `live` to CONFIG GET does not have.

    Live directives that are not wanted are left alone: they are the version's defaults, or the server's own business.
    """
    now: dict[str, str] = {}
    restart: dict[str, str] = {}
    unknown: list[str] = []
    lines: list[str] = []
    answered = {canonical(name): value for name, value in live.items()}
    for name in sorted(wanted, key=canonical):
        spelled = canonical(name)
        value = normal(spelled, wanted[name])
        if spelled not in answered:
            unknown.append(spelled)
        elif not same(spelled, value, answered[spelled]):
            fixed = needs_restart(spelled)
            (restart if fixed else now)[spelled] = value
            after = ", after a restart" if fixed else ""
            lines.append(f"{spelled}: {shown(spelled, answered[spelled])} → {shown(spelled, value)}{after}")
    return ConfigPlan(now, restart, tuple(unknown), tuple(lines))


def same(name: str, one: str, other: str) -> bool:
    """Whether two values of a directive mean the same."""
    return _lenient(name, one) == _lenient(name, other)


def _lenient(name: str, value: str) -> str:
    try:
        found = normal(name, value)
        # Servers do not answer the letter n where all others are on, though they heed it.
        return found.replace("n", "") if canonical(name) == "notify-keyspace-events" and "A" in found else found
    except SteelyardError:  # a live value outside our bounds is not ours: it differs, and is replaced
        return value


def shown(name: str, value: str) -> str:
    """Return a value for people: never a secret, sizes with units."""
    directive = DIRECTIVES.get(canonical(name))
    if directive is not None and directive.secret:
        return HIDDEN if value else "(none)"
    if directive is not None and directive.kind == table.MEMORY and value.isdigit():
        return format_size(int(value))
    return value or "(none)"


def normal(name: str, value: Any, where: str = "") -> str:
    """Return a value as CONFIG GET answers it; raises Refused where it does not fit the directive."""
    directive = DIRECTIVES.get(canonical(name))
    if directive is None:
        raise Refused("the directive is known", name, "correct its name", where)
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        value = " ".join(str(part) for part in value)
    text = "" if value is None else str(value).strip()
    if _CONTROL.search(text):
        seen = HIDDEN if directive.secret else repr(text)
        raise Refused("a value holds no control characters", seen, "remove them", where)
    return _READERS[directive.kind](directive, text, where)


def _bool(_directive: Directive, text: str, where: str) -> str:
    word = {"true": "yes", "on": "yes", "false": "no", "off": "no"}.get(text.lower(), text.lower())
    if word not in ("yes", "no"):
        raise Refused("it is yes or no", repr(text), "write yes or no", where)
    return word


def _int(directive: Directive, text: str, where: str) -> str:
    if not re.fullmatch(r"-?[0-9]+", text):
        raise Refused("it is a whole number", repr(text), "write it without a unit", where)
    return str(_within(directive, int(text), text, where))


def _memory(directive: Directive, text: str, where: str) -> str:
    return str(_within(directive, parse_size(text, where), text, where))


def _within(directive: Directive, number: int, text: str, where: str) -> int:
    if not directive.least <= number <= directive.most:
        bound = f"{directive.least} and {directive.most}" if directive.most < table.INT_MAX else f"{directive.least} up"
        rule = f"it is between {bound}" if directive.most < table.INT_MAX else f"it is a number from {bound}"
        raise Refused(rule, repr(text), "correct the number", where)
    return number


def _percent(directive: Directive, text: str, where: str) -> str:
    if re.fullmatch(r"[0-9]+%", text):
        if int(text[:-1]) <= 100:
            return text
        raise Refused("it is a size or a share of at most 100 per cent", repr(text), "correct the number", where)
    return _memory(directive, text, where)


def _enum(directive: Directive, text: str, where: str) -> str:
    word = "yes" if (directive.name, text.lower()) == ("oom-score-adj", "relative") else text.lower()
    if word not in directive.words:
        near = nearest(text, directive.words)
        remedy = f"did you mean {near}?" if near else "correct the word"
        raise Refused(f"it is one of {', '.join(directive.words)}", repr(text), remedy, where)
    return word


def _flags(directive: Directive, text: str, where: str) -> str:
    found = {_enum(directive, word, where) for word in text.split()} or {"default"}
    return " ".join(word for word in directive.words if word in found)


def _text(_directive: Directive, text: str, _where: str) -> str:
    return text


def _list(_directive: Directive, text: str, where: str) -> str:
    try:
        return " ".join(f"{float(word):.6f}".rstrip("0").rstrip(".") for word in text.split())
    except ValueError:
        raise Refused("it is a list of numbers", repr(text), "write them with blanks between", where) from None


def _save(_directive: Directive, text: str, where: str) -> str:
    words = text.replace('"', "").split()
    if len(words) % 2 or not all(re.fullmatch("[1-9][0-9]*", word) for word in words):
        raise Refused("save points are seconds and changes", repr(text), 'write it as "3600 1 300 100"', where)
    return " ".join(words)


def _buffers(_directive: Directive, text: str, where: str) -> str:
    words = ["slave" if w.lower() == "replica" else w.lower() for w in text.split()]
    limits = dict(_CLASSES)
    remedy = 'write it as "replica 256mb 64mb 60", class, hard limit, soft limit and seconds'
    if not words or len(words) % 4:
        raise Refused("limits are a class, two sizes and seconds", repr(text), remedy, where)
    for kind, hard, soft, seconds in zip(*(words[n::4] for n in range(4)), strict=True):
        if kind not in limits or not seconds.isdigit():
            raise Refused("limits are of normal, replica or pubsub clients", repr(text), remedy, where)
        limits[kind] = f"{parse_size(hard, where)} {parse_size(soft, where)} {int(seconds)}"
    return " ".join(f"{kind} {limit}" for kind, limit in limits.items())


def _events(_directive: Directive, text: str, where: str) -> str:
    letters = set(text.replace("A", _EVENTS))
    wrong = letters - set(f"{_EVENTS}KEmn")
    if wrong:
        rule = f"events are letters of A{_EVENTS}KEmn"
        raise Refused(rule, repr(text), f"remove {''.join(sorted(wrong))}", where)
    whole = "A" if letters >= set(_EVENTS) else "".join(c for c in _EVENTS if c in letters)
    return whole + "".join(c for c in "KEmn" if c in letters)


_READERS: dict[str, Callable[[Directive, str, str], str]] = {
    table.BOOL: _bool,
    table.INT: _int,
    table.MEMORY: _memory,
    table.PERCENT: _percent,
    table.ENUM: _enum,
    table.FLAGS: _flags,
    table.TEXT: _text,
    table.LIST: _list,
    table.SAVE: _save,
    table.BUFFERS: _buffers,
    table.EVENTS: _events,
}
