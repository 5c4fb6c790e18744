"""Telling a process from a later one with the same number."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils import process
from ansible_collections.steelyard.stack.plugins.module_utils.process import (
    Process,
    is_alive,
    process_of,
    start_of,
    this_process,
)


@pytest.fixture
def child() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate()


def test_this_process_is_alive_and_reads_back() -> None:
    me = this_process()
    assert me.pid == os.getpid()
    assert is_alive(me) is True
    assert Process.from_dict(me.as_dict()) == me


def test_a_child_lives_until_it_ends(child: subprocess.Popen[bytes]) -> None:
    identity = process_of(child.pid)
    assert is_alive(identity) is True
    end(child)
    assert is_alive(identity) is False


def test_a_zombie_has_ended(child: subprocess.Popen[bytes]) -> None:
    identity = process_of(child.pid)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet reaped
    assert is_alive(identity) is False
    end(child)


def test_the_same_number_later_is_another_process() -> None:
    assert is_alive(replace(this_process(), start=1)) is False


def test_another_boot_ended_everything() -> None:
    assert is_alive(replace(this_process(), boot_id="0000/1")) is False


def test_what_cannot_be_seen_is_not_judged() -> None:
    me = this_process()
    assert is_alive(replace(me, host="elsewhere")) is None
    assert is_alive(replace(me, boot_id="")) is None
    assert is_alive(replace(me, boot_id=me.boot_id.split("/")[0] + "/1")) is None


def test_without_proc_a_free_number_has_ended(child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a number that is taken nothing can be said; of one that is free it can."""
    monkeypatch.setattr(process, "boot_id", lambda: "")
    holder = Process(this_process().host, "", child.pid, 0)
    assert is_alive(holder) is None
    end(child)
    assert is_alive(holder) is False
    assert is_alive(replace(holder, host="elsewhere")) is None
    assert is_alive(replace(holder, boot_id="b1/1")) is None


def test_a_command_with_spaces_and_parentheses(
    tmp_path: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = ["S", *[str(n) for n in range(4, 22)], "4242", "23"]
    monkeypatch.setattr(process.Path, "read_text", lambda *a, **k: f"17 (a (b) S 1 2) {' '.join(fields)}")
    assert start_of(17) == 4242


def test_no_such_process() -> None:
    assert start_of(2**22 + 1) is None
