"""One run at a time on a host: another one waits, what a killed one left running is waited for, then it goes on."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.app_hosts import app_class, instances

from ansible_collections.steelyard.stack.plugins.module_utils import claim, command
from ansible_collections.steelyard.stack.plugins.module_utils.app import client, model, releases
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Locked
from ansible_collections.steelyard.stack.plugins.module_utils.instances import module as flow
from ansible_collections.steelyard.stack.plugins.module_utils.process import process_of
from ansible_collections.steelyard.stack.plugins.modules import app_instances as module

WISH = Wish(instances({"api": app_class()}), host="api1")


class Time:
    """Passes only while somebody sleeps."""

    now = 1000.0

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> claim.Ground:
    ground = claim.Ground(str(tmp_path / "app.lock"), "app", "applications")
    time = Time()

    def here(run: str, patience: float, _ground: claim.Ground) -> Any:
        return claim.claimed(run, patience, ground, time.clock, time.sleep)

    monkeypatch.setattr(flow, "claimed", here)
    monkeypatch.setattr(flow, "require_patience", lambda waited, _ground: claim.require_patience(waited, ground))
    monkeypatch.setattr(module.work, "DOWNLOADS", str(tmp_path / "download"))
    monkeypatch.setattr(module.work, "read", lambda wish: (Seen(), make_plan(Seen(), wish)))
    return ground


def call(**more: Any) -> dict[str, Any]:
    params = {
        "plan": make_plan(Seen(), WISH).summary(), "budget": 10.0, "waited": 0.0, "lease": {"run": "mine"},
        "archives": {}, "python": "/usr/bin/python3", **more,
    }  # fmt: skip
    return module.AppWork(WISH, params).apply(check_mode=False)


def test_while_another_run_works_nothing_is_done(lock: claim.Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.work.Executor, "execute", lambda *_: pytest.fail("did a step beside another run"))
    with claim.claimed("other", 0, lock):
        answer = call()
    assert answer["progress"] == "waits for another run on this host"
    assert answer["applied"] == []
    assert answer["remaining"] == [s.id for s in make_plan(Seen(), WISH).steps]


def test_waiting_has_an_end_and_names_the_other_run(lock: claim.Ground) -> None:
    with claim.claimed("other", 0, lock), pytest.raises(Locked, match="run other still does") as caught:
        call(waited=claim.PATIENCE)
    assert caught.value.exit_code == Locked.exit_code


def test_steps_are_done_under_the_claim_and_it_is_given_back(
    lock: claim.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def execute(executor: Any, step: Any, left: float) -> None:
        assert executor.hold
        assert left > 0
        with claim.claimed("other", 0, lock) as second:
            held.append(second is None)

    monkeypatch.setattr(module.work.Executor, "execute", execute)
    assert call()["remaining"] == []
    assert held
    assert all(held)
    with claim.claimed("other", 0, lock) as again:
        assert again is not None


def test_what_a_killed_run_downloaded_is_gone_once_the_host_is_claimed(
    lock: claim.Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = Path(module.work.DOWNLOADS) / "demo-1.0.0"
    left.parent.mkdir()
    left.write_text("half")
    monkeypatch.setattr(module.work.Executor, "execute", lambda *_: None)
    with claim.claimed("other", 0, lock):
        call()
        assert left.exists(), "another run may be downloading it"
    call()
    assert not left.parent.exists()


def test_a_download_is_private_and_does_not_stay(lock: claim.Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def install(_release: object, archive: Path, *_: object) -> None:
        seen.append((archive.parent.stat().st_mode & 0o777, str(archive.parent)))

    monkeypatch.setattr(module.work.releases, "install", install)
    monkeypatch.setattr(module.work.client, "read_releases", dict)
    monkeypatch.setattr(module.work.Executor, "_archive", lambda _self, release, private: private / release.id)
    module.work.Executor(WISH)._install("demo-1.0.0")
    assert seen == [(0o700, module.work.DOWNLOADS)]
    assert not Path(module.work.DOWNLOADS).exists()


def test_time_waited_for_another_run_is_not_held_against_a_start(lock: claim.Ground) -> None:
    time = Time()
    with claim.claimed("other", 0, lock, time.clock, time.sleep):
        time.now += 60
    with claim.claimed("mine", 0, lock, time.clock, time.sleep) as first:
        assert first is not None
        assert first.working(60.0, time.now) == 0
    time.now += 7
    with claim.claimed("mine", 0, lock, time.clock, time.sleep) as second:
        assert second is not None
        assert second.working(67.0, time.now) == 7
    with (
        claim.claimed("other", 0, lock, time.clock, time.sleep),
        claim.claimed("mine", 1, lock, time.clock, time.sleep),
    ):
        pass


def test_a_build_that_outlives_its_module_still_holds_the_host(lock: claim.Ground) -> None:
    """A child that was handed the file keeps the claim when the module has gone."""
    with claim.claimed("killed", 0, lock) as held:
        assert held is not None
        child = subprocess.Popen(
            [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[held.file]
        )  # what command.run does with hold
    with claim.claimed("next", 0, lock) as early:
        assert early is None
    child.communicate(b"\n", timeout=20)
    with claim.claimed("next", 0, lock) as late:
        assert late is not None


def test_a_command_keeps_what_it_is_told_to_hold(tmp_path: Path) -> None:
    file = os.open(tmp_path / "held", os.O_RDWR | os.O_CREAT)
    said = command.run([sys.executable, "-c", f"import os; print(os.fstat({file}).st_size)"], hold=[file])
    os.close(file)
    assert said.strip() == "0"


def test_a_claim_on_a_file_that_was_removed_is_none(lock: claim.Ground) -> None:
    """Who cleans a host removes the file: whoever opened it before must not work beside who makes a new one."""
    old = os.open(lock.path, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(old, fcntl.LOCK_EX)
    claim.forget(lock)
    with claim.claimed("next", 0, lock) as held:
        assert held is not None
        assert os.fstat(held.file).st_ino == os.stat(lock.path).st_ino
    os.close(old)


@pytest.fixture
def half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[model.Release, Path]:
    for found in (model, releases):
        monkeypatch.setattr(found, "ROOT", str(tmp_path / "app"))
    source = tmp_path / "demo-1.0.0.tar.gz"
    source.write_bytes(b"")
    release = model.Release("1.0.0", str(source), releases.sha256_of(source))
    target = Path(release.path)
    target.mkdir(parents=True)
    (target / "half").write_text("x")
    return release, target


@pytest.mark.parametrize("verb", ["install", "remove"])
def test_what_a_living_process_makes_is_left_alone(half_made: tuple[model.Release, Path], verb: str) -> None:
    release, target = half_made
    maker = process_of(os.getppid()).as_dict()
    (target / client.PARTIAL_NOTE).write_text(json.dumps(maker))
    work = {
        "install": lambda: releases.install(release, Path(release.src), []),
        "remove": lambda: releases.remove(release.id),
    }
    with pytest.raises(Locked, match=r"makes demo-1\.0\.0"):
        work[verb]()
    assert (target / "half").exists()


def test_what_a_dead_process_made_is_cleared(half_made: tuple[model.Release, Path]) -> None:
    release, target = half_made
    dead = {**process_of(os.getppid()).as_dict(), "start": 1}
    (target / client.PARTIAL_NOTE).write_text(json.dumps(dead))
    releases.remove(release.id)
    assert not target.exists()
