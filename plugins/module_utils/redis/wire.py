# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One connection to one server, on redis-py's connection class: words out, raw replies in.

Replies are bytes, integers and lists as RESP2 has them; nothing is converted, so that no version of the library
changes what we see. hiredis, where it is installed, packs and parses several times faster.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.redis.model import REQUIREMENTS

try:
    import redis as _redis
    from redis import exceptions as _raised
except ImportError:  # the planner's side and the documentation build do without
    _redis = None  # type: ignore[assignment]
_pack: Any = None
try:
    from hiredis import pack_command as _pack
except ImportError:  # the library's own way does too
    pass

Word = Union[str, bytes, int, float]  # noqa: UP007 (made at run time: read by checkers as an older Python)
Command = Sequence[Word]


@dataclass(frozen=True)
class Tls:
    """Paths of PEM files; certificate and key are needed where the server asks for a client's."""

    ca: str
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True)
class Access:
    """How servers are reached; durations are seconds. The password never shows in a representation."""

    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    connect_timeout: float = 2.0
    timeout: float = 5.0


class NoAnswer(Exception):
    """There is no connection, or none any more, or it stayed silent too long. Nobody knows what became of a command."""


class Loading(NoAnswer):
    """It is up and reads its data; it will answer."""


class ErrorReply(Exception):
    """What the server answered instead; the text begins with the server's code (`MOVED 12 …`), but for `ERR`, which the library drops."""

    @property
    def text(self) -> str:
        return str(self.args[0])

    def starts(self, *codes: str) -> bool:
        """Whether it is one of these."""
        return self.text.startswith(codes)


def require_library(library: Any = _redis) -> None:
    """Raise SteelyardError, with what to install, where redis-py is missing."""
    if library is None:
        remedy = f"run site.yml for it: the role base installs {', '.join(REQUIREMENTS)}"
        raise SteelyardError("the Python library redis is on the coordinator", "not installed", remedy)


class Link:
    """One connection; it is made by the first command, and anew by the first one after it broke. Not for two threads."""

    def __init__(self, address: str, port: int, access: Access) -> None:
        require_library()
        self.address, self.port = address, port
        self._access = access
        self._connection = self._new()
        self._waiting = 0

    def _new(self) -> Any:
        access = self._access
        library: Any = _redis
        common: dict[str, Any] = {
            "host": self.address, "port": self.port, "username": access.user or None,
            "password": access.password or None, "socket_timeout": access.timeout,
            "socket_connect_timeout": access.connect_timeout, "protocol": 2, "client_name": "steelyard",

        }  # fmt: skip
        if access.tls is None:
            return library.Connection(**common)
        files: dict[str, Any] = {
            "ssl_ca_certs": access.tls.ca,
            "ssl_cert_reqs": "required",
            "ssl_check_hostname": False,
        }
        if access.tls.certificate:
            files |= {"ssl_certfile": access.tls.certificate, "ssl_keyfile": access.tls.key}
        return library.SSLConnection(**common, **files)

    def ask(self, *words: Word) -> Any:
        """Send one command and return its reply; raises ErrorReply or NoAnswer."""
        reply = self.ask_all([words])[0]
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands together; return their replies in order, error replies among them. Raises NoAnswer."""
        self.send(commands)
        return self.receive()

    def send(self, commands: Sequence[Command]) -> None:
        """Send commands without waiting for a reply; `receive` gets those of all that were sent. Raises NoAnswer."""
        with self._failing():
            if not self._connection.is_connected:
                self._connection.connect()
            self._connection.send_packed_command(self._packed(commands), check_health=False)
            self._waiting += len(commands)

    def receive(self, count: int | None = None) -> list[Any]:
        """Return the replies that are due, or the first `count` of them. Raises NoAnswer."""
        replies: list[Any] = []
        read = self._connection.read_response
        with self._failing():
            for _turn in range(self._waiting if count is None else count):
                try:
                    replies.append(read(disable_decoding=True))
                except _raised.ResponseError as err:
                    replies.append(ErrorReply(_text_of(err)))
                self._waiting -= 1
        return replies

    def _packed(self, commands: Sequence[Command]) -> Any:
        """Return the bytes of commands. hiredis does at once what the library does word by word."""
        if _pack is None:
            return self._connection.pack_commands(commands)
        return [b"".join([_pack(tuple(c)) for c in commands])]

    def close(self) -> None:
        """End the connection; replies that are due are lost."""
        self._waiting = 0
        with contextlib.suppress(Exception):
            self._connection.disconnect()

    @contextlib.contextmanager
    def _failing(self) -> Any:
        try:
            yield
        except _raised.BusyLoadingError as err:
            self.close()
            raise Loading("LOADING") from err
        except _raised.AuthenticationError as err:
            self.close()
            raise NoAnswer(_text_of(err)) from err
        except (_raised.RedisError, OSError) as err:
            self.close()
            raise NoAnswer(_plain(err)) from err


def _plain(err: BaseException) -> str:
    """The innermost reason, in the system's words (`Connection refused`)."""
    inner: BaseException | None = err
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            return inner.strerror
        inner = inner.__cause__ or inner.__context__
    return str(err) or type(err).__name__


def _text_of(err: Exception) -> str:
    """The reply as the server wrote it: the library takes known codes off."""
    text = str(err)
    for name, code in (
        ("MovedError", "MOVED"), ("AskError", "ASK"), ("TryAgainError", "TRYAGAIN"),
        ("ClusterDownError", "CLUSTERDOWN"), ("MasterDownError", "MASTERDOWN"), ("NoPermissionError", "NOPERM"),
        ("ReadOnlyError", "READONLY"), ("OutOfMemoryError", "OOM"), ("BusyLoadingError", "LOADING"),
        ("AuthenticationError", "WRONGPASS"), ("NoScriptError", "NOSCRIPT"),
    ):  # fmt: skip
        kind = getattr(_raised, name, None)
        if kind is not None and isinstance(err, kind) and not text.startswith(code):
            return f"NOAUTH {text}" if code == "WRONGPASS" and "required" in text else f"{code} {text}"
    return text
