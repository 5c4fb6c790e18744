# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ACL users of servers and Sentinels: lines of their files, and what a running server has of them. Pure.

Only hashes leave this module. Redis 7.0 writes an ACL in words of its own (`+@read -@dangerous` comes back as a list
of commands), later versions keep ours: rules are compared by the commands that they allow, for which the server's own
categories are asked (ACL CAT, which is a read).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import (
    ADMIN,
    REPLICATOR,
    SENTINEL,
    STANDALONE,
    Cluster,
    User,
)

Categories = Mapping[str, Iterable[str]]
"""Commands (`get`, `config|set`) by category (`read`), as ACL CAT answers."""

# https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/#acl-rules-for-sentinel-and-replicas
REPLICA_RULES = ("+psync", "+replconf", "+ping")
WATCHER_RULES = (
    "&*", "+multi", "+slaveof", "+ping", "+exec", "+subscribe", "+config|rewrite", "+role", "+publish", "+info",
    "+client|setname", "+client|kill", "+script|kill",
    # For SENTINEL FAILOVER … COORDINATED (Valkey 9), by which Sentinels hold writes back and let the primary hand over.
    "+failover", "+client|pause",
)  # fmt: skip
ATOMIC_MIGRATION_RULES = ("+cluster|syncslots",)
"""Beside a replica's, where the server moves slots as a whole (Valkey 9); others refuse a rule that names it. Unproven."""

# What Sentinels say to each other, and what clients ask them
# (https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/#redis-access-control-list-authentication).
PEER_RULES = ("&*", "+ping", "+publish", "+client|setname", "+sentinel|is-master-down-by-addr")
ASKING_RULES = (
    "&*", "+@connection", "-@dangerous", "+command", "+role", "+subscribe", "+psubscribe", "+unsubscribe",
    "+punsubscribe", "+sentinel|get-master-addr-by-name", "+sentinel|master", "+sentinel|masters", "+sentinel|myid",
    "+sentinel|replicas", "+sentinel|slaves", "+sentinel|sentinels",
)  # fmt: skip

_FLAGS = frozenset({"sanitize-payload", "skip-sanitize-payload", "resetchannels", "resetkeys", "clearselectors",
                    "resetpass"})  # fmt: skip
_SPELLED = {"allkeys": "~*", "allchannels": "&*", "allcommands": "+@all", "nocommands": "-@all"}
_SELECTOR = re.compile(r"\([^)]*\)")


@dataclass(frozen=True)
class AclUser:
    """One user as a server has it. `commands` are rules in their order; the rest has none."""

    name: str
    on: bool = False
    nopass: bool = False
    hashes: frozenset[str] = field(default=frozenset(), repr=False)
    keys: frozenset[str] = frozenset()
    channels: frozenset[str] = frozenset()
    commands: tuple[str, ...] = ()
    selectors: frozenset[str] = frozenset()


