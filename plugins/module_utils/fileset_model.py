# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a set of files should be, what was found, and the changes between the two. Pure: no Ansible, no I/O."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused

HEADER = "# Managed by Steelyard: changes are overwritten.\n"
"""How a file begins that is ours."""
_MASKED = "(secret, not shown)\n"


@dataclass(frozen=True)
class WantedFile:
    """A file as it should be. `keep`: written only where missing. `secret`: its content is never shown."""

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    keep: bool = False

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or posixpath.normpath(self.path) != self.path:
            raise Refused("a managed file has a plain absolute path", self.path, "write it as /etc/service/name.conf")


@dataclass(frozen=True)
class SeenFile:
    """A path as found. `kind` is file, link, directory or other; a link's content is its target."""

    kind: str
    content: str = ""
    mode: int = 0
    owner: str = ""
    group: str = ""


@dataclass(frozen=True)
class Change:
    """What happens to one path: `action` is create, modify, attributes or remove."""

    path: str
    action: str
    before: SeenFile | None
    after: WantedFile | None

    def as_diff(self) -> dict[str, str]:
        """Return Ansible's diff of this file; a secret's content is masked on both sides."""
        secret = self.after.secret if self.after else (self.before is not None and not self.before.mode & 0o044)
        before, after = "", ""
        if self.before is not None:
            before = _attributes(self.before.mode, self.before.owner, self.before.group)
            before += (_MASKED if secret else self.before.content) if self.action != "attributes" else ""
        if self.after is not None:
            after = _attributes(self.after.mode, self.after.owner, self.after.group)
            after += (_masked_after(self) if secret else self.after.content) if self.action != "attributes" else ""
        header = f"{self.path} ({self.action})"
        return {"before_header": header, "after_header": header, "before": before, "after": after}


def _attributes(mode: int, owner: str, group: str) -> str:
    return f"# {mode:04o} {owner}:{group}\n"


def _masked_after(change: Change) -> str:
    return _MASKED if change.before is None else "(another secret, not shown)\n"


def digest(files: Iterable[WantedFile]) -> str:
    """Return 16 hexadecimal digits over what is wanted; files that are only seeded (`keep`) do not count."""
    rows = sorted([f.path, f"{f.mode:04o}", f.owner, f.group, f.content] for f in files if not f.keep)
    text = json.dumps(rows, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan_files(
    seen: Mapping[str, SeenFile], wanted: Iterable[WantedFile], absent: Iterable[str] = ()
) -> tuple[Change, ...]:
    """Return the changes that turn `seen` (paths that exist) into `wanted` without `absent`.

    Raises Refused for a path wanted twice, wanted and absent at once, or held by a directory.
    """
    files, paths = tuple(wanted), set()
    for file in files:
        if file.path in paths:
            raise Refused("a file is wanted once", file.path, "remove one of the two entries", file.path)
        paths.add(file.path)
    changes = [_change_of(seen.get(file.path), file) for file in files]
    for path in sorted(set(absent)):
        if path in paths:
            raise Refused("a file is either wanted or absent", path, "remove it from one of the lists", path)
        changes.append(Change(path, "remove", seen[path], None) if path in seen else None)
    for change in changes:
        if change is not None and change.before is not None and change.before.kind in ("directory", "other"):
            raise Refused("only files are managed", f"{change.path} is a {change.before.kind}", "move it away")
    return tuple(c for c in changes if c is not None)


def _change_of(seen: SeenFile | None, file: WantedFile) -> Change | None:
    if seen is None:
        return Change(file.path, "create", None, file)
    if file.keep:
        return None
    if seen.kind != "file" or seen.content != file.content:
        return Change(file.path, "modify", seen, file)
    if (seen.mode, seen.owner, seen.group) != (file.mode, file.owner, file.group):
        return Change(file.path, "attributes", seen, file)
    return None
