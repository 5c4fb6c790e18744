# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does the steps of a plan on this host, one at a time; each leaves the host as the next read will see it."""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.steelyard.stack.plugins.module_utils import claim, durable
from ansible_collections.steelyard.stack.plugins.module_utils.app import (
    client,
    parse,
    releases,
    unit_files,
)
from ansible_collections.steelyard.stack.plugins.module_utils.app.model import ROOT, Instance, Release
from ansible_collections.steelyard.stack.plugins.module_utils.app.plan import Wish, file_changes, make_plan
from ansible_collections.steelyard.stack.plugins.module_utils.app.state import Seen
from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.errors import GateNotPassed, Refused
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction
from ansible_collections.steelyard.stack.plugins.module_utils.fileset_model import WantedFile
from ansible_collections.steelyard.stack.plugins.module_utils.instances import apply as instances
from ansible_collections.steelyard.stack.plugins.module_utils.instances.apply import (
    START_DEADLINE,
    forget_directories,
    forget_files,
    forget_unit,
    interrupted,
    masked,
    not_ready,
)
from ansible_collections.steelyard.stack.plugins.module_utils.plan import Plan
from ansible_collections.steelyard.stack.plugins.module_utils.systemd import journal, show
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import (
    CONTROL_DIR,
    seconds,
)
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

SET = "app"
GROUND = claim.Ground("/run/steelyard-app.lock", "app", "applications")
"""Claimed by the run that works on a host's applications."""
DOWNLOADS = f"{os.path.dirname(client.GOOD_DIR)}/download"


