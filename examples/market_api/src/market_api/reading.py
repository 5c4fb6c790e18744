# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reading settings one by one: units, and every problem said at once. A value that is a secret is never shown."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Problem:
    """One setting that cannot be used. `seen` never holds a secret."""

    name: str
    rule: str
    seen: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.name}: {self.rule} (seen: {self.seen}). Remedy: {self.remedy}"


class SettingsError(ValueError):
    """The environment cannot be used; the message lists every problem, one a line."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


class BadValue(ValueError):
    """One value cannot be used: the rule it breaks and how to write it. With `secret` its length alone is shown."""

    def __init__(self, rule: str, remedy: str, *, secret: bool = False) -> None:
        self.rule, self.remedy, self.secret = rule, remedy, secret
        super().__init__(rule)


class Reader:
    """Reads one variable after another and collects what is wrong."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._known: list[str] = []
        self._problems: list[Problem] = []

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        """Return what `parse` makes of the variable, or of the default; what it refuses is noted for `finish`."""
        self._known.append(name)
        text = self._env.get(name, default)
        try:
            return parse(text)
        except BadValue as bad:
            seen = f"{len(text)} characters" if bad.secret else repr(text)
            self._problems.append(Problem(name, bad.rule, seen if text else "nothing", bad.remedy))
            return None  # type: ignore[return-value]  # finish() raises before anybody sees it

    def given(self, prefix: str) -> list[str]:
        """Return the names of variables with this prefix that are set and not empty, sorted."""
        return sorted(name for name, text in self._env.items() if name.startswith(prefix) and text)

    def wrong(self, name: str, rule: str, seen: str, remedy: str) -> None:
        """Note a problem that is not of one value alone."""
        self._problems.append(Problem(name, rule, seen, remedy))

    def finish(self) -> None:
        """Raise SettingsError for what was collected, and for MARKET_ variables that nobody reads."""
        for name in sorted(set(self._env) - set(self._known)):
            if name.startswith("MARKET_"):
                near = difflib.get_close_matches(name, self._known, n=1)
                remedy = f"did you mean {near[0]}?" if near else f"known are {', '.join(self._known)}"
                self._problems.append(Problem(name, "the setting exists", name, remedy))
        if self._problems:
            raise SettingsError(self._problems)


def seconds_of(text: str) -> float:
    """Return the seconds in `250ms`, `5s`, `1m` or `1h`; a bare number is seconds, -1 what is no duration."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|)", text.strip())
    return float(match.group(1)) * {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600}[match.group(2)] if match else -1.0


def duration(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of durations from `low` to `high` seconds; it raises BadValue."""

    def parse(text: str) -> float:
        seconds = seconds_of(text)
        if not low <= seconds <= high:
            raise BadValue(f"a duration from {low:g}s to {high:g}s", "write it as 250ms, 5s or 1m")
        return seconds

    return parse


def count(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers from `low` to `high`; it raises BadValue."""

    def parse(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise BadValue(f"a whole number from {low} to {high}", "write digits only")
        return int(text)

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of these words; it raises BadValue."""

    def parse(text: str) -> str:
        if text not in words:
            raise BadValue(f"one of {', '.join(words)}", "use one of these words")
        return text

    return parse
