# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one command of this host, as an argument list."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError


class CommandFailed(SteelyardError):
    """A command of the host did not succeed."""


def run(argv: Sequence[str], timeout: float = 60, check: bool = True, hold: Sequence[int] = ()) -> str:
    """Run an argument list and return its output; raises CommandFailed with what it said.

    `hold` are files that the command keeps open until it ends, even when this process is killed.
    """
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=timeout, check=False, pass_fds=hold
        )
    except FileNotFoundError as error:
        raise CommandFailed("the command is installed", argv[0], "install it first") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"the command ends within {timeout:g} s", " ".join(argv), "run it by hand") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise CommandFailed(f"`{' '.join(argv)}` succeeds", said, "correct what it says and run again")
    return done.stdout
