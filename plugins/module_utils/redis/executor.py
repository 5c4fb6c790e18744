# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the steps of a plan are executed, whatever they do: by their verbs, with deadlines that earlier calls count in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Step
from ansible_collections.steelyard.stack.plugins.module_utils.redis.links import Links
from ansible_collections.steelyard.stack.plugins.module_utils.redis.wire import ErrorReply, NoAnswer

AGREE_DEADLINE = 60.0
SHORTEST_LOOK = 0.05
LONGEST_LOOK = 0.5

Verb = Callable[[Step, float], "str | None"]


class Executor:
    """Executes steps through `client`; `waited` is how long the first has been under way already, in seconds."""

    def __init__(
        self, client: Links, steps: Sequence[Step] = (), waited: float = 0.0, *,
        clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        self.client = client
        self.verbs: Mapping[str, Verb] = {}
        self._waited = {steps[0].id: waited} if steps else {}
        self._clock = clock
        self._sleep = sleep
        self._starts: dict[str, float] = {}

    def execute(self, step: Step, left: float) -> str | None:
        """Do one step for at most `left` seconds; return None when it is done, else what it waits for.

        Raises SteelyardError.
        """
        try:
            return self.verbs[step.verb](step, left)
        except NoAnswer as silent:
            raise GateNotPassed(
                f"every node answers during {step.id}", str(silent), "bring it back, run again"
            ) from None
        except ErrorReply as reply:
            raise GateNotPassed(f"every node does its part of {step.id}", reply.text, "correct it, run again") from None

    def now(self) -> float:
        """Return the time on the clock that deadlines go by."""
        return self._clock()

    def pause(self, seconds: float) -> None:
        """Let some time pass before the next look."""
        self._sleep(seconds)

    def tell(self, name: str, *words: Any, timeout: float | None = None) -> None:
        """Send a command; an error reply, or none, is a failed gate."""
        try:
            self.client.ask(name, *words, timeout=timeout)
        except (ErrorReply, NoAnswer) as err:
            said = err.text if isinstance(err, ErrorReply) else str(err)
            order = " ".join(str(w) for w in words[:3])
            raise GateNotPassed(f"{name} does {order}", said, "correct it and run again", name) from None

    def until(self, step: Step, look: Callable[[], str], left: float, deadline: float = AGREE_DEADLINE) -> str | None:
        """Look again and again until there is no reason left to wait; return None then, or the reason at the end of
        this call. Raises GateNotPassed with the reason when the step has taken longer than `deadline` seconds.
        """
        begun = self.begun(step)
        end = self._clock() + left
        pause = SHORTEST_LOOK
        while True:
            reason = look()
            if not reason:
                return None
            now = self._clock()
            if now - begun > deadline:
                raise GateNotPassed(f"{step.id} within {deadline:g} s", reason, "look at that node's log, run again")
            if now + pause >= end:
                return reason
            self._sleep(pause)
            pause = min(pause * 1.5, LONGEST_LOOK)

    def begun(self, step: Step) -> float:
        """Return when this step was begun, on our clock, earlier calls counted."""
        if step.id not in self._starts:
            self._starts[step.id] = self._clock() - self._waited.get(step.id, 0.0)
        return self._starts[step.id]
