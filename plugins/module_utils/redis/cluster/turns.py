# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How many masters of one machine give slots at the same time.

Each giver stands still for its clients part of the time, and takes the machine's processors from its neighbours. So one
gives, and another joins it only while that makes the whole faster: where there are processors to spare it nearly
doubles, where there are none it only makes everybody's clients wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

GAIN = 1.25
"""How many times faster all must be for one more to be worth it."""
PATIENCE = 20
"""Judgements until it is tried again."""
LOOK_EVERY = 0.05


class Climb:
    """The number that may give, learned from what all of them give a second. Pure.

    One more is tried between two times without it, and must beat both: what grows by itself, as the first slots of a
    new master do, is no gain.
    """

    def __init__(self) -> None:
        self.now = 1
        self._rates: list[float] = []
        self._wait = 1

    def judge(self, rate: float, waiting: int) -> None:
        """Take note of the rate since the last judgement, and of how many would like to give too."""
        if self._wait:
            self._wait -= 1
        elif self._rates or waiting:
            self._rates.append(rate)
            self._try()

    def _try(self) -> None:
        if len(self._rates) == 1:
            self.now += 1
        elif len(self._rates) == 2:
            self.now -= 1
        else:
            before, more, after = self._rates
            self._rates.clear()
            if more >= GAIN * max(before, after):
                self.now += 1
            else:
                self._wait = PATIENCE


class Turns:
    """The turns of one machine's givers. A giver holds its turn from slot to slot, unless there is one too many."""

    def __init__(self, stopped: Callable[[], bool]) -> None:
        self._stopped = stopped
        self._climb = Climb()
        self._changed = threading.Condition()
        self._giving = self._waiting = 0

    def __enter__(self) -> Turns:
        """Wait for a turn, or until all is to stop."""
        with self._changed:
            self._waiting += 1
            while self._giving >= self._climb.now and not self._stopped():
                self._changed.wait(LOOK_EVERY)
            self._waiting -= 1
            self._giving += 1
        return self

    def __exit__(self, *_error: object) -> None:
        with self._changed:
            self._giving -= 1
            self._changed.notify()

    def one_too_many(self) -> bool:
        """Whether a giver is to wait for another turn, when it has nothing half given."""
        return self._giving > self._climb.now

    def pause(self) -> None:
        """Let others give, and wait for a turn again."""
        self.__exit__()
        self.__enter__()

    def judge(self, rate: float) -> None:
        """Take note of what these givers gave a second since the last time."""
        with self._changed:
            self._climb.judge(rate, self._waiting)
            self._changed.notify_all()
