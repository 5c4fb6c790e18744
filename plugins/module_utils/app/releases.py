# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Install a release so that it is complete or not there: checked, unpacked, built offline, tried, then noted.

A virtual environment holds its own absolute path, so a release is built in its final directory; what makes it
one is the note that is written last. A directory without that note, and with the marker of an unfinished one,
is wiped by the next run; any other directory is refused.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pwd
import shutil
import stat
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path, PurePosixPath

from ansible.module_utils.urls import ConnectionError as UrlError
from ansible.module_utils.urls import open_url

from ansible_collections.steelyard.stack.plugins.module_utils import durable
from ansible_collections.steelyard.stack.plugins.module_utils.app import unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.app.client import PARTIAL_NOTE, RELEASE_NOTE
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import ROOT, Release
from ansible_collections.steelyard.stack.plugins.module_utils.command import CommandFailed, run
from ansible_collections.steelyard.stack.plugins.module_utils.errors import (
    Locked,
    Problem,
    Refused,
    SteelyardError,
)
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process, is_alive, this_process

PYTHON = "/usr/bin/python3"
BUILD_DEADLINE = 600.0
CHECK_DEADLINE = 60.0


class ReleaseFailed(SteelyardError):
    """A release could not be built, or did not pass its check; nothing uses it."""


def sha256_of(path: Path) -> str:
    """Return a file's checksum as `sha256:<64 digits>`."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def require_checksum(path: Path, release: Release, checksum_of: Callable[[Path], str] = sha256_of) -> None:
    """Raise Refused unless the archive is the stated one."""
    try:
        seen = checksum_of(path)
    except OSError as error:
        rule, remedy = "the release's archive can be read", "correct its permissions, or release.src"
        raise Refused(rule, f"{path}: {error.strerror}", remedy, release.id) from error
    if seen != release.checksum:
        remedy = f"fetch the right archive, or state {seen} after making sure that it is the one you built"
        raise Refused(f"{release.src} has the checksum {release.checksum}", seen, remedy, release.id)


def archive_problems(wanted: Iterable[Release], find: Callable[[str], str | None]) -> list[Problem]:
    """Return what is wrong with the control machine's archives: each release once, before any host is touched.

    `find` returns where a relative or absolute `src` is on this machine, or None. Archives that hosts fetch
    themselves (URLs, remote_src) are checked there. A file that several releases name is read once.
    """
    found = []
    checksum_of = functools.cache(sha256_of)
    for release in dict.fromkeys(r for r in wanted if not r.is_url and not r.remote_src):
        path = find(release.src)
        if path is None:
            remedy = "build it, or correct release.src"
            found.append(Problem(release.id, "the archive is on the control machine", release.src, remedy))
            continue
        try:
            require_checksum(Path(path), release, checksum_of)
        except Refused as error:
            found += error.problems
    return found


def install(
    release: Release, archive: Path, checks: Sequence[Sequence[str]], python: str = PYTHON, hold: Sequence[int] = ()
) -> None:
    """Install a release from a local archive; raises Refused or ReleaseFailed, and then leaves nothing.

    `hold` are files that the build keeps open: the claim on the host, which must outlive a killed module. Raises
    Locked when a process that still runs is making the release.
    """
    require_checksum(archive, release)
    target = Path(release.path)
    _clear_unfinished(target)
    target.mkdir(parents=True, mode=0o755)
    durable.replace(target / PARTIAL_NOTE, json.dumps(this_process().as_dict()))
    try:
        wheel = _unpack(release, archive, target)
        _build(release, target, wheel, python, hold)
        _settle_modes(target)
        for check in checks or ([_own_check(target)] if (target / "venv").is_dir() else []):
            _try(release, check)
        made_by = python if (target / "venv").is_dir() else ""
        note = {"id": release.id, "checksum": release.checksum, "installed": time.time(), "python": made_by}
        durable.replace(target / RELEASE_NOTE, json.dumps(note))
        (target / PARTIAL_NOTE).unlink()
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise


def remove(name: str) -> None:
    """Remove a release; half removed it is an unfinished one."""
    target = Path(ROOT, "releases", name)
    if target.is_dir():
        _require_abandoned(target)
        durable.replace(target / PARTIAL_NOTE, json.dumps(this_process().as_dict()))
        (target / RELEASE_NOTE).unlink(missing_ok=True)
        shutil.rmtree(target)


def _clear_unfinished(target: Path) -> None:
    if not target.exists():
        return
    ours = (target / PARTIAL_NOTE).exists() or not any(target.iterdir())
    if not ours:
        remedy = "look what it is and move it away"
        raise Refused("a directory below releases/ was made by us", f"{target} has no note of ours", remedy)
    _require_abandoned(target)
    shutil.rmtree(target)


def _require_abandoned(target: Path) -> None:
    """Raise Locked when the process that makes or removes this release still runs."""
    try:
        maker = Process.from_dict(json.loads((target / PARTIAL_NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return
    if is_alive(maker) and maker != this_process():
        raise Locked("a release is made by one process", f"{maker} makes {target.name}", "run again when it has ended")


def download(release: Release, directory: Path) -> Path:
    """Fetch a release's URL into a private directory; raises ReleaseFailed."""
    place = directory / release.id
    try:
        # The scheme was checked when the inventory was read: http or https.
        with open_url(release.src, timeout=30) as answer, place.open("wb") as file:
            shutil.copyfileobj(answer, file, 1 << 20)
    except (UrlError, OSError) as error:  # urllib's errors are OSErrors
        remedy = "check the URL from this host, or give a path on the control machine"
        raise ReleaseFailed("the release can be downloaded", f"{release.src}: {error}", remedy, release.id) from error
    return place


