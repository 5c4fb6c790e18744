# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the command prints: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from ansible_collections.steelyard.stack.plugins.module_utils.units import format_duration

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line of result, as it is."""
    out.print(text, markup=False)


def note(text: str) -> None:
    """Print one line of progress or advice, beside the result."""
    err.print(text, markup=False)


def as_json(value: object) -> None:
    """Print a value for programs."""
    print(json.dumps(value, indent=2, sort_keys=False))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a plain table for people."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    Console(highlight=False, width=out.width if out.is_terminal else 160).print(grid, markup=False)


class Steps:
    """Progress of work that several things go through at once: a bar on a terminal, lines elsewhere."""

    def __init__(self, bar: Progress | None, task: Any, what: str, total: int) -> None:
        self._bar, self._task, self._what, self._total, self._done = bar, task, what, total, 0
        self._begun = time.monotonic()

    def say(self, subject: str, state: str) -> None:
        """Show what is being done to a subject."""
        if self._bar is not None:
            self._bar.update(self._task, doing=f"{subject}: {state}")

    def finish(self, subject: str, state: str) -> None:
        """Count a subject as done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._task, advance=1, doing=f"{subject}: {state}")
        else:
            elapsed = format_duration(time.monotonic() - self._begun)
            note(f"[{self._done}/{self._total}] {subject}: {state} ({elapsed})")


@contextmanager
def steps(what: str, total: int) -> Iterator[Steps]:
    """Show progress while the block works through `total` subjects."""
    if not err.is_terminal:
        yield Steps(None, None, what, total)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[doing]}"),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        yield Steps(bar, bar.add_task(what, total=total, doing=""), what, total)
