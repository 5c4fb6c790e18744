# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is printed while a plan is carried out: lines that read well in a terminal and in a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan, Step
from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration, format_size


class Progress:
    """Lines about one plan on one host; times are seconds of the caller's clock."""

    def __init__(self, plan: Plan, host: str, begun: float) -> None:
        self._steps = {s.id: s for s in plan.steps}
        self._numbers = {s.id: n for n, s in enumerate(plan.steps, 1)}
        self._title = f"{host} {plan.service} {plan.cluster}:"
        self._begun = begun

    def lines(self, done: Sequence[str], new: Sequence[str], answer: Mapping[str, Any], now: float) -> list[str]:
        """Return a line for each newly finished step, and one for the step under way if there is something to tell.

        The last line says how long the plan has taken so far and, where that is known, how long it still will.
        """
        timings = answer.get("timings") or {}
        told = []
        for step_id in (i for i in new if i in self._steps):
            took = f" in {format_duration(timings[step_id])}" if step_id in timings else ""
            told.append(f"{self._title} {self._name(step_id)} done{took}")
        under_way = [i for i in self._steps if i not in set(done)]
        seen = "FAILED" if answer.get("failed") else str(answer.get("progress") or "")
        if under_way and (seen or not told):
            told.append(f"{self._title} {self._name(under_way[0])}: {seen or 'under way'}")
        finished = [self._steps[i] for i in done if i in self._steps]
        return [*told[:-1], told[-1] + self._tail(finished, now)] if told else []

    def _name(self, step_id: str) -> str:
        step = self._steps[step_id]
        return f"{self._numbers[step_id]}/{len(self._steps)} {step.verb} {step.subject}"

    def _tail(self, finished: list[Step], now: float) -> str:
        """Return the time so far, the rate where bytes are moved, and the time left where it can be told."""
        elapsed = now - self._begun
        parts = [format_duration(elapsed)]
        moved = sum(s.bytes or 0 for s in finished)
        if moved and elapsed > 0:
            total = sum(s.bytes or 0 for s in self._steps.values())
            parts.append(f"{format_size(moved)} of {format_size(total)} at {format_size(int(moved / elapsed))}/s")
        left = self._left(finished, elapsed, moved)
        if left is not None:
            parts.append(f"about {format_duration(left)} left")
        return f" ({', '.join(parts)})"

    def _left(self, finished: list[Step], elapsed: float, moved: int) -> float | None:
        rest = [s for s in self._steps.values() if s not in finished]
        if not rest:
            return None
        if moved and all(s.bytes is not None for s in rest):
            return elapsed * sum(s.bytes or 0 for s in rest) / moved
        if all(s.seconds is not None for s in rest):
            return sum(s.seconds or 0 for s in rest)
        return elapsed / len(finished) * len(rest) if finished else None
