# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the steps of a plan on this host, one at a time; each leaves the host as the next read will see it."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import durable
from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction
from ansible_collections.steelyard.stack.plugins.module_utils.instances import apply as instances
from ansible_collections.steelyard.stack.plugins.module_utils.instances.apply import interrupted, masked, not_ready
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import client, compare, start, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.link import ErrorReply
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import One, Server, Watcher, Wish
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.plan import (
    file_changes,
    make_plan,
    stale_files,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.remove import SET, clean, remove
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.state import Note, Seen
from ansible_collections.steelyard.stack.plugins.module_utils.systemd import journal, show
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import CONTROL_DIR, UNIT_DIR
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

ANSWER_DEADLINE = 60.0
"""Seconds from a start until it answers at all; reading its data may then take as long as it takes."""

STOP_DEADLINE = 15 * 60 + 30.0
"""Seconds, above the template's TimeoutStopSec."""


@dataclass
class Executor(instances.Executor[Wish, One]):
    """Works on one host for one wish."""

    def _verbs(self) -> dict[str, Callable[[str], None]]:
        return {
            **super()._verbs(),
            "silence": self._silence,
            "hold": self._hold,
            "configure": self._configure,
            "create": self._create,
            "set": self._set,
            "set users": self._set_users,
            "restart": self._restart,
            "remove": lambda key: remove(key, self.wish.data),
            "clean": lambda _subject: clean(self.wish.package),
        }

    def _one(self, subject: str) -> One:
        return self.wish.one(subject)

    def _unit(self, subject: str) -> str:
        return client.unit_named(subject)

    def _silence(self, unit: str) -> None:
        """The package's own instance listens on the common port, with the distribution's settings."""
        run(["systemctl", "disable", "--now", "--quiet", unit], STOP_DEADLINE, False)
        run(["systemctl", "mask", "--quiet", unit])

    def _hold(self, package: str) -> None:
        run(["apt-mark", "hold", package])

    def _files(self) -> Transaction:
        wish = self.wish
        seen = client.read_host(wish)
        wanted = unit_files.host_files(wish.placed_servers, wish.placed_watchers, wish.package)
        return Transaction(SET, wanted, stale_files(seen, wish))

    def _configure(self, _subject: str) -> None:
        with self._files() as change:
            unproven = bool(change.interrupted)
            change.plan()
            change.swap()
            if not unproven and not any(c.path.startswith(UNIT_DIR) for c in change.changes):
                change.commit()  # systemd has no part in it; what the servers have of it is asked of them
        self._close_directories()

    def _close_directories(self) -> None:
        """Nobody but root and the service may list settings and certificates."""
        group = grp.getgrnam(self.wish.package.user).gr_gid
        for one in self.wish.placed:
            os.chown(unit_files.config_dir(one), 0, group)
            os.chmod(unit_files.config_dir(one), 0o750)

    def _limit(self, units: Mapping[str, Mapping[str, str]]) -> None:
        """Give running units their limit of memory, which they do not take from a daemon-reload (seen on systemd 257).

        What set-property writes for that is removed again: it would win over our files, and systemd 252 calls for
        another daemon-reload because of it.
        """
        running = [name for name, unit in sorted(units.items()) if unit.get("ActiveState") == "active"]
        limits = {unit_files.unit_of(one): unit_files.memory_max(one) for one in self.wish.placed}
        for unit in running:
            run(["systemctl", "set-property", "--runtime", unit, f"MemoryMax={limits[unit]}"])
            shutil.rmtree(f"{CONTROL_DIR}/{unit}.d", ignore_errors=True)
        if running:
            run(["systemctl", "daemon-reload"])

    def _create(self, key: str) -> None:
        """Make its directory, with the file that only the server changes from then on."""
        one, user = self._one(key), pwd.getpwnam(self.wish.package.user)
        home = Path(unit_files.data_dir(one))
        home.mkdir(parents=True, exist_ok=True, mode=0o755)
        if isinstance(one, Watcher):
            text = "".join(f"{line}\n" for line in one.monitor)
        else:
            text = f"replicaof {one.replicaof}\n" if one.replicaof else ""
        path = home / start.STATE_FILE
        aside = path.with_name(f".{path.name}.steelyard-new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fchown(handle, user.pw_uid, user.pw_gid)
            os.fsync(handle)
        os.chown(home, user.pw_uid, user.pw_gid)
        os.chmod(home, 0o700)
        os.replace(aside, path)
        durable.fsync_directory(home)

    def _restart(self, key: str) -> None:
        run(["systemctl", "stop", self._unit(key)], STOP_DEADLINE)
        self._start(key)

    def _stop_deadline(self, _unit: str) -> float:
        return STOP_DEADLINE

    def _prove(self, subject: str, left: float) -> str | None:
        """Wait until it answers and has read its data, then note what is in force."""
        key, one = subject, self._one(subject)
        unit = unit_files.unit_of(one)
        deadline = max(0.0, ANSWER_DEADLINE - self.waited)

        def observe() -> dict[str, Any]:
            shown = show([unit]).get(unit, {})
            state = f"{shown.get('ActiveState')}/{shown.get('SubState')}"
            if not state.startswith("active/"):
                return {"error": state, "failed": state.startswith("failed/")}
            return client.ask(one, client.read_note(key))

        def done(found: dict[str, Any]) -> bool:
            return bool(found.get("failed") or found.get("refused") or not (found.get("error") or found.get("loading")))

        try:
            found = wait_until(observe, done, min(left, deadline), f"{unit} answers", describe=_state)
        except GateNotPassed as error:
            seen = error.problems[0].seen
            if left < deadline or seen == LOADING:
                return f"{unit}: {seen}"
            self._give_back(one, seen)
        else:
            if found.get("failed") or found.get("refused"):
                self._give_back(one, _state(found))
        self._keep_note(one)
        _drop_old_certificates(one)
        if isinstance(one, Server):
            user = self.wish.package.user
            run(["runuser", "-u", user, "--", "/usr/bin/python3", "-I", unit_files.PROGRAM, "note", key])
        return None

    def _keep_note(self, one: One) -> None:
        """Write down what cannot be asked later: the password in force, and with what it came up."""
        before = client.read_note(one.key)
        run_dir, config_dir = unit_files.run_dir(one), unit_files.config_dir(one)
        settings = {f"{config_dir}/{n}": Path(run_dir, n).read_text(encoding="utf-8") for n in start.SETTINGS}
        secrets = compare.digest_of(dict(one.concealed)) if isinstance(one, Watcher) else ""
        note = Note(secrets, one.admin_password, settings)
        if note != before:
            os.makedirs(client.NOTES, mode=0o700, exist_ok=True)
            durable.replace(Path(client.NOTES, f"{one.key}.json"), json.dumps(note.as_dict()))

    def _give_back(self, one: One, seen: str) -> None:
        """Start it with the settings with which it was ready last, and raise NotReady with the end of its journal."""
        unit, good = unit_files.unit_of(one), client.read_note(one.key).settings
        lines, outcome = masked(journal(unit), _secrets(one)), "it is left as it is"
        if any(path not in good or Path(path).read_text(encoding="utf-8") != good[path] for path in _settings(one)):
            outcome = self._restore(one, good) if good else outcome
        remedy = f"correct its settings and run again; {outcome}"
        raise not_ready(f"{self.wish.host} {unit}", f"Redis {one.cluster} comes up", seen, remedy, lines)

    def _restore(self, one: One, good: dict[str, str] | Any) -> str:
        files = [f for f in unit_files.files_of(one, self.wish.package) if f.path in good]
        last = [type(f)(f.path, good[f.path], f.mode, f.owner, f.group, f.secret) for f in files]
        with Transaction(SET, last) as change:
            change.plan()
            change.swap()
            change.commit()
        unit = unit_files.unit_of(one)
        run(["systemctl", "reset-failed", unit], check=False)
        run(["systemctl", "restart", unit], STOP_DEADLINE, False)
        note = client.read_note(one.key)
        try:
            wait_until(
                lambda: client.ask(one, note), lambda f: not f.get("error"), ANSWER_DEADLINE, unit, describe=_state
            )
        except GateNotPassed:
            return "its last good settings were put back, and it does not come up with them either"
        return "its last good settings were put back, and it serves again"

    def _set(self, key: str) -> None:
        """Set live what differs; a server takes all of it or nothing (CONFIG SET with several names, since 7.0)."""
        one = self._one(key)
        note = client.read_note(key)
        with client.sign_in(one, note) as link:
            seen = client.read_host(self.wish).ones[key]
            changes = compare.settable(one, seen)
            try:
                if isinstance(one, Server):
                    words = [word for change in changes for word in (change.name, change.value)]
                    link.ask("CONFIG", "SET", *words) if words else None
                else:
                    for change in changes:
                        link.ask(*_sentinel_words(one, change))
            except ErrorReply as error:
                remedy = "correct the setting; nothing else of this step was changed"
                rule = f"{unit_files.unit_of(one)} takes {', '.join(c.text for c in changes)}"
                raise Refused(rule, masked(error.text, _secrets(one)), remedy, self.wish.host) from error
        if isinstance(one, Watcher):
            self._keep_note(one)
        _drop_old_certificates(one)

    def _set_users(self, key: str) -> None:
        """Make the users those that are wanted: each by itself, so that nobody else's connection ends.

        ACL LOAD would end the connections of every user of the file (Redis 7.0); a user that is no longer wanted is
        deleted with its connections.
        """
        one = self._one(key)
        plan = compare.users(one, client.read_host(self.wish).ones[key])
        with client.sign_in(one, client.read_note(key)) as link:
            replies = link.ask_all([["ACL", "SETUSER", name, *words] for name, words in plan.set_users.items()])
            for name, reply in zip(plan.set_users, replies, strict=True):
                if isinstance(reply, ErrorReply):
                    remedy = "correct its commands, keys or channels"
                    raise Refused(
                        f"{unit_files.unit_of(one)} takes the user {name}", reply.text, remedy, self.wish.host
                    )
            if plan.delete:
                link.ask("ACL", "DELUSER", *plan.delete)
        self._keep_note(one)


LOADING = "reads its data"


def _drop_old_certificates(one: One) -> None:
    """Remove keys that the server has just been told to use no more."""
    wanted = {*unit_files.tls_paths(one).values()}
    for path in Path(unit_files.config_dir(one)).glob("tls-*"):
        if str(path) not in wanted:
            path.unlink()


def _state(found: dict[str, Any]) -> str:
    """Return what was seen of one that is waited for."""
    return str(found.get("error") or (LOADING if found.get("loading") else "answers"))


def _settings(one: One) -> list[str]:
    return [p for name, p in unit_files.config_paths(one).items() if name in start.SETTINGS]


def _sentinel_words(watcher: Watcher, change: compare.Setting) -> list[str]:
    """Return the command that sets one thing: of the primary that is watched, or of the Sentinel as a whole."""
    if change.name.startswith(("announce-", "resolve-", "sentinel-")):
        return ["SENTINEL", "CONFIG", "SET", change.name, change.value]
    return ["SENTINEL", "SET", watcher.cluster, change.name, change.value]


def _secrets(one: One) -> list[str]:
    """Return the passwords that are set."""
    return [*one.secrets.values(), *(one.concealed.values() if isinstance(one, Watcher) else ())]


def read(wish: Wish) -> tuple[Seen, Plan]:
    """Return what is on this host, and the plan for the wish."""
    seen = client.read_host(wish, interrupted(SET))
    return seen, make_plan(seen, wish)


def diffs(seen: Seen, wish: Wish, plan: Plan) -> list[dict[str, str]]:
    """Return Ansible's diffs: the plan, then each file; secrets masked."""
    return instances.diffs(plan, lambda: file_changes(seen, wish))
