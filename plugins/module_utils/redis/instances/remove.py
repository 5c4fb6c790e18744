# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Forgets a server or a Sentinel of this host, and with the last one everything of ours but data that is kept."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ansible_collections.steelyard.stack.plugins.module_utils import claim
from ansible_collections.steelyard.stack.plugins.module_utils.command import run
from ansible_collections.steelyard.stack.plugins.module_utils.instances.apply import (
    forget_directories,
    forget_files,
    forget_unit,
)
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances import client, start, unit_files
from ansible_collections.steelyard.stack.plugins.module_utils.redis.instances.model import Package

SET = "redis"
"""The name of our set of files."""

GROUND = claim.Ground("/run/steelyard-redis.lock", "redis", "Redis servers")
"""Claimed by the run that works on a host's servers."""


def remove(key: str, data: str) -> None:
    """Forget one that is stopped: link, files, notes; its data is set aside under a name that nothing uses, or removed."""
    unit = client.unit_named(key)
    home, aside = Path(start.DATA, key), Path(start.DATA, f"{key}.kept-{int(time.time())}")
    if home.is_dir():
        shutil.rmtree(home) if data == "remove" or key.startswith("sentinel-") else home.rename(aside)
    Path(start.KNOWN, key).unlink(missing_ok=True)
    Path(client.NOTES, f"{key}.json").unlink(missing_ok=True)
    own = (f"/{unit}.d/", f"{start.CONFIG}/{key}/")
    forget_unit(SET, unit, [path for path in client.read_files([]) if own[0] in path or path.startswith(own[1])])
    for directory in (f"{start.CONFIG}/{key}", f"{start.RUN}/{key}"):
        shutil.rmtree(directory, ignore_errors=True)


def clean(package: Package) -> None:
    """Leave nothing of ours but data that is kept; the package is the role's to remove."""
    forget_files(SET, list(client.read_files([])))
    run(["apt-mark", "unhold", package.name], check=False)
    run(["systemctl", "unmask", "--quiet", package.unit], check=False)
    home = os.path.dirname(unit_files.PROGRAM)
    own = (home, start.CONFIG, client.NOTES, start.KNOWN, start.RUN)
    shared = [os.path.dirname(path) for path in (start.CONFIG, home, client.NOTES)]
    forget_directories(SET, own, (start.DATA, *shared))  # kept data stays
    claim.forget(GROUND)
