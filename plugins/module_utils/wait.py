# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for an observed state, with a deadline that says what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration

State = TypeVar("State")

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
GROWTH = 1.5


def wait_until(
    observe: Callable[[], State],
    done: Callable[[State], bool],
    deadline: float,
    what: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    describe: Callable[[State], str] = str,
    remedy: str = "look at the state seen last, correct its cause and run again",
) -> State:
    """Observe until `done` says yes, and return that observation.

    `deadline` is in seconds from now; there is always one observation, and one at the deadline. `what` completes the
    sentence "in time: ...", e.g. "api1:8000 answers". Raises GateNotPassed with the last observation, put in words by
    `describe` (which must leave secrets out). What `observe` raises is passed on: to go on after a refused
    connection, it returns that as a state.
    """
    end = clock() + deadline
    pause = FIRST_PAUSE
    while True:
        state = observe()
        if done(state):
            return state
        left = end - clock()
        if left <= 0:
            raise GateNotPassed(f"within {format_duration(deadline)}: {what}", describe(state), remedy)
        sleep(min(pause, left))
        pause = min(pause * GROWTH, LONGEST_PAUSE)
