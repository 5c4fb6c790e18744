# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All problems of all hosts in one table that a person can read. Pure: no Ansible."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Problem
from ansible_collections.steelyard.stack.plugins.module_utils.inventory.model import UNKNOWN
from ansible_collections.steelyard.stack.plugins.module_utils.render import table

HEAD = ("where", "rule", "seen", "remedy")
NARROWEST = 18
_LONGEST_WORD = 44  # a variable's path is not broken up to this length
MASK = "(hidden)"
_SHORTEST_SECRET = 4  # a secret of one letter would mask half of every sentence; as a whole value it is masked


def host_list(names: Sequence[str], most: int = 4) -> str:
    """Return `api1, api2`, or `api1, api2, api3 and 17 more` when there are more than `most`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def problem_table(problems: Sequence[Problem], width: int = 140) -> str:
    """Return one table of problems, cells wrapped so that no line is longer than `width` where that is possible."""
    rows = [(p.where, p.rule, p.seen, p.remedy) for p in problems]
    columns = list(zip(HEAD, *rows, strict=True))
    natural = [max(map(len, cells)) for cells in columns]
    words = [min(_LONGEST_WORD, max(len(word) for cell in cells for word in cell.split())) for cells in columns]
    room = width - 2 - 3 * 2
    widths = _fit(_fit(natural, room, words), room, [NARROWEST] * 4)
    wrapped = [[_wrap(cell, widths[i]) for i, cell in enumerate(row)] for row in rows]
    lines: list[tuple[str, ...]] = []
    for cells in wrapped:
        if lines and any(len(c) > 1 for row in wrapped for c in row):
            lines.append(("",) * 4)
        lines += zip_longest(*cells, fillvalue="")
    return table(HEAD, lines)


def summary(problems: Sequence[Problem], of: str) -> str:
    """Return the sentence that goes with the table: how many problems, and that nothing was changed."""
    first = problems[0]
    if len(problems) == 1:
        said = f"{first.where}: {first.rule} (seen: {first.seen}). Remedy: {first.remedy}"
        return f"1 problem in {of}; nothing was changed. {said}"
    return f"{len(problems)} problems in {of}; nothing was changed. Each is in the table above, with its remedy."


def tidy(problems: Iterable[Problem], secrets: Iterable[str] = ()) -> list[Problem]:
    """Return the problems once each, without those that only repeat an unknown value, and with secrets masked."""
    hidden = sorted((s for s in secrets if s), key=len, reverse=True)
    kept = (p for p in problems if UNKNOWN not in p.seen)
    return list(dict.fromkeys(Problem(p.where, p.rule, _mask(p.seen, hidden), _mask(p.remedy, hidden)) for p in kept))


def gather(found: Iterable[tuple[str, Problem]], hosts: Sequence[str]) -> list[Problem]:
    """Return one problem for those that several hosts share, saying on which.

    Not said when it is all of them, or the host is empty: a problem of no single host. A problem without a place is
    one of the host itself.
    """
    shared: dict[Problem, dict[str, None]] = {}
    for host, problem in found:
        shared.setdefault(problem, {})[host] = None
    result = []
    for problem, on in shared.items():
        names = list(on)
        everywhere = len(names) == len(hosts) > 1 or names == [""]
        where = problem.where if everywhere else f"{host_list(names)}: {problem.where}"
        where = where if problem.where else host_list(names)
        result.append(Problem(where, problem.rule, problem.seen, problem.remedy))
    return result


def at(path: str, sources: Mapping[str, str]) -> str:
    """Return a variable's path with the file and line where the variable was written."""
    source = sources.get(path.split(".", 1)[0].split("[", 1)[0], "")
    return f"{path} ({source})" if source else path


def _mask(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
        elif text in (secret, repr(secret)):
            text = MASK
    return text


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False) or [""]


def _fit(natural: Sequence[int], room: int, least: Sequence[int]) -> list[int]:
    """Return column widths: the widest column gives way until everything fits, none below its least."""
    widths = list(natural)
    while sum(widths) > room:
        spare = [i for i, w in enumerate(widths) if w > least[i]]
        if not spare:
            break
        widths[max(spare, key=lambda i: widths[i])] -= 1
    return widths
