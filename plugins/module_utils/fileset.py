# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of files changed as one: compare, stage, validate, swap, and the way back. No Ansible.

What is compared is in `fileset_model` (pure) and can be imported from here as well. A note of what is being
changed, with copies of the last good files, is on the disk before the first file is swapped and is removed by
`commit`: a run that died in between is finished, or taken back, by the next one.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import (
    Change,
    SeenFile,
    WantedFile,
    digest,
    plan_files,
)
from ansible_collections.steelyard.stack.plugins.module_utils.process import start_of

__all__ = [
    "Change", "SeenFile", "Transaction", "ValidationFailed", "WantedFile", "digest", "plan_files", "read_file",
]  # fmt: skip

STATE_DIR = "/var/lib/steelyard/config"
_TEMPORARY = ".steelyard-new"
_STAGE = "stage-"  # and the number and start of the process that works with it


def read_file(path: str) -> SeenFile | None:
    """Return a path as it is on the disk, not following a link; None when nothing is there."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    owner, group = _name_of(pwd.getpwuid, status.st_uid), _name_of(grp.getgrgid, status.st_gid)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return SeenFile("link", os.readlink(path), mode, owner, group)
    if not stat.S_ISREG(status.st_mode):
        return SeenFile("directory" if stat.S_ISDIR(status.st_mode) else "other", "", mode, owner, group)
    content = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    return SeenFile("file", content, mode, owner, group)


def _name_of(lookup: Any, number: int) -> str:
    try:
        return str(lookup(number)[0])
    except KeyError:
        return str(number)


class ValidationFailed(SteelyardError):
    """The service's own checker refused the staged files; nothing was swapped."""

    exit_code = 2


