# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What went wrong, said so that the reader knows what to do next.

Every error carries the rule that was broken, the value that broke it and the remedy. Pure: no Ansible.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from ansible_collections.steelyard.stack.plugins.module_utils.portable import Portable


@dataclass(frozen=True, order=True)
class Problem(Portable):
    """One thing that is wrong with an input, an inventory or a host.

    `where` is the host or variable, `seen` the value found, `rule` what it should have been and
    `remedy` what the reader can do about it. Never put a secret in `seen`.
    """

    where: str
    rule: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.where}: {self.rule} (seen: {self.seen}). {self.remedy}"


class SteelyardError(Exception):
    """Base of every expected failure; `exit_code` is what the command answers with.

    `partial` is what a module had done before it failed: `changed`, `applied`, `remaining`.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, rule: str, seen: object = "", remedy: str = "", where: str = "") -> None:
        self.problems: tuple[Problem, ...] = (Problem(where, rule, str(seen), remedy),)
        self.partial: dict[str, object] = {}
        super().__init__(rule)

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> SteelyardError:
        """Build one error that carries several problems; raises ValueError when there are none."""
        found = tuple(problems)
        if not found:
            raise ValueError("an error needs at least one problem")
        error = cls(found[0].rule)
        error.problems = found
        return error

    @property
    def details(self) -> dict[str, object]:
        """Return what a module hands to `fail_json` beside the message."""
        return {**self.partial, "problems": [p.as_dict() for p in self.problems], "exit_code": self.exit_code}

    def __str__(self) -> str:
        return "\n".join(_sentence(p) for p in self.problems)


def _sentence(problem: Problem) -> str:
    where = f"{problem.where}: " if problem.where else ""
    seen = f" (seen: {problem.seen})" if problem.seen else ""
    remedy = f". Remedy: {problem.remedy}" if problem.remedy else ""
    return f"{where}{problem.rule}{seen}{remedy}"


class Refused(SteelyardError):
    """The input is not acceptable; nothing was touched."""

    exit_code = 2


class StateMoved(SteelyardError):
    """The live state is no longer the one the plan was made from; nothing was touched."""

    exit_code = 3


class Locked(SteelyardError):
    """Another run holds the cluster's lease."""

    exit_code = 4


class GateNotPassed(SteelyardError):
    """A check between two steps did not pass in time; what was temporary has been put back."""

    exit_code = 5
