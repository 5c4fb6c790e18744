# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is refused of servers in whatever mode: who does not let us in, and who is of another version. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from ansible_collections.steelyard.stack.plugins.module_utils.plan import Refusal
from ansible_collections.steelyard.stack.plugins.module_utils.redis.answers import reason

_PASSWORD = ("WRONGPASS", "NOAUTH", "NOPERM")
_SAYING = (*_PASSWORD, "invalid username-password", "invalid password", *(reason(code) for code in _PASSWORD))


class Asked(Protocol):
    """What was asked, and how it answered."""

    @property
    def name(self) -> str: ...
    @property
    def error(self) -> str: ...


class AskedServer(Asked, Protocol):
    """A server that was asked."""

    @property
    def server(self) -> str: ...
    @property
    def version(self) -> str: ...


def is_password(error: str) -> bool:
    """Whether one did not answer for want of a password, a right or a user."""
    return any(word.lower() in error.lower() for word in _SAYING)


def judge_access(asked: Iterable[Asked], servers: Iterable[AskedServer], upgrading: bool) -> Iterator[Refusal]:
    """Refuse to work where one does not take our password, or where major versions differ and are not to."""
    for one in asked:
        if is_password(one.error):
            yield Refusal("every instance accepts our password", f"{one.name}: {one.error}",
                          "set admin_password to what the server has, or rotate it with rotate_secrets.yml")  # fmt: skip
    versions: dict[str, list[str]] = {}
    for server in servers:
        if not server.error and server.version:
            versions.setdefault(f"{server.server} {server.version.split('.')[0]}", []).append(server.name)
    if len(versions) > 1 and not upgrading:
        seen = "; ".join(f"{version}: {', '.join(names)}" for version, names in sorted(versions.items()))
        yield Refusal("all instances run one major version", seen,
                      "finish or undo the upgrade with upgrade.yml, replicas first")  # fmt: skip
