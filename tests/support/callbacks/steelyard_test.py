"""Test-only callback: records what a run did, and kills it at an exact place.

`STEELYARD_TEST_RECORD` names a file that gets one JSON line per task, module execution, step and the final
recap. `STEELYARD_TEST_KILL` is `task:N` (SIGKILL just before the Nth task starts, counted from 1),
`task-name:NAME` (before the task of that name) or `step:ID` (just after the journal has the step with this id).
`STEELYARD_TEST_FAULT` is JSON, such a place and a command that is run there, once, to its end. Nothing in the project knows of it: it works by wrapping Ansible's own methods before the workers fork.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from typing import Any
from unittest import mock

from ansible.plugins.action import ActionBase
from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: steelyard_test
type: aggregate
short_description: records a run and kills it at an exact place, for tests
description: See the module docstring.
"""


def _record(**line: Any) -> None:
    path = os.environ.get("STEELYARD_TEST_RECORD")
    if not path:
        return
    with open(path, "a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps(line, default=str) + "\n")


def _strike(*places: str) -> None:
    """Run the command of STEELYARD_TEST_FAULT when its place is one of these; a second time it is passed by."""
    fault = json.loads(os.environ.get("STEELYARD_TEST_FAULT") or "{}")
    if fault.get("place") not in places:
        return
    try:
        os.close(os.open(fault["once"], os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    ours = ("STEELYARD_TEST_", "STEELYARD_RESULT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)} | fault["env"]
    done = subprocess.run(
        fault["command"], env=environment, check=False, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    _record(kind="fault", code=done.returncode, output=done.stdout)


def _wrap_module_executions() -> None:
    execute = ActionBase._execute_module

    def recorded(self: ActionBase, *args: Any, **kwargs: Any) -> Any:
        name = kwargs.get("module_name") or (args[0] if args else None) or self._task.action
        host = (kwargs.get("task_vars") or {}).get("inventory_hostname", "?")
        _record(kind="module", host=host, module=str(name), task=str(self._task.get_name()))
        return execute(self, *args, **kwargs)

    ActionBase._execute_module = recorded


def _wrap_journal(kill: str) -> None:
    from ansible_collections.steelyard.stack.plugins.plugin_utils import journal

    append = journal.Journal.append

    def recorded(self: Any, entry: Any) -> Any:
        answer = append(self, entry)
        _record(kind="step", step=entry.step, host=entry.host, outcome=entry.outcome)
        _strike(f"step:{entry.step}")
        if kill == f"step:{entry.step}":
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    mock.patch.object(journal.Journal, "append", recorded).start()


class CallbackModule(CallbackBase):
    """Counts tasks as they start and kills the run where it is told to."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "steelyard_test"

    def __init__(self) -> None:
        super().__init__()
        self.tasks = 0
        self.play = ""
        self.kill = os.environ.get("STEELYARD_TEST_KILL", "")
        _wrap_module_executions()
        _wrap_journal(self.kill)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        self.play = play.get_name()

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self.tasks += 1
        _record(kind="task", number=self.tasks, play=self.play, task=str(task.get_name()))
        places = (f"task:{self.tasks}", f"task-name:{task.get_name()}")
        _strike(*places)
        if self.kill in places:
            os.kill(os.getpid(), signal.SIGKILL)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        _record(kind="stats", hosts={h: stats.summarize(h) for h in sorted(stats.processed)})