@dataclass
class Executor(instances.Executor[Wish, Instance]):
    """Works on one host for one wish.

    `archives` are local copies of releases, by id. `hold` are files that builds keep open: the claim on the host.
    `killed` are the ports that had to be killed because they did not stop in time.
    """

    CORRECT = "correct the class"

    archives: Mapping[str, str] = field(default_factory=dict)
    python: str = releases.PYTHON
    hold: tuple[int, ...] = ()
    killed: list[int] = field(default_factory=list)

    def prepare(self, given: bool) -> None:
        """Remove what a killed run has downloaded; a host that has moved since its plan may refuse it."""
        wipe_downloads()
        if given:
            read(self.wish)[1].require_allowed()

    def told(self) -> dict[str, Any]:
        """Return which ports had to be killed."""
        return {"killed": self.killed}

    def _verbs(self) -> dict[str, Callable[[str], None]]:
        return {
            **super()._verbs(),
            "create user": self._create_user,
            "install": self._install,
            "configure": self._configure,
            "restart": self._restart,
            "switch": self._switch,
            "remove": self._remove,
            "drop class": self._drop_class,
            "prune": releases.remove,
            "clean": self._clean,
        }

    def _one(self, subject: str) -> Instance:
        for instance in self.wish.placed:
            if instance.port == int(subject):
                return instance
        raise Refused("a step works on a placed instance", subject, "plan again", self.wish.host)

    def _unit(self, subject: str) -> str:
        return f"app@{subject}.service"

    def _create_user(self, name: str) -> None:
        argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        run([*argv, "--shell", "/usr/sbin/nologin", "--comment", client.GECOS, name])

    def _install(self, name: str) -> None:
        release = self.wish.releases[name]
        there = client.read_releases().get(name)
        if there is not None and there.complete:
            return
        checks = sorted({i.check for i in self.wish.placed if i.release.id == name and i.check})
        wipe_downloads()
        os.makedirs(DOWNLOADS, mode=0o700)
        try:
            releases.install(release, self._archive(release, Path(DOWNLOADS)), checks, self.python, self.hold)
        finally:
            wipe_downloads()

    def _archive(self, release: Release, private: Path) -> Path:
        if release.is_url:
            return releases.download(release, private)
        path = release.src if release.remote_src else self.archives.get(release.id, "")
        if not path or not os.path.isfile(path):
            remedy = "put it there, or correct release.src"
            raise Refused("the release's archive is there", release.src, remedy, release.id)
        return Path(path)

    def _files(self) -> Transaction:
        return Transaction(SET, unit_files.host_files(self.wish.placed, self.wish.whole))

    def _configure(self, _subject: str) -> None:
        with self._files() as change:
            change.plan()
            change.swap()

    def _limit(self, _units: Mapping[str, Mapping[str, str]]) -> None:
        """Set the running slice's quota, which it keeps at a daemon-reload (seen on systemd 257)."""
        whole = self.wish.whole
        memory = str(whole.memory_max) if whole.memory_max else "infinity"
        quota = f"{whole.cpu_quota:g}%" if whole.cpu_quota else ""
        properties = [f"MemoryMax={memory}", f"CPUQuota={quota}"]
        run(["systemctl", "set-property", "--runtime", "app.slice", *properties])

    def _restart(self, port: str) -> None:
        unit = self._one(port).unit
        run(["systemctl", "reset-failed", unit], check=False)
        run(["systemctl", "stop", unit], self._stop_deadline(unit))
        self._stopped(unit)
        self._begin(port)

    def _stop_deadline(self, unit: str) -> float:
        """The deadline in force, which is the one that the instance was started with, and time to be killed."""
        return seconds(show([unit]).get(unit, {}).get("TimeoutStopUSec", ""), 90) + 30

    def _stopped(self, unit: str) -> None:
        """Note what systemd has killed after its deadline, which is then said."""
        if show([unit]).get(unit, {}).get("Result") == "timeout":
            self.killed += sorted(parse.ports_in([unit]))

    def _prove(self, subject: str, left: float) -> str | None:
        instance = self._one(subject)
        deadline = max(0.0, instance.start_deadline - self.waited)
        try:
            self._wait_ready(instance, min(left, deadline))
        except GateNotPassed as error:
            seen = error.problems[0].seen
            if left < deadline and not seen.startswith("failed/"):
                return f"{instance.unit} is not ready: {seen}"
            self._give_back(instance, seen)
        self._keep_good(instance)
        return None

    def _wait_ready(self, instance: Instance, deadline: float) -> None:
        """Wait until the instance is ready; raises GateNotPassed at the deadline, at once when it has failed."""

        def observe() -> tuple[str, client.Probe]:
            unit = show([instance.unit]).get(instance.unit, {})
            state = f"{unit.get('ActiveState')}/{unit.get('SubState')}"
            return state, client.probe(instance) if state.startswith("active/") else client.Probe(False, state)

        def done(seen: tuple[str, client.Probe]) -> bool:
            return seen[1].ready or seen[0].startswith("failed/")

        what = f"{instance.unit} is ready"
        state, last = wait_until(observe, done, deadline, what, describe=lambda s: f"{s[0]}, {s[1].saw}")
        if not last.ready:
            raise GateNotPassed(what, f"{state} {show([instance.unit])[instance.unit].get('Result', '')}")

    def _keep_good(self, instance: Instance) -> None:
        """Remember the files that were proven: the way back when a later configuration does not get ready."""
        good = client.read_good(instance.port)
        digest = unit_files.config_digest(instance)
        if good.get("config") == digest:
            return
        os.makedirs(client.GOOD_DIR, mode=0o700, exist_ok=True)
        files = [
            {"path": f.path, "content": f.content, "mode": f.mode, "secret": f.secret}
            for f in unit_files.instance_files(instance)
        ]
        note = {"config": digest, "release": instance.release.id, "files": files}
        durable.replace(Path(client.GOOD_DIR, f"{instance.port}.json"), json.dumps(note))

    def _give_back(self, one: Instance, seen: str) -> None:
        """Leave what served before, and raise NotReady with the last lines of the journal, secrets masked."""
        instance, secrets = one, one.secrets.values()
        lines, seen = masked(journal(instance.unit), secrets), masked(seen, secrets)
        good = client.read_good(instance.port)
        if not good:
            run(["systemctl", "disable", "--now", "--quiet", instance.unit], instance.stop_deadline + 30, False)
            outcome = "it was stopped"
        elif good["config"] == unit_files.config_digest(instance):
            outcome = "it runs a configuration that was ready before and is left as it is"
        else:
            outcome = self._restore_good(instance, good)
        remedy = f"correct the release or its settings and run again; {outcome}"
        where, rule = f"{self.wish.host} {instance.unit}", f"the instance of {instance.class_name} gets ready"
        raise not_ready(where, rule, seen, remedy, lines)

    def _restore_good(self, instance: Instance, good: Mapping[str, object]) -> str:
        """Put the last good files back, of the class's other instances that wait for their restart too.

        Otherwise one of those that crashes would come back with what has just failed.
        """
        with Transaction(SET, self._good_files(instance.class_name)) as change:
            change.plan()
            change.swap()
            run(["systemctl", "daemon-reload"])
            change.commit()
        run(["systemctl", "reset-failed", instance.unit], check=False)
        run(["systemctl", "restart", instance.unit], START_DEADLINE + instance.stop_deadline, False)
        try:
            self._wait_ready(instance, instance.start_deadline)
        except GateNotPassed:
            return f"{good['release']} was put back and is not ready either"
        return f"{good['release']} with its last good configuration serves again"

    def _good_files(self, class_name: str) -> list[WantedFile]:
        files: list[WantedFile] = []
        for other in self.wish.placed:
            good = client.read_good(other.port)
            if other.class_name == class_name and good and good["config"] != unit_files.config_digest(other):
                files += [WantedFile(**entry) for entry in good["files"]]
        return files

    def _switch(self, class_name: str) -> None:
        release = next(i.release for i in reversed(self.wish.placed) if i.class_name == class_name)
        directory = Path(ROOT, class_name)
        directory.mkdir(parents=True, exist_ok=True, mode=0o755)
        aside = directory / ".current-new"
        aside.unlink(missing_ok=True)
        aside.symlink_to(f"../releases/{release.id}")
        os.replace(aside, directory / "current")
        durable.fsync_directory(directory)

    def _remove(self, port: str) -> None:
        """Forget an instance and its way back; then let systemd see it."""
        Path(client.GOOD_DIR, f"{port}.json").unlink(missing_ok=True)
        forget_unit(SET, self._unit(port), unit_files.instance_paths(int(port)))

    def _drop_class(self, name: str) -> None:
        shutil.rmtree(Path(ROOT, name), ignore_errors=True)
        unit = os.path.basename(unit_files.slice_path(name))
        run(["systemctl", "stop", unit], check=False)
        forget_files(SET, [unit_files.slice_path(name)])

    def _clean(self, _subject: str) -> None:
        """Leave nothing of ours; the account is removed only when we made it."""
        files = list(client.read_files([]))
        slices = [os.path.basename(p) for p in files if p.endswith(".slice")]
        for unit in sorted(slices, key=len, reverse=True):
            run(["systemctl", "stop", unit], check=False)
        forget_files(SET, files)
        for path in client.half_written():
            os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
        runtime = glob.glob(f"{CONTROL_DIR}/app*")
        own = (ROOT, unit_files.CONFIG_DIR, os.path.dirname(client.GOOD_DIR), *runtime)
        forget_directories(SET, own, (os.path.dirname(ROOT), os.path.dirname(unit_files.CONFIG_DIR)))
        claim.forget(GROUND)
        if client.account() == client.GECOS:
            run(["userdel", unit_files.USER])


def wipe_downloads() -> None:
    """Remove what a killed run has downloaded; only who holds the claim on the host may."""
    shutil.rmtree(DOWNLOADS, ignore_errors=True)


def read(wish: Wish) -> tuple[Seen, Plan]:
    """Return what is on this host, and the plan for the wish."""
    seen = client.read_host(wish.placed, wish.whole, interrupted(SET))
    return seen, make_plan(seen, wish)


def diffs(seen: Seen, wish: Wish, plan: Plan) -> list[dict[str, str]]:
    """Return Ansible's diffs: the plan, then each file; secrets masked."""
    return instances.diffs(plan, lambda: file_changes(seen, wish))