def _unpack(release: Release, archive: Path, target: Path) -> str:
    """Put the archive's content into the target; a wheel is only copied, under the name that pip wants."""
    if release.kind == "wheel":
        name = PurePosixPath(release.src.split("?", 1)[0]).name
        (target / "wheels").mkdir()
        shutil.copyfile(archive, target / "wheels" / name)
        return name
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members = tar.getmembers()
            filtered = hasattr(tarfile, "data_filter")
            for member in members:
                _require_harmless(member, release, filtered)
            if filtered:
                tar.extractall(target, members, filter="data")
            else:  # an early 3.10: what the filter refuses, and more, has been refused above
                tar.extractall(target, members)  # noqa: S202
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ReleaseFailed("the archive can be unpacked", str(error), "build it anew", release.id) from error
    _hoist(target)
    return ""


def _require_harmless(member: tarfile.TarInfo, release: Release, filtered: bool) -> None:
    """Raise Refused for a path that leaves the directory, a link that points out of it, or a device.

    Names alone do not tell where a link leads that goes up through another link; Python's filter sees that when it
    unpacks. Where it is missing (not `filtered`), no link may go up at all.
    """
    name, link = PurePosixPath(member.name), PurePosixPath(member.linkname)
    outside = name.is_absolute() or ".." in name.parts
    if member.issym():
        outside = outside or link.is_absolute() or _depth(name.parent, link) < 0
        outside = outside or (not filtered and ".." in link.parts)
    elif member.islnk():
        outside = outside or link.is_absolute() or ".." in link.parts
    if outside or not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        remedy = "build the archive without absolute paths, .., or devices"
        raise Refused("an archive stays in its own directory", member.name, remedy, release.id)


def _depth(start: PurePosixPath, link: PurePosixPath) -> int:
    """Return how deep a relative link ends below the top, or -1 when it leaves the top on its way."""
    depth = len(start.parts)
    for part in link.parts:
        depth += -1 if part == ".." else 1
        if depth < 0:
            return -1
    return depth


def _hoist(target: Path) -> None:
    """Where the archive has a single directory at its top, move that directory's content up."""
    entries = [p for p in target.iterdir() if p.name != PARTIAL_NOTE]
    if len(entries) != 1 or entries[0].is_symlink() or not entries[0].is_dir():
        return
    top = entries[0].rename(target / ".steelyard-top")
    for entry in top.iterdir():
        entry.rename(target / entry.name)
    top.rmdir()


def _build(release: Release, target: Path, wheel: str, python: str, hold: Sequence[int]) -> None:
    """Make the virtual environment, offline, where there are wheels."""
    wheels, requirements = target / "wheels", target / "requirements.txt"
    if not wheels.is_dir() or not (wheel or requirements.is_file()):
        return
    what = [str(wheels / wheel)] if wheel else ["--requirement", str(requirements)]
    pip = [str(target / "venv/bin/python"), "-m", "pip", "--isolated", "--disable-pip-version-check", "--no-input"]
    commands = (
        [python, "-m", "venv", str(target / "venv")],
        [*pip, "install", "--quiet", "--no-cache-dir", "--no-index", "--only-binary=:all:",
         f"--find-links={wheels}", *what],
    )  # fmt: skip
    try:
        for argv in commands:
            run(argv, BUILD_DEADLINE, hold=hold)
    except CommandFailed as error:
        remedy = "put a wheel of everything it requires, for this Python, into wheels/ (and install python3-venv)"
        seen = error.problems[0].seen
        raise ReleaseFailed("the virtual environment is built from wheels/", seen, remedy, release.id) from error


def _settle_modes(target: Path) -> None:
    """Everything belongs to root, is readable by the instances' user and writable by root alone."""
    for directory, names, files in os.walk(target):
        for name in [*names, *files, "."]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if (status.st_uid, status.st_gid) != (0, 0):
                os.lchown(path, 0, 0)
            if stat.S_ISLNK(status.st_mode) or name == PARTIAL_NOTE:
                continue
            run_bit = 0o111 if stat.S_ISDIR(status.st_mode) or status.st_mode & 0o111 else 0
            os.chmod(path, (status.st_mode & 0o755) | 0o444 | run_bit)


def _own_check(target: Path) -> list[str]:
    return [str(target / "venv/bin/python"), "-m", "pip", "--disable-pip-version-check", "check"]


def _try(release: Release, argv: Sequence[str]) -> None:
    """Run a release's check as the instances' user; raises ReleaseFailed with what it said."""
    user = pwd.getpwnam(unit_files.USER)
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            argv, user=user.pw_uid, group=user.pw_gid, extra_groups=[], env=environment, cwd="/", umask=0o077,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=CHECK_DEADLINE, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        remedy = "make release.check end by itself"
        raise ReleaseFailed(f"the check ends within {CHECK_DEADLINE:g} s", argv[0], remedy, release.id) from error
    except OSError as error:
        raise ReleaseFailed("the release's check can be run", str(error), "correct check", release.id) from error
    if done.returncode != 0:
        said = (done.stderr + done.stdout).strip()[-1000:]
        remedy = "repair the release and give it a new version, or correct release.check"
        raise ReleaseFailed(f"`{' '.join(argv)}` succeeds", said, remedy, release.id)


def can_make_venv(python: str = PYTHON) -> bool:
    """Whether this Python can make virtual environments with pip (Debian splits that into python3-venv)."""
    try:
        run([python, "-c", "import ensurepip, venv"], 30)
    except CommandFailed:
        return False
    return True
