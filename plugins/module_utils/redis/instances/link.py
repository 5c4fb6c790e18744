# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words to one server over its own socket file, and its replies as text. The standard library only.

redis-py is not used here, as it is in `wire.py`: this runs on every Redis host, in check mode also before anything was
installed there, under the system's interpreter, while the library lives in the client environment of the coordinators.
What is spoken is RESP2: https://redis.io/docs/latest/develop/reference/protocol-spec/ .
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

Reply = Any
"""Text, a number, None, an ErrorReply, or a list of these."""

_LONGEST_LINE = 2**16


class NoAnswer(Exception):
    """There is no connection, or none any more, or it stayed silent too long."""


class ErrorReply(Exception):
    """What the server answered instead, beginning with its code (`WRONGPASS …`)."""

    @property
    def text(self) -> str:
        """The answer."""
        return str(self.args[0])


class Link:
    """One connection, made by the first command."""

    def __init__(self, path: str, user: str = "", password: str = "", timeout: float = 5.0) -> None:
        self._path, self._sign_in, self._timeout = path, (user, password) if user else (), timeout
        self._socket: socket.socket | None = None
        self._stream: Any = None

    def __enter__(self) -> Link:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def ask(self, *words: str) -> Reply:
        """Send one command and return its reply; raises ErrorReply or NoAnswer."""
        reply = self.ask_all([words])[0]
        if isinstance(reply, ErrorReply):
            raise reply
        return reply

    def ask_all(self, commands: Sequence[Sequence[str]]) -> list[Reply]:
        """Send commands together; return their replies in order, error replies among them.

        Raises NoAnswer, and ErrorReply where the server refuses to sign us in.
        """
        try:
            return self._exchange(self._socket or self._connect(), commands)
        except (OSError, ValueError) as error:
            self.close()
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise NoAnswer(reason) from error

    def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = self._stream = None

    def _connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket = made
        made.settimeout(self._timeout)
        made.connect(self._path)
        self._stream = made.makefile("rb")
        if self._sign_in:
            reply = self._exchange(made, [["AUTH", *self._sign_in]])[0]
            if isinstance(reply, ErrorReply):
                self.close()
                raise reply
        return made

    def _exchange(self, connection: socket.socket, commands: Sequence[Sequence[str]]) -> list[Reply]:
        connection.sendall(b"".join(packed(words) for words in commands))
        return [self._reply() for _command in commands]

    def _reply(self) -> Reply:
        line = self._stream.readline(_LONGEST_LINE)
        if not line.endswith(b"\r\n"):
            raise ValueError("the connection ended")
        kind, text = line[:1], line[1:-2].decode("utf-8", "replace")
        if kind == b"+":
            return text
        if kind == b"-":
            return ErrorReply(text)
        if kind == b":":
            return int(text)
        if kind == b"$":
            return self._bulk(int(text))
        if kind == b"*":
            return None if int(text) < 0 else [self._reply() for _item in range(int(text))]
        raise ValueError(f"not a reply: {line[:20]!r}")

    def _bulk(self, length: int) -> str | None:
        if length < 0:
            return None
        data = self._stream.read(length + 2)
        if len(data) != length + 2:
            raise ValueError("the connection ended")
        text: str = data[:-2].decode("utf-8", "replace")
        return text


def packed(words: Sequence[str]) -> bytes:
    """Return one command as the server reads it: an array of strings with their lengths."""
    parts = [word.encode() for word in words]
    return b"".join([b"*%d\r\n" % len(parts), *(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)])


def pairs(reply: Sequence[str]) -> dict[str, str]:
    """Return a flat list of names and values, as CONFIG GET has it, as a mapping."""
    words = [str(word) for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
