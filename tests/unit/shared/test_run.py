"""Which run this is: the same answer in forked workers, another in another process."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

from ansible_collections.steelyard.stack.plugins.module_utils.process import this_process
from ansible_collections.steelyard.stack.plugins.plugin_utils import run

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STEELYARD_RUN_ID", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


def in_worker() -> run.Run:
    def work(answers: multiprocessing.Queue[run.Run]) -> None:
        os.setsid()  # as Ansible's workers do
        answers.put(run.current_run())

    answers: multiprocessing.Queue[run.Run] = FORK.Queue()
    worker = FORK.Process(target=work, args=(answers,))
    worker.start()
    answer = answers.get(timeout=10)
    worker.join()
    return answer


def test_workers_agree_with_the_main_process() -> None:
    assert in_worker() == in_worker() == run.current_run()
    assert run.control_process() == this_process()


def test_another_process_is_another_run() -> None:
    code = "from ansible_collections.steelyard.stack.plugins.plugin_utils.run import run_id; print(run_id())"
    ids = {
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout for _ in "ab"
    }
    assert len(ids | {run.run_id()}) == 3


def test_the_command_may_name_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEELYARD_RUN_ID", "tuesday")
    assert run.run_id() == in_worker().id == "tuesday"


def test_behind_sudo_it_is_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert run.operator() == "alice"


def test_a_worker_sees_that_its_run_was_killed(tmp_path: object) -> None:
    def main_process(answers: multiprocessing.Queue[tuple[bool, str]]) -> None:
        def work() -> None:
            answers.put((run.control_is_alive(), run.run_id()))
            parent = os.getppid()
            while os.getppid() == parent:
                time.sleep(0.01)
            answers.put((run.control_is_alive(), run.run_id()))

        FORK.Process(target=work).start()
        time.sleep(60)

    answers: multiprocessing.Queue[tuple[bool, str]] = FORK.Queue()
    main = FORK.Process(target=main_process, args=(answers,))
    main.start()
    alive, before = answers.get(timeout=10)
    main.kill()
    still_alive, after = answers.get(timeout=10)
    assert (alive, still_alive) == (True, False)
    assert before == after != run.run_id()
    main.join()