class Transaction:
    """One named set of files on this host, changed as one.

    Order: `plan`, `stage`, `validate`, `swap`, then prove that the service took them over, then `commit`, or
    `rollback` when it did not. `stage_root` is the tree that the checker needs as a whole; `{stage}` in
    `validate_argv` becomes the staged copy of it (without a `stage_root`: a directory that holds the wanted
    files under their full paths). Only one process at a time works on a set.
    """

    def __init__(
        self,
        name: str,
        wanted: Sequence[WantedFile],
        absent: Iterable[str] = (),
        stage_root: str = "",
        validate_argv: Sequence[str] = (),
        state_dir: str = STATE_DIR,
    ) -> None:
        self.name = name
        self.wanted = tuple(wanted)
        self.absent = tuple(absent)
        self.stage_root = stage_root.rstrip("/")
        self.validate_argv = tuple(validate_argv)
        self.changes: tuple[Change, ...] = ()
        self._home = Path(state_dir) / name
        self._pending = self._home / "pending"
        self._staged: Path | None = None
        self._made: list[str] = []
        self._lock: int | None = None

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def interrupted(self) -> tuple[str, ...]:
        """Return the paths that an earlier run changed without proving that they were taken over."""
        note = self._read_note()
        return tuple(sorted(note["files"]))

    def plan(self) -> tuple[Change, ...]:
        """Compare the disk with what is wanted; raises Refused on contradictory input."""
        paths = {f.path for f in self.wanted} | set(self.absent)
        seen = {path: found for path in paths if (found := read_file(path)) is not None}
        self.changes = plan_files(seen, self.wanted, self.absent)
        return self.changes

    def stage(self) -> Path:
        """Put a complete copy of what would be in force into a private directory and return it."""
        self._made = _missing_parents(str(self._home / "stage"))
        self._make_home()
        self._wipe_abandoned()
        self._staged = Path(tempfile.mkdtemp(prefix=f"{_STAGE}{os.getpid()}-{start_of(os.getpid())}-", dir=self._home))
        root = self._staged
        if self.stage_root and os.path.isdir(self.stage_root):
            root = self._staged / "tree"
            shutil.copytree(self.stage_root, root, symlinks=True, ignore=_not_files)
        for change in self.changes:
            place = self._place_in(root, change.path)
            if place is None:
                continue
            if os.path.lexists(place):
                place.unlink()
            if change.after is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                _write(place, change.after.content, change.after.mode)
        if not self.stage_root:
            self._complete_stage(root)
        return root

    def validate(self) -> None:
        """Run the checker over the staged copy; raises ValidationFailed, or Refused where it is not installed."""
        if not self.validate_argv:
            return
        stage = self._staged / "tree" if self._staged and (self._staged / "tree").exists() else self._staged
        argv = [part.replace("{stage}", str(stage)) for part in self.validate_argv]
        try:
            run = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=60, check=False)
        except FileNotFoundError as error:
            raise Refused("the checker is installed", argv[0], "install the service first", self.name) from error
        except subprocess.TimeoutExpired as error:
            raise ValidationFailed("the checker answers within 60 s", argv[0], "run it by hand", self.name) from error
        if run.returncode != 0:
            said = (run.stderr + run.stdout).strip().replace(str(stage), self.stage_root)
            said = said or f"exit status {run.returncode}"
            remedy = "correct the variables these files come from; nothing was changed on this host"
            raise ValidationFailed(f"{argv[0]} accepts the new files", said, remedy, self.name)

    def swap(self) -> None:
        """Write the note with the last good files, then move the new ones in; all or nothing.

        Raises Refused for an unknown owner or group and OSError when the disk refuses; both leave what was.
        """
        numbers = {c.path: _ids(c.after) for c in self.changes if c.after is not None}
        self._hold_lock()
        try:
            self._note_changes()
            for change in self.changes:
                if change.after is not None:
                    self._prepare(change.after, numbers[change.path])
            for change in self.changes:
                _install(change)
            _sync_directories(c.path for c in self.changes)
        except BaseException:
            self.rollback()
            raise

    def rollback(self) -> bool:
        """Put the last good files back; True when there were any to put back."""
        self._hold_lock()
        note = self._read_note()
        for path, entry in note["files"].items():
            _remove(_temporary(path))
            if entry is None:
                _remove(path)
            elif entry["kind"] == "link":
                _remove(path)
                os.symlink(entry["target"], path)
            else:
                self._restore(path, entry)
        _sync_directories(note["files"])
        for directory in reversed(note["directories"]):
            _remove_empty(directory)
        self.commit()
        return bool(note["files"])

    def commit(self) -> None:
        """The new files are in force: forget the last good ones."""
        if self._pending.exists():
            (self._pending / "note.json").unlink(missing_ok=True)
            shutil.rmtree(self._pending)
        self.close()

    def close(self) -> None:
        """Remove the staged copy and let the next process work on this set; the note stays."""
        if self._staged is not None:
            shutil.rmtree(self._staged, ignore_errors=True)
            self._staged = None
            for directory in reversed(self._made):  # in check mode nothing stays
                _remove_empty(directory)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _place_in(self, root: Path, path: str) -> Path | None:
        if not self.stage_root:
            return root / path.lstrip("/")
        inside = path.startswith(self.stage_root + "/")
        return root / path[len(self.stage_root) + 1 :] if inside else None

    def _complete_stage(self, root: Path) -> None:
        for file in self.wanted:
            place = root / file.path.lstrip("/")
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                found = read_file(file.path) if file.keep else None
                _write(place, found.content if found else file.content, file.mode)

    def _hold_lock(self) -> None:
        if self._lock is None:
            self._make_home()
            self._lock = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._wipe_abandoned()

    def _make_home(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)
        self._home.chmod(0o700)

    def _wipe_abandoned(self) -> None:
        """Remove the staged copies, which may hold secrets, of processes that were killed; others are in use."""
        for place in self._home.glob(f"{_STAGE}*"):
            pid, start = place.name.removeprefix(_STAGE).split("-")[:2]
            if str(start_of(int(pid))) != start:
                shutil.rmtree(place, ignore_errors=True)

    def _read_note(self) -> dict[str, Any]:
        try:
            note: dict[str, Any] = json.loads((self._pending / "note.json").read_text())
        except (FileNotFoundError, ValueError):
            return {"files": {}, "directories": []}
        return note

    def _note_changes(self) -> None:
        """Add what is about to change to the note; what an interrupted run noted is older, so it stays."""
        note = self._read_note()
        self._pending.mkdir(mode=0o700, exist_ok=True)
        for change in self.changes:
            if change.path not in note["files"]:
                note["files"][change.path] = self._back_up(change)
            note["directories"] += [d for d in _missing_parents(change.path) if d not in note["directories"]]
        if not note["files"]:
            return
        place = self._pending / "note.json"
        _write(self._pending / "note.new", json.dumps(note), 0o600)
        os.replace(self._pending / "note.new", place)
        _sync_directories([str(place)])

    def _back_up(self, change: Change) -> dict[str, Any] | None:
        if change.before is None:
            return None
        if change.before.kind == "link":
            return {"kind": "link", "target": change.before.content}
        name = hashlib.sha256(change.path.encode()).hexdigest()[:16]
        status = os.stat(change.path)
        _write(self._pending / name, change.before.content, 0o600)
        return {"kind": "file", "backup": name, "mode": change.before.mode, "ids": [status.st_uid, status.st_gid]}

    def _prepare(self, file: WantedFile, ids: tuple[int, int]) -> None:
        for directory in _missing_parents(file.path):
            os.mkdir(directory, 0o755)
            os.chmod(directory, 0o755)
        _write(Path(_temporary(file.path)), file.content, file.mode, ids)

    def _restore(self, path: str, entry: Mapping[str, Any]) -> None:
        content = (self._pending / entry["backup"]).read_bytes().decode("utf-8", "surrogateescape")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _write(Path(_temporary(path)), content, entry["mode"], (entry["ids"][0], entry["ids"][1]))
        os.replace(_temporary(path), path)


