# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal: one JSON line for each step that was done to a cluster, beside the inventory that it was done to.

`<inventory>/.steelyard/journal/2026-11.jsonl`, and for a rehearsal `.lab/<name>/.journal/2026-11.jsonl`: what was
done to stand-ins is never told among what was done to machines. It holds no secrets: names of steps, not values.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError

LAB_MARKER = ".steelyard-lab.json"
OVERRIDE = "STEELYARD_JOURNAL_DIR"

DONE = "done"
FAILED = "failed"


@dataclass(frozen=True)
class Entry:
    """One step: when it ended (UTC), whose it was, what it was, and how it came out after how many seconds."""

    time: str
    run: str
    operator: str
    operation: str
    service: str
    cluster: str
    step: str
    outcome: str
    seconds: float | None
    fingerprint: str
    host: str = ""

    def as_line(self) -> str:
        """Return the entry as one line of JSON."""
        return json.dumps(asdict(self), separators=(",", ":"), ensure_ascii=True) + "\n"


_FIELDS = frozenset(f.name for f in fields(Entry))


def utc(seconds: float) -> str:
    """Return a time as the journal writes it: 2026-11-21T07:24:00Z."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def journal_dir(sources: Iterable[str], lab: str = "") -> Path:
    """Return where the journal of these inventory sources is.

    Among the sources a lab's overlay is known by its marker file. With one, or with `lab` (the host's
    `steelyard_lab`), it is the overlay's own; else it is beside the first source that is a file or directory.
    `$STEELYARD_JOURNAL_DIR` wins over both. Raises SteelyardError when there is no such place.
    """
    override = os.environ.get(OVERRIDE, "")
    if override:
        return Path(override)
    beside = [p if p.is_dir() else p.parent for p in map(Path, sources) if os.path.exists(p)]
    overlays = [p for p in beside if (p / LAB_MARKER).is_file()]
    if overlays:
        return overlays[0] / ".journal"
    if lab or not beside:
        rule = "the journal has a place" if not lab else "a rehearsal's journal is in its lab's overlay"
        seen = f"lab {lab}, and no overlay among the inventories" if lab else "no inventory that is a file"
        raise SteelyardError(rule, seen, f"give the inventory's path with -i, or set {OVERRIDE}")
    return beside[0] / ".steelyard" / "journal"


class Journal:
    """The journal in one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def prepare(self) -> None:
        """Make sure that entries can be written, before anything is done; raises SteelyardError."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            writable = os.access(self._directory, os.W_OK)
        except OSError:
            writable = False
        if not writable:
            remedy = f"make the directory writable, or set {OVERRIDE} to one that is"
            raise SteelyardError("the journal can be written", str(self._directory), remedy)

    def append(self, entry: Entry) -> None:
        """Append one entry, a whole line even when several workers write at once."""
        self._directory.mkdir(parents=True, exist_ok=True)
        # The month of the entry names the file, so that an old one can be put away.
        with (self._directory / f"{entry.time[:7]}.jsonl").open("a", encoding="utf-8") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            handle.write(entry.as_line())
            handle.flush()
            os.fsync(handle.fileno())


def read_journal(
    directory: Path, *, service: str = "", cluster: str = "", run: str = "", operation: str = "",
    outcome: str = "", since: str = "",
) -> Iterator[Entry]:  # fmt: skip
    """Yield the entries that match every given filter, oldest first.

    `since` is compared as text with the time: `2026-11`, `2026-11-21` and `2026-11-21T07:00:00Z` all work. A line
    that was cut off by a crash, or comes from a version with other fields, is passed over.
    """
    asked = {"service": service, "cluster": cluster, "run": run, "operation": operation, "outcome": outcome}
    for path in sorted(directory.glob("*.jsonl")):
        if path.stem < since[:7]:
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = _entry(line)
            if entry is None or entry.time < since:
                continue
            if all(not wanted or getattr(entry, name) == wanted for name, wanted in asked.items()):
                yield entry


def _entry(line: str) -> Entry | None:
    try:
        raw = json.loads(line)
        return Entry(**{k: v for k, v in raw.items() if k in _FIELDS})
    except (ValueError, TypeError, AttributeError):
        return None
