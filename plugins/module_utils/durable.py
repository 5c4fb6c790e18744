# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small private files that are whole or absent whenever the power fails: written aside, synced, then named."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def replace(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, in place of the one that may be there."""
    aside = _write_aside(path, text)
    os.replace(aside, path)
    fsync_directory(path.parent)


def write_new(path: Path, text: str) -> bool:
    """Write a file of mode 0600 in one step unless there is one; return whether it was written."""
    aside = _write_aside(path, text)
    try:
        os.link(aside, path)
    except FileExistsError:
        return False
    finally:
        os.unlink(aside)
    fsync_directory(path.parent)
    return True


def fsync_directory(directory: Path) -> None:
    """Make names added to or removed from a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_aside(path: Path, text: str) -> str:
    # mkstemp makes it 0600, and unlike the final name it begins with a dot and does not end in .json.
    fd, aside = tempfile.mkstemp(prefix=".", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:
        os.unlink(aside)
        raise
    return aside
