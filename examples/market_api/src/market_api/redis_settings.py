# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How Redis is reached, where there is one: a single server, a primary that Sentinels know, or a Redis Cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from market_api.reading import BadValue, Reader, count, duration, one_of

NONE, STANDALONE, SENTINEL, CLUSTER = "none", "standalone", "sentinel", "cluster"
USER = re.compile(r"[!-~]*")
PREFIX = "MARKET_REDIS"


@dataclass(frozen=True)
class RedisSettings:
    """One Redis. `nodes` are servers, or with `sentinel` the Sentinels, which know the primary as `master`.

    Durations are seconds: `timeout` of one attempt; `cache_deadline` of all attempts to ask the cache, after which the
    store is asked; `session_deadline` of all attempts to keep a session, after which the client is told to come back.
    """

    mode: str
    nodes: tuple[tuple[str, int], ...]
    master: str
    user: str
    password: str = field(repr=False)
    tls: bool
    ca_file: str
    read_replicas: bool
    connections: int
    timeout: float
    cache_deadline: float
    session_deadline: float

    @classmethod
    def from_reader(cls, reader: Reader) -> RedisSettings | None:
        """Read the settings; None where no Redis is named. What is wrong is noted at the reader."""
        given = reader.read("MARKET_REDIS_PASSWORD", "", _password)
        in_file = reader.read("MARKET_REDIS_PASSWORD_FILE", "", _password_file)
        found = cls(
            mode=reader.read("MARKET_REDIS_MODE", NONE, one_of(NONE, STANDALONE, SENTINEL, CLUSTER)),
            nodes=reader.read("MARKET_REDIS_NODES", "", _nodes),
            master=reader.read("MARKET_REDIS_MASTER", "", _name),
            user=reader.read("MARKET_REDIS_USER", "", _name),
            password=in_file if given == "" else given,
            tls=reader.read("MARKET_REDIS_TLS", "off", one_of("on", "off")) == "on",
            ca_file=reader.read("MARKET_REDIS_CA_FILE", "", _file),
            read_replicas=reader.read("MARKET_REDIS_READ", "primary", one_of("primary", "replicas")) == "replicas",
            connections=reader.read("MARKET_REDIS_CONNECTIONS", "20", count(1, 10_000)),
            timeout=reader.read("MARKET_REDIS_TIMEOUT", "1s", duration(0.05, 60)),
            cache_deadline=reader.read("MARKET_CACHE_DEADLINE", "250ms", duration(0.01, 10)),
            session_deadline=reader.read("MARKET_SESSION_DEADLINE", "12s", duration(0.1, 60)),
        )
        if found.mode == NONE:
            for name in sorted(set(reader.given(PREFIX)) - {"MARKET_REDIS_MODE"}):
                reader.wrong(name, "MARKET_REDIS_MODE says what it is for", "none", "set the mode, or leave it out")
            return None
        if found.mode in (STANDALONE, SENTINEL, CLUSTER):  # another word is refused already
            found._check(reader)
        return found

    def _check(self, reader: Reader) -> None:
        """Note what does not go together. A value that was refused is None here, and has been noted."""
        if self.nodes == () or (self.mode == STANDALONE and self.nodes and len(self.nodes) > 1):
            rule = "one server is named" if self.mode == STANDALONE else "servers or Sentinels are named"
            remedy = "write redis1:6379, or redis1:26379,redis2:26379"
            reader.wrong("MARKET_REDIS_NODES", rule, f"{len(self.nodes)} named", remedy)
        if (self.mode == SENTINEL) != bool(self.master) and self.master is not None:
            remedy = "name the primary as the Sentinels do, e.g. sessions; elsewhere leave it out"
            reader.wrong("MARKET_REDIS_MASTER", "Sentinels, and they alone, know a primary by name", self.mode, remedy)
        if self.user and self.password == "":
            remedy = "set MARKET_REDIS_PASSWORD or MARKET_REDIS_PASSWORD_FILE"
            reader.wrong("MARKET_REDIS_PASSWORD", "a user has a password", "none", remedy)
        if len(reader.given("MARKET_REDIS_PASSWORD")) > 1:
            reader.wrong("MARKET_REDIS_PASSWORD_FILE", "the password is given once", "twice", "leave one out")
        if self.ca_file and not self.tls:
            reader.wrong("MARKET_REDIS_CA_FILE", "an authority is for TLS", "TLS is off", "set MARKET_REDIS_TLS=on")
        if self.read_replicas and self.mode == STANDALONE:
            reader.wrong("MARKET_REDIS_READ", "replicas are known by Sentinels or a cluster", self.mode, "use primary")


def _nodes(text: str) -> tuple[tuple[str, int], ...]:
    found = []
    for item in (part.strip() for part in text.split(",") if part.strip()):
        try:
            parts = urlsplit(f"//{item}")
            host, port = parts.hostname or "", parts.port or 0
        except ValueError:
            host, port = "", 0
        if not host or not port or parts.netloc != item or "@" in item or (host, port) in found:
            rule = f"each is an address with a port, named once ({item!r} is not)"
            raise BadValue(rule, "write it as redis1:6379 or [2001:db8::1]:6379")
        found.append((host, port))
    return tuple(found)


def _name(text: str) -> str:
    if not USER.fullmatch(text):
        raise BadValue("a name has printable characters and no space", "write it as sessions")
    return text


def _password(text: str) -> str:
    if "\n" in text or "\0" in text:
        raise BadValue("a password is one line", "write it without a line's end", secret=True)
    return text


def _file(path: str) -> str:
    if path and not Path(path).is_file():
        raise BadValue("the file exists", "name a file that this process can read")
    return path


def _password_file(path: str) -> str:
    if not path:
        return ""
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as err:
        raise BadValue(f"the file can be read ({type(err).__name__})", "let this process read it") from None
    if not text or "\n" in text:
        raise BadValue("the file holds the password, one line", "write it there without more")
    return text