@dataclass(frozen=True)
class AclPlan:
    """What makes a server's users the wanted ones: rules for ACL SETUSER by name (hashes within), names to delete.

    `lines` say it for people, without hashes.
    """

    set_users: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False, repr=False)
    delete: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing differs."""
        return not (self.set_users or self.delete)


def hashed(password: str) -> str:
    """Return the rule that admits a password without telling it."""
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def server_lines(cluster: Cluster, atomic_migration: bool = False) -> tuple[str, ...]:
    """Return the lines of a server's ACL file: `default` off, ours with what each needs, the applications'.

    Raises Refused where a password is missing.
    """
    lines = [_line("default", "off"), _user(cluster, ADMIN, ("~*", "&*", "+@all"))]
    if cluster.mode != STANDALONE:
        rules = (*REPLICA_RULES, *(ATOMIC_MIGRATION_RULES if atomic_migration else ()))
        lines.append(_user(cluster, REPLICATOR, rules))
    if cluster.sentinel:
        lines.append(_user(cluster, SENTINEL, WATCHER_RULES))
    lines += [_user(cluster, u.name, _rules(u)) for u in cluster.users]
    return tuple(lines)


def sentinel_lines(cluster: Cluster) -> tuple[str, ...]:
    """Return the lines of a Sentinel's own ACL file: the applications may ask it where the primary is.

    Raises Refused where a password is missing.
    """
    lines = [_line("default", "off"), _user(cluster, ADMIN, ("~*", "&*", "+@all"))]
    lines.append(_user(cluster, SENTINEL, PEER_RULES))
    lines += [_user(cluster, u.name, ASKING_RULES) for u in cluster.users]
    return tuple(lines)


def _rules(user: User) -> tuple[str, ...]:
    return (*user.keys, *user.channels, *user.commands)


def _line(name: str, *rules: str) -> str:
    return " ".join(("user", name, "reset", *rules))


def _user(cluster: Cluster, name: str, rules: Iterable[str]) -> str:
    password = cluster.secrets.passwords.get(name, "")
    if not password:
        where = f"redis_clusters.{cluster.name}"
        raise Refused(f"the user {name} has a password", "none", "state it, from a vault", where)
    return _line(name, "on", hashed(password), *rules)


def parse(line: str) -> AclUser:
    """Return the user of one line of an ACL file or of ACL LIST; raises Refused for anything else."""
    selectors = frozenset(" ".join(s.strip("()").split()) for s in _SELECTOR.findall(line))
    words = _SELECTOR.sub(" ", line).split()
    if len(words) < 2 or words[0] != "user":
        raise Refused("a line of an ACL begins with user and its name", " ".join(words[:1]), "report it")
    on = nopass = False
    hashes: set[str] = set()
    keys: list[str] = []
    channels: list[str] = []
    commands: list[str] = []
    for word in (_SPELLED.get(w, w) for w in words[2:]):
        if word in ("on", "off"):
            on = word == "on"
        elif word == "nopass":
            nopass = True
        elif word == "reset":
            on = nopass = False
            for collected in (hashes, keys, channels, commands):
                collected.clear()
        elif word.startswith("#"):
            hashes.add(word)
        elif word.startswith(("~", "%")):
            keys.append("~" + word[4:] if word.startswith("%RW~") else word)
        elif word.startswith("&"):
            channels.append(word)
        elif word.startswith(("+", "-")):
            commands.append(word.lower())
        elif word not in _FLAGS:
            raise Refused("a rule of an ACL is known", word[:1] + "…", "report it", words[1])
    return AclUser(
        words[1], on, nopass, frozenset(hashes), frozenset(keys), frozenset(channels), tuple(commands), selectors
    )


def allowed(commands: Iterable[str], categories: Categories) -> frozenset[str]:
    """Return the commands that rules allow, applied in their order; a command has its subcommands in its place.

    A rule that names what no category has (a first argument: `+select|0`) stands for itself.
    """
    every = frozenset(c for names in categories.values() for c in names)
    parents = {c.split("|", 1)[0] for c in every if "|" in c}
    found: set[str] = set()
    for rule in commands:
        sign, name = rule[0], rule[1:]
        if name == "@all":
            meant = every
        elif name.startswith("@"):
            meant = frozenset(categories.get(name[1:], ()))
        else:
            meant = frozenset({name, *(c for c in every if c.startswith(f"{name}|"))})
        found = found | meant if sign == "+" else found - meant
    return frozenset(found - parents)


def same(one: AclUser, other: AclUser, categories: Categories) -> bool:
    """Whether two users may do the same and prove themselves by the same passwords."""
    plain = [
        (u.name, u.on, u.nopass, u.hashes, u.keys, u.channels, u.selectors) for u in (one, other)
    ]  # fmt: skip
    return plain[0] == plain[1] and allowed(one.commands, categories) == allowed(other.commands, categories)


def plan_users(wanted: Sequence[str], live: Sequence[str], categories: Categories) -> AclPlan:
    """Return what to set and delete so that a server that answers `live` to ACL LIST has the `wanted` lines."""
    rules = {parse(line).name: tuple(line.split()[2:]) for line in wanted}
    wishes = {user.name: user for user in map(parse, wanted)}
    found = {user.name: user for user in map(parse, live)}
    set_users: dict[str, tuple[str, ...]] = {}
    lines: list[str] = []
    for name, user in wishes.items():
        now = found.get(name)
        if now is None or not same(user, now, categories):
            set_users[name] = rules[name]
            lines.append(f"user {name}: {_change(user, now, categories)}")
    delete = tuple(sorted(set(found) - set(wishes) - {"default"}))
    lines += [f"user {name}: deleted, its connections end" for name in delete]
    return AclPlan(set_users, delete, tuple(lines))


def _change(user: AclUser, now: AclUser | None, categories: Categories) -> str:
    """Return what differs, for people."""
    if now is None:
        return "created"
    parts = []
    if user.on != now.on:
        parts.append("switched on" if user.on else "switched off")
    if (user.hashes, user.nopass) != (now.hashes, now.nopass):
        parts.append("password")
    for word, one, other in (("keys", user.keys, now.keys), ("channels", user.channels, now.channels)):
        if one != other:
            parts.append(f"{word} {' '.join(sorted(one)) or '(none)'}")
    more, less = (allowed(a.commands, categories) - allowed(b.commands, categories)
                  for a, b in ((user, now), (now, user)))  # fmt: skip
    if more:
        parts.append(f"may {_few(more)}")
    if less:
        parts.append(f"may no longer {_few(less)}")
    if user.selectors != now.selectors:
        parts.append("selectors removed")
    return ", ".join(parts)


def _few(names: Iterable[str]) -> str:
    """Return the first of some names, and how many more there are."""
    found = sorted(names)
    return " ".join(found[:4]) + (f" and {len(found) - 4} more" if len(found) > 4 else "")
