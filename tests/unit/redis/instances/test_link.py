"""The connection to one server, against a socket that answers what a server was heard to say."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.link import (
    ErrorReply,
    Link,
    NoAnswer,
    packed,
    pairs,
)


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A socket file whose one client gets an answer for each of its messages; what it sent is in the list."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path, heard = str(Path(folder, "s")), []
        listener.bind(path)
        listener.listen(1)

        def serve() -> None:
            client, _address = listener.accept()
            with client:
                for answer in answers:
                    heard.append(client.recv(65536))
                    client.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path, heard
        finally:
            thread.join(5)


def test_kinds_of_replies() -> None:
    said = b"+OK\r\n:42\r\n$5\r\nf\xc3\xbcn\x00\r\n$-1\r\n*3\r\n$1\r\na\r\n*0\r\n*-1\r\n-ERR no\r\n"
    with answering(said) as (path, heard), Link(path) as link:
        replies = link.ask_all([["A"]] * 6)
    assert replies[:5] == ["OK", 42, "fün\x00", None, ["a", [], None]]
    assert isinstance(replies[5], ErrorReply) and replies[5].text == "ERR no"
    assert heard == [b"*1\r\n$1\r\nA\r\n" * 6]


def test_it_signs_in_first_and_once() -> None:
    signed, pong = b"+OK\r\n", b"+PONG\r\n"
    with answering(signed, pong, pong) as (path, heard), Link(path, "steelyard", "geheim") as link:
        assert (link.ask("PING"), link.ask("PING")) == ("PONG", "PONG")
    assert heard[0] == packed(["AUTH", "steelyard", "geheim"])
    assert heard[1:] == [packed(["PING"])] * 2


def test_a_refused_password_is_an_error_reply() -> None:
    said = b"-WRONGPASS invalid username-password pair\r\n"
    refused = pytest.raises(ErrorReply, match="WRONGPASS")
    with answering(said) as (path, _heard), Link(path, "steelyard", "falsch") as link, refused:
        link.ask("PING")


def test_an_error_reply_is_raised_by_ask() -> None:
    with answering(b"-NOPERM no\r\n") as (path, _heard), Link(path) as link, pytest.raises(ErrorReply) as error:
        link.ask("FLUSHALL")
    assert error.value.text == "NOPERM no"


@pytest.mark.parametrize("answer", [b"", b"$10\r\nshort", b"+OK", b"!odd\r\n", b"$x\r\n"])
def test_half_an_answer_is_none(answer: bytes) -> None:
    with answering(answer) as (path, _heard), Link(path) as link, pytest.raises(NoAnswer):
        link.ask("PING")


def test_silence_is_no_answer() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(Path(folder, "s")))
        listener.listen(1)
        with Link(str(Path(folder, "s")), timeout=0.05) as link, pytest.raises(NoAnswer, match="timed out"):
            link.ask("PING")


def test_no_socket() -> None:
    with Link("/nonexistent/redis.sock") as link, pytest.raises(NoAnswer, match="No such file"):
        link.ask("PING")


def test_words_are_counted_in_bytes() -> None:
    assert packed(["SET", "ü", ""]) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$0\r\n\r\n"


def test_pairs() -> None:
    assert pairs(["a", "1", "b", ""]) == {"a": "1", "b": ""}
