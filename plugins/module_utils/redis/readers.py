# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Readers of what a cluster states: each returns a value and adds what is wrong to a list. Pure: no Ansible."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem, Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.redis.config import settings_problems
from ansible_collections.steelyard.stack.plugins.module_utils.redis.directives import canonical
from ansible_collections.steelyard.stack.plugins.module_utils.redis.options import (
    CLUSTER_OPTIONS,
    INSTANCE_OPTIONS,
    SENTINEL_OPTIONS,
    USER_OPTIONS,
    Options,
)
from ansible_collections.steelyard.stack.plugins.module_utils.units import parse_duration, parse_percent, parse_size
from ansible_collections.steelyard.stack.plugins.module_utils.validate import check

Value = TypeVar("Value")

RESERVED_USERS = ("default", "steelyard", "replication", "sentinel")
SHORTEST_PASSWORD = 16
LAST_PORT = 65535
SMALLEST_MEMORY = 2**20

_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,31}$")
_USER = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
# Sentinel writes passwords back into its file without quotes, and ACL rules are split at blanks.
_PASSWORD = re.compile(r"^[!#-&(-\[\]-~]+$")
_COMMAND = re.compile(r"^[+-](@[a-z]+|[a-z0-9_.-]+(\|[a-z0-9_.:-]+)?)$")
_WORD = re.compile(r"^[^\s\x00-\x20\x7f\"'\\]+$")
_SAVE = re.compile(r"^[1-9][0-9]* [1-9][0-9]*$")
_NONE: tuple[str, ...] = ()
_NO_PORTS: tuple[int, ...] = ()
_SPELLED = {"allcommands": "+@all", "nocommands": "-@all"}


class Reader:
    """Reads the keys of one mapping by its options; `wrong` gathers what they are not."""

    def __init__(self, raw: Mapping[str, Any], options: Options, where: str) -> None:
        self._raw = raw
        self._options = options
        self.where = where
        self.wrong: list[Problem] = []

    def given(self, key: str) -> Any:
        """Return what is stated, or the default; null counts as not stated."""
        value = self._raw.get(key)
        return self._options[key].get("default") if value is None else value

    def read(self, parse: Callable[[Any, str], Value], key: str, otherwise: Value) -> Value:
        """Return what `parse` makes of a key; `otherwise`, with a problem noted, where it refuses."""
        try:
            return parse(self.given(key), f"{self.where}.{key}")
        except SteelyardError as error:
            self.wrong += error.problems
            return otherwise

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.given(key)
        return tuple(str(v) for v in value) if isinstance(value, (list, tuple)) else ()


def read_cluster(name: str, raw: object) -> tuple[dict[str, Any], list[Problem]]:
    """Return the parts of one cluster of `redis_clusters`, and everything that is wrong with it."""
    where = f"redis_clusters.{name}"
    if isinstance(raw, Mapping) and isinstance(raw.get("appendonly"), bool):  # YAML's `no`
        raw = {**raw, "appendonly": "everysec" if raw["appendonly"] else "no"}
    typed = check(raw, CLUSTER_OPTIONS, where)
    if not _NAME.match(name):
        rule = "a cluster is named with lower-case letters, digits, - and _"
        typed.append(Problem(where, rule, repr(name), "rename the cluster"))
    if not isinstance(raw, Mapping):
        return {}, typed
    reader = Reader(raw, CLUSTER_OPTIONS, where)
    parts: dict[str, Any] = {
        "mode": str(reader.given("mode")),
        "group": str(reader.given("group")),
        "ports": reader.read(ports, "ports", _NO_PORTS),
        "replicas": reader.read(at_least(0), "replicas", 1),
        "shards": reader.read(at_least(0), "shards", 0) or None,
        "primary": str(reader.given("primary")),
        "maxmemory": reader.read(memory, "maxmemory", 0),
        "maxmemory_policy": str(reader.given("maxmemory_policy")),
        "appendonly": str(reader.given("appendonly")),
        "save": reader.read(save_points, "save", _NONE),
        "node_timeout": reader.read(longer_than_nothing, "node_timeout", 5.0),
        "min_replicas_to_write": reader.read(at_least(0), "min_replicas_to_write", 0),
        "balance_by": str(reader.given("balance_by")),
        "threshold": reader.read(threshold, "threshold", 2.0),
        "sentinel": _sentinel(reader),
        "tls": reader.given("tls") is not None,
        "write_rate": reader.read(parse_size, "write_rate", 0),
        "settings": _settings(reader),
        "allow_from": reader.texts("allow_from"),
        "allow_from_networks": reader.read(networks, "allow_from_networks", _NONE),
    }
    parts["users"], passwords = _users(reader)
    parts["secrets"] = _secrets(reader, parts["mode"], passwords)
    said = {p.where for p in typed}
    return parts, typed + [p for p in reader.wrong if p.where not in said]


