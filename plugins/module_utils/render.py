# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plain-text tables that read well in a terminal and in a log. Pure: no Ansible, no third-party package."""

from __future__ import annotations

from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "  ") -> str:
    """Return a table with left-aligned columns, one line a row; the last column is not padded.

    Raises ValueError when a row has another number of cells than the head.
    """
    cells = [tuple(str(c) for c in row) for row in (head, *rows)]
    if any(len(row) != len(head) for row in cells):
        raise ValueError("every row needs as many cells as the head")
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [indent + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells]
    lines.insert(1, indent + "  ".join("-" * w for w in widths))
    return "\n".join(lines)
