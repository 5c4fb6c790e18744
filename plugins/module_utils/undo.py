# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Undo notes: what a temporary setting was before we changed it, written down before we change it.

A note survives the run that wrote it. It is written once, so that a second run cannot mistake the temporary value
for the original one, and it is used only while the setting still has the value that we gave it.

    notes.write("nginx-api-api2", old="up", new="down", what="api2 is drained from pool api")
    set_state("down")
    ...
    notes.put_back("nginx-api-api2", current=read_state(), restore=set_state)
"""

from __future__ import annotations

import json
import os
import urllib.parse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.durable import fsync_directory, write_new
from ansible_collections.steelyard.stack.plugins.module_utils.errors import StateMoved, SteelyardError

DIRECTORY = "/var/lib/steelyard/undo"

RESTORED = "restored"
ALREADY_BACK = "already back"
LEFT_ALONE = "left alone"
NO_NOTE = "no note"


@dataclass(frozen=True)
class Note:
    """The old and the new value of one setting (JSON types), and what the change was for."""

    key: str
    old: Any
    new: Any
    what: str


class UndoNotes:
    """The notes of one host: one private file each."""

    def __init__(self, directory: str = DIRECTORY) -> None:
        self._directory = Path(directory)

    def write(self, key: str, old: Any, new: Any, what: str) -> Note:
        """Write the note before the change, durably, and return the one that holds.

        When there is one for the same new value already (an earlier run got this far), that one holds and its old
        value is the true one. Raises StateMoved when an earlier note is about another new value: put it back first.
        """
        note = Note(key, _plain(old), _plain(new), what)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if write_new(self._path(key), json.dumps(asdict(note), sort_keys=True)):
            return note
        earlier = self.read(key)
        if earlier is None or earlier.new != note.new:
            seen = "it has just been removed" if earlier is None else f"a note to undo: {earlier.what}"
            raise StateMoved("an earlier change is put back before another is made", seen, "run again", key)
        return earlier

    def read(self, key: str) -> Note | None:
        """Return one note; None when there is none; raises SteelyardError when it cannot be read."""
        path = self._path(key)
        try:
            return Note(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as err:
            remedy = "look at the file, set the value by hand and remove the file"
            raise SteelyardError("an undo note can be read", type(err).__name__, remedy, str(path)) from err

    def list(self, prefix: str = "") -> tuple[Note, ...]:
        """Return the notes whose key begins with `prefix`, ordered by key."""
        try:
            keys = sorted(urllib.parse.unquote(p.stem) for p in self._directory.glob("*.json"))
        except FileNotFoundError:
            return ()
        notes = (self.read(key) for key in keys if key.startswith(prefix))
        return tuple(n for n in notes if n is not None)

    def put_back(self, key: str, current: Any, restore: Callable[[Any], None]) -> str:
        """Give a setting its old value again and remove the note; return what was done.

        `restored` when `current` was ours; `already back` when it has its old value; `left alone` when somebody else
        has changed it since; `no note` when there is nothing to undo. When `restore` raises, the note stays.
        """
        note = self.read(key)
        if note is None:
            return NO_NOTE
        outcome = LEFT_ALONE
        if _plain(current) == note.new:
            restore(note.old)
            outcome = RESTORED
        elif _plain(current) == note.old:
            outcome = ALREADY_BACK
        self.remove(key)
        return outcome

    def remove(self, key: str) -> None:
        """Remove one note, durably; nothing happens when there is none."""
        try:
            os.unlink(self._path(key))
        except FileNotFoundError:
            return
        fsync_directory(self._directory)

    def _path(self, key: str) -> Path:
        return self._directory / f"{urllib.parse.quote(key, safe='')}.json"


def _plain(value: Any) -> Any:
    """Return the value as it reads back from a note, so that a tuple equals the list it became."""
    return json.loads(json.dumps(value))