def read_instances(raw: object, where: str, problems: list[Problem]) -> list[tuple[str, int, str]]:
    """Return the cluster, port and state of each entry of a host's `redis_instances`."""
    if not isinstance(raw, (list, tuple)):
        remedy = "write redis_instances: [{cluster: sessions, port: 7000}]"
        problems.append(Problem(where, "redis_instances is a list of instances", repr(raw), remedy))
        return []
    found = []
    for number, entry in enumerate(raw):
        here = f"{where}[{number}]"
        wrong = check(entry, INSTANCE_OPTIONS, here)
        if not wrong and isinstance(entry, Mapping):
            reader = Reader(entry, INSTANCE_OPTIONS, here)
            found.append((str(entry["cluster"]), reader.read(port, "port", 0), str(reader.given("state"))))
            wrong = reader.wrong
        problems += wrong
    return found


def port(raw: object, where: str) -> int:
    """Return a TCP port; raises Refused."""
    if isinstance(raw, bool) or not str(raw).isdigit() or not 0 < int(str(raw)) <= LAST_PORT:
        raise Refused(f"a port is between 1 and {LAST_PORT}", repr(raw), "correct the port", where)
    return int(str(raw))


def ports(raw: object, where: str) -> tuple[int, ...]:
    """Return the ports of a list, each there once; raises Refused."""
    found = [port(value, where) for value in (raw if isinstance(raw, (list, tuple)) else [raw])]
    if not found:
        raise Refused("a cluster has a port", "none", "write ports: [6379], or leave it out", where)
    for value in found:
        if found.count(value) > 1:
            raise Refused("a port is listed once", str(value), "remove it, or give another one", where)
    return tuple(found)


def at_least(least: int) -> Callable[[Any, str], int]:
    """Return a reader of whole numbers that are not below `least`; it raises Refused."""

    def read(raw: object, where: str) -> int:
        if isinstance(raw, bool) or not str(raw).isdigit() or int(str(raw)) < least:
            raise Refused(f"a whole number of at least {least}", repr(raw), "correct the number", where)
        return int(str(raw))

    return read


def memory(raw: object, where: str) -> int:
    """Return bytes; 0 leaves it to sizing. Raises Refused, also below 1 MiB, where Redis cannot hold its own state."""
    found = parse_size(raw, where)
    if 0 < found < SMALLEST_MEMORY:
        raise Refused("maxmemory is at least 1mb", repr(raw), "give it a unit, e.g. 256mb", where)
    return found


def longer_than_nothing(raw: object, where: str) -> float:
    """Return seconds of at least a millisecond, which is Redis's resolution; raises Refused."""
    found = parse_duration(raw, where)
    if found < 0.001:
        raise Refused("it is longer than nothing", repr(raw), "write it as 5s", where)
    return found


def threshold(raw: object, where: str) -> float:
    """Return a percentage above 0 and up to 100; raises Refused."""
    found = parse_percent(raw, where)
    if not 0 < found <= 100:
        raise Refused("a threshold is above 0 and up to 100 percent", repr(raw), "write it as 2%", where)
    return found


def save_points(raw: object, where: str) -> tuple[str, ...]:
    """Return the points at which a snapshot is taken, `seconds changes` each; an empty list is none. Raises Refused."""
    found = tuple(" ".join(str(v).split()) for v in raw) if isinstance(raw, (list, tuple)) else (str(raw),)
    for point in found:
        if not _SAVE.match(point):
            raise Refused("a save point is seconds and changes", repr(point), 'write it as "300 100"', where)
    return found


def networks(raw: object, where: str) -> tuple[str, ...]:
    """Return networks as they are stated; raises Refused where one is not a network."""
    found = tuple(str(v) for v in raw) if isinstance(raw, (list, tuple)) else (str(raw),)
    for network in found:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            remedy = "write it as 192.0.2.0/24, without host bits"
            raise Refused("a network is an address and a prefix length", repr(network), remedy, where) from None
    return found


def password(raw: object, where: str, vault: str) -> str:
    """Return a password; raises Refused, by name and without repeating it. `vault` is a variable that could hold it.

    Its unsalted hash is on disk (Redis's own format), so it is long. Sentinel rewrites it into its file without
    quotes, so it holds nothing that would need them.
    """
    text = "" if raw is None else str(raw)
    if not text:
        raise Refused("a password is given", "none", f'give "{{{{ {vault} }}}}" and put that into a vault', where)
    if len(text) < SHORTEST_PASSWORD:
        rule = f"a password has at least {SHORTEST_PASSWORD} characters"
        raise Refused(rule, f"{len(text)}", "make one with `openssl rand -hex 24`", where)
    if not _PASSWORD.match(text):
        rule = "a password is printable ASCII without blanks, quotes and backslashes"
        raise Refused(rule, "another character", "make one with `openssl rand -hex 24`", where)
    return text


