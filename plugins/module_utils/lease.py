# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lease of a cluster, on one member: its file, and what a module does that works under it.

    with working_lease("nginx", module.params["lease"]) as lease:   # raises Locked when the run does not hold it
        for step in steps:
            lease.renew()                                           # raises Locked when it was taken from us
            execute(step)

The rules are in `lease_rules.py`. The file is written by the module `lease`, one for a cluster and member.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import durable, lease_rules
from ansible_collections.steelyard.stack.plugins.module_utils.errors import Locked, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.lease_rules import Record, Request, Verdict
from ansible_collections.steelyard.stack.plugins.module_utils.process import Process, is_alive, this_process

DIRECTORY = "/var/lib/steelyard/lease"
TTL = 300.0
"""Seconds. Longer than the longest stretch in which one member is not visited, so that a lease only ever passes its
time when its run has stopped."""

Clock = Callable[[], float]


class LeaseFile:
    """The record of one cluster on this member: `nginx-main.json` while a run holds it (or its module works on).

    When it is released only the last token is kept, in `.nginx-main.token`, so that the next one is higher.
    """

    def __init__(self, service: str, cluster: str, directory: str = DIRECTORY) -> None:
        self.service = service
        self.cluster = cluster
        self._directory = Path(directory)
        name = urllib.parse.quote(f"{service}-{cluster}", safe="")
        self._path = self._directory / f"{name}.json"
        self._token_path = self._directory / f".{name}.token"

    def read(self) -> Record | None:
        """Return the record, or None where there never was one; raises SteelyardError when it makes no sense."""
        try:
            return Record.from_dict(json.loads(self._path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return self._released()
        except (ValueError, TypeError, KeyError) as err:
            remedy = "make sure that no run works on this cluster, then remove the file"
            raise SteelyardError("a lease can be read", type(err).__name__, remedy, str(self._path)) from err

    def acquire(self, request: Request, clock: Clock = time.time, dry: bool = False) -> Verdict:
        """Ask for the lease, and write the record if the verdict says so (not when `dry`)."""
        if dry:
            seen = self.read()
            return lease_rules.decide(seen, request, clock(), _remote_alive(seen))
        with self.locked():
            seen = self.read()
            verdict = lease_rules.decide(seen, request, clock(), _remote_alive(seen))
            if verdict.record is not None:
                self.write(verdict.record)
            return verdict

    def release(self, run: str, force: bool = False, dry: bool = False) -> bool:
        """Let go of the lease if `run` holds it, or with `force` whoever does; return whether that changed it."""
        if self.read() is None:
            return False
        with self.locked():
            seen = self.read()
            record = lease_rules.release(seen, run, force, _remote_alive(seen))
            if record is not None and not dry:
                self.write(record)
            return record is not None

    def write(self, record: Record) -> None:
        """Write the record durably; the caller holds `locked`."""
        if record.held or record.remote is not None:
            durable.replace(self._path, json.dumps(record.as_dict(), sort_keys=True))
            return
        # In this order: after a crash between the two the lease is still held, and its token still known.
        durable.replace(self._token_path, f"{record.token}\n")
        self._path.unlink(missing_ok=True)
        durable.fsync_directory(self._directory)

    def _released(self) -> Record | None:
        try:
            return Record(self.service, self.cluster, int(self._token_path.read_text(encoding="ascii")))
        except FileNotFoundError:
            return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Exclude every other reader-and-writer on this member; the directory itself is what is locked."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class WorkingLease:
    """What a module holds while it works: renewed before every atomic step, given back at its end."""

    def __init__(
        self, service: str, cluster: str, run: str, token: int | None = None, *,
        ttl: float = TTL, directory: str = DIRECTORY, clock: Clock = time.time,
    ) -> None:  # fmt: skip
        self._file = LeaseFile(service, cluster, directory)
        self._run = run
        self._token = token
        self._ttl = ttl
        self._clock = clock
        self._me: Process = this_process()

    def __enter__(self) -> WorkingLease:
        """Note this process in the record, so that a later run can prove its end; raises Locked."""
        self._prolong(grace=True, remote=self._me)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file.locked():
            seen = self._file.read()
            if seen is not None and seen.remote == self._me:
                self._file.write(replace(seen, remote=None))

    def renew(self) -> None:
        """Prolong the lease before an atomic step; raises Locked when it is no longer this run's."""
        self._prolong(grace=False, remote=self._me)

    def check(self) -> None:
        """Raise Locked when the lease is no longer this run's; writes nothing."""
        self._require(self._file.read(), grace=False)

    def _prolong(self, grace: bool, remote: Process) -> None:
        with self._file.locked():
            seen = self._require(self._file.read(), grace)
            if seen.remote not in (None, remote) and _remote_alive(seen):
                rule = "one module at a time works under a lease"
                raise Locked(rule, str(seen.remote), "wait until it has ended and run again", self._where)
            record = lease_rules.renewed(seen, self._clock(), self._ttl)
            self._file.write(replace(record, remote=remote))

    def _require(self, seen: Record | None, grace: bool) -> Record:
        why = lease_rules.why_not_ours(seen, self._run, self._token, self._clock(), grace)
        if seen is None or why:
            remedy = "nothing more was done here; run again when the other run has ended"
            raise Locked("the run holds the cluster's lease", why, remedy, self._where)
        return seen

    @property
    def _where(self) -> str:
        return f"{self._file.service} {self._file.cluster}"


def working_lease(service: str, argument: Mapping[str, Any], **settings: Any) -> WorkingLease:
    """Return the lease that a cluster module's argument `lease` names: {cluster, run, token}."""
    return WorkingLease(service, argument["cluster"], argument["run"], argument.get("token"), **settings)


def check(service: str, cluster: str, run: str, token: int | None = None, directory: str = DIRECTORY) -> None:
    """Raise Locked when `run` does not hold the lease on this member."""
    WorkingLease(service, cluster, run, token, directory=directory).check()


def renew(service: str, cluster: str, run: str, token: int | None = None, directory: str = DIRECTORY) -> None:
    """Prolong the lease on this member; raises Locked when `run` does not hold it. See also WorkingLease."""
    with WorkingLease(service, cluster, run, token, directory=directory):
        pass


def _remote_alive(seen: Record | None) -> bool:
    """Return whether the module's process noted on this member still runs.

    It ran on this very member, so a process that cannot be found here has ended, whatever number space it was in.
    """
    return seen is not None and seen.remote is not None and bool(is_alive(seen.remote))