def _temporary(path: str) -> str:
    directory, name = os.path.split(path)
    return f"{directory}/.{name}{_TEMPORARY}"


def _not_files(directory: str, names: list[str]) -> list[str]:
    """Name what a staged copy leaves out: sockets, pipes and devices."""
    kinds = {name: os.lstat(os.path.join(directory, name)).st_mode for name in names}
    return [n for n, mode in kinds.items() if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))]


def _ids(file: WantedFile) -> tuple[int, int]:
    """Return the numbers of a file's owner and group; raises Refused when the host does not know them."""
    try:
        uid = int(file.owner) if file.owner.isdigit() else pwd.getpwnam(file.owner).pw_uid
        gid = int(file.group) if file.group.isdigit() else grp.getgrnam(file.group).gr_gid
    except KeyError as error:
        seen = f"{file.owner}:{file.group}"
        raise Refused("owner and group exist on the host", seen, "create them first", file.path) from error
    return uid, gid


def _write(place: Path, content: str, mode: int, ids: tuple[int, int] | None = None) -> None:
    """Write a file that nobody else can read before it has its mode, and make it durable."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(place, flags, 0o600)
    with os.fdopen(handle, "wb") as stream:
        os.fchmod(handle, 0o600)
        stream.write(content.encode("utf-8", "surrogateescape"))
        stream.flush()
        if ids is not None:
            status = os.fstat(handle)
            if (status.st_uid, status.st_gid) != ids:
                os.fchown(handle, *ids)
        os.fchmod(handle, mode)
        os.fsync(handle)


def _install(change: Change) -> None:
    if change.after is not None:
        os.replace(_temporary(change.path), change.path)
    else:
        _remove(change.path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        pass


def _remove_empty(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass  # somebody else put something there: theirs to keep


def _missing_parents(path: str) -> list[str]:
    """Return the directories that must be made for a file, outermost first."""
    missing = []
    directory = os.path.dirname(path)
    while directory != "/" and not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing[::-1]


def _sync_directories(paths: Iterable[str]) -> None:
    """Make renames and removals durable."""
    for directory in sorted({os.path.dirname(p) for p in paths}):
        if os.path.isdir(directory):
            handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
