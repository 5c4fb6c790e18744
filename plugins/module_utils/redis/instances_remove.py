# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Forgets a server or a Sentinel of this host, and with the last one everything of ours but data that is kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils import claim
from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.fileset import Transaction
from ansible_collections.steelyard.stack.plugins.module_utils.redis import instances_client as client
from ansible_collections.steelyard.stack.plugins.module_utils.redis import machine_start, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances_model import Package
from ansible_collections.steelyard.stack.plugins.module_utils.systemd_model import CONTROL_DIR, UNIT_DIR, WANTS_DIR

SET = "redis"
"""The name of our set of files."""

GROUND = claim.Ground("/run/steelyard-redis.lock", "redis", "Redis servers")
"""Claimed by the run that works on a host's servers."""


def remove(key: str, data: str) -> None:
    """Forget one that is stopped: link, files, notes; its data is set aside under a name that nothing uses, or removed."""
    unit = client.unit_named(key)
    link = f"{WANTS_DIR}/{unit}"
    if os.path.lexists(link):
        os.unlink(link)
    home, aside = Path(machine_start.DATA, key), Path(machine_start.DATA, f"{key}.kept-{int(time.time())}")
    if home.is_dir():
        shutil.rmtree(home) if data == "remove" or key.startswith("sentinel-") else home.rename(aside)
    Path(machine_start.KNOWN, key).unlink(missing_ok=True)
    Path(client.NOTES, f"{key}.json").unlink(missing_ok=True)
    _forget([p for p in client.read_files([]) if f"/{unit}.d/" in p or p.startswith(f"{machine_start.CONFIG}/{key}/")])
    for directory in (f"{UNIT_DIR}/{unit}.d", f"{CONTROL_DIR}/{unit}.d",
                      f"{machine_start.CONFIG}/{key}", f"{machine_start.RUN}/{key}"):  # fmt: skip
        shutil.rmtree(directory, ignore_errors=True)
    run(["systemctl", "reset-failed", unit], check=False)


def clean(package: Package) -> None:
    """Leave nothing of ours but data that is kept; the package is the role's to remove."""
    _forget(list(client.read_files([])))
    run(["apt-mark", "unhold", package.name], check=False)
    run(["systemctl", "unmask", "--quiet", package.unit], check=False)
    for path in (os.path.dirname(unit_files.PROGRAM), machine_start.CONFIG, client.NOTES, machine_start.KNOWN,
                 machine_start.RUN, f"/var/lib/steelyard/config/{SET}"):  # fmt: skip
        shutil.rmtree(path, ignore_errors=True)
    claim.forget(GROUND)
    roots = (machine_start.DATA, machine_start.CONFIG, os.path.dirname(unit_files.PROGRAM), client.NOTES)
    for shared in (roots[0], *(os.path.dirname(root) for root in roots[1:]), "/var/lib/steelyard/config"):
        with contextlib.suppress(OSError):  # kept data, or what other services have there
            os.rmdir(shared)


def _forget(paths: Sequence[str]) -> None:
    with Transaction(SET, [], paths) as change:
        change.plan()
        change.swap()
        run(["systemctl", "daemon-reload"])
        change.commit()