def _sentinel(cluster: Reader) -> dict[str, Any] | None:
    raw = cluster.given("sentinel")
    if not isinstance(raw, Mapping):
        return None
    reader = Reader(raw, SENTINEL_OPTIONS, f"{cluster.where}.sentinel")
    found = {
        "group": str(reader.given("group") or cluster.given("group")),
        "port": reader.read(port, "port", 0),
        "quorum": reader.read(at_least(1), "quorum", 1),
        "down_after": reader.read(longer_than_nothing, "down_after", 5.0),
        "failover_timeout": reader.read(longer_than_nothing, "failover_timeout", 60.0),
        "parallel_syncs": reader.read(at_least(1), "parallel_syncs", 1),
    }
    cluster.wrong += reader.wrong
    return found


def _settings(cluster: Reader) -> dict[str, Any]:
    raw = cluster.given("settings")
    if not isinstance(raw, Mapping):
        return {}
    cluster.wrong += settings_problems(raw, f"{cluster.where}.settings")
    return {canonical(str(k)): v for k, v in raw.items()}


def _users(cluster: Reader) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the applications' users, and their passwords by name."""
    raw = cluster.given("users")
    found: list[dict[str, Any]] = []
    passwords: dict[str, str] = {}
    for name, stated in raw.items() if isinstance(raw, Mapping) else ():
        where = f"{cluster.where}.users.{name}"
        wrong = check(stated, USER_OPTIONS, where)
        if not _USER.match(str(name)):
            wrong.append(Problem(where, "a user is named with letters, digits, . _ and -", repr(name), "rename it"))
        if name in RESERVED_USERS:
            remedy = "rename it; its password is admin_password, replication_password or sentinel.password"
            wrong.append(Problem(where, "a user has a name of its own", str(name), remedy))
        cluster.wrong += wrong
        if wrong or not isinstance(stated, Mapping):
            continue
        reader = Reader(stated, USER_OPTIONS, where)
        vault = f"vault_redis_{str(name).replace('-', '_').replace('.', '_').lower()}_password"
        passwords[str(name)] = reader.read(lambda v, w, n=vault: password(v, w, n), "password", "")  # type: ignore[misc]
        found.append({
            "name": str(name),
            "commands": reader.read(_commands, "commands", _NONE),
            "keys": reader.read(_patterns("~", ("~", "%R~", "%W~", "%RW~")), "keys", _NONE),
            "channels": reader.read(_patterns("&", ("&",)), "channels", _NONE),
        })  # fmt: skip
        cluster.wrong += reader.wrong
    return found, passwords


def _commands(raw: Any, where: str) -> tuple[str, ...]:
    """Return ACL rules of commands in their order; what is dangerous stays denied unless the rules speak of it."""
    found = [_SPELLED.get(str(v).lower(), str(v).lower()) for v in raw]
    for rule in found:
        if not _COMMAND.match(rule):
            remedy = "write it as +get, -flushall, +config|get, +@read or -@dangerous"
            raise Refused("a rule allows or denies a command or a category", repr(rule), remedy, where)
    if any(rule[1:] == "@dangerous" for rule in found):
        return tuple(found)
    # After the categories, which would bring dangerous commands; before single commands that are granted by name.
    last = max((n for n, rule in enumerate(found) if rule.startswith("+@")), default=-1)
    return (*found[: last + 1], "-@dangerous", *found[last + 1 :]) if last >= 0 else tuple(found)


def _patterns(prefix: str, known: tuple[str, ...]) -> Callable[[Any, str], tuple[str, ...]]:
    def read(raw: Any, where: str) -> tuple[str, ...]:
        found = [str(v) for v in raw]
        for pattern in found:
            if not _WORD.match(pattern):
                raise Refused("a pattern holds no blanks or quotes", repr(pattern), "write it as app:*", where)
        return tuple(p if p.startswith(known) else f"{prefix}{p}" for p in found)

    return read


def _secrets(cluster: Reader, mode: str, passwords: Mapping[str, str]) -> dict[str, Any]:
    def read(reader: Reader, key: str, vault: str) -> str:
        return reader.read(lambda v, w: password(v, w, vault), key, "")

    found = {**passwords, "steelyard": read(cluster, "admin_password", "vault_redis_admin_password")}
    if mode != "standalone" or cluster.given("replication_password"):
        found["replication"] = read(cluster, "replication_password", "vault_redis_replication_password")
    stated = cluster.given("sentinel")
    if isinstance(stated, Mapping):
        own = Reader(stated, SENTINEL_OPTIONS, f"{cluster.where}.sentinel")
        # Its own, or the replication user's: both may do little, and both are known to every member.
        found["sentinel"] = read(own, "password", "") if own.given("password") else found.get("replication", "")
        cluster.wrong += own.wrong
    tls = cluster.given("tls")
    texts = {k: _pem(tls, k, cluster) for k in ("certificate", "key", "ca")} if isinstance(tls, Mapping) else {}
    return {"passwords": found, **texts}


def _pem(tls: Mapping[str, Any], key: str, cluster: Reader) -> str:
    text = str(tls.get(key) or "")
    if text and "-----BEGIN " not in text:
        remedy = "give the text itself, e.g. with lookup('file', …), the key's from a vault"
        cluster.wrong.append(Problem(f"{cluster.where}.tls.{key}", "it is PEM text", "another text", remedy))
    return f"{text.strip()}\n" if text else ""
