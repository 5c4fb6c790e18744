# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Docker engine a lab runs on: found, or installed from the distribution and started, also without systemd.

Run as `python -m steelyard.lab.engine ensure`. With STEELYARD_NO_INSTALL=1 nothing is installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError
from ansible_collections.steelyard.stack.plugins.module_utils.wait import wait_until

NO_INSTALL = "STEELYARD_NO_INSTALL"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What the lab needs, by the program that shows it is there, and the package of Debian and Ubuntu that has it.
PROGRAMS = {"dockerd": "docker.io", "iptables": "iptables", "ip": "iproute2", "mmdebstrap": "mmdebstrap"}
ENGINE_PACKAGES = ("docker.io", "iptables", "iproute2")
ADMIN_PATH = "/usr/local/sbin:/usr/sbin:/sbin"
START_DEADLINE = 60
INSTALL_DEADLINE = 900
PID_FILE = Path("/var/run/docker.pid")
ANSWERS = "answers"


@dataclass(frozen=True)
class Seen:
    """What this machine has."""

    answer: str  # "answers", or why the engine does not
    missing: tuple[str, ...]  # packages whose programs are not there
    remote: bool = False  # DOCKER_HOST names the engine: it is somebody else's to start
    forbidden: bool = False  # it is there, and this user may not talk to it
    apt: bool = True
    may_install: bool = True
    systemd: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done: packages to install, and whether and how to start the engine."""

    install: tuple[str, ...] = ()
    start: str = ""  # "", "systemd" or "directly"


def decide(seen: Seen) -> Plan:
    """Decide what makes an engine answer and an image buildable; raises Refused with the way out. Pure."""
    answers = seen.answer == ANSWERS
    install = tuple(package for package in seen.missing if not (answers and package in ENGINE_PACKAGES))
    if not answers and seen.remote:
        raise Refused("the engine that DOCKER_HOST names answers", seen.answer, "start it, or unset DOCKER_HOST")
    if not answers and seen.forbidden:
        raise Refused(
            "this user may talk to the Docker engine",
            seen.answer,
            "join the group docker: sudo usermod -aG docker $USER; log in again, or: newgrp docker; then the same again",
        )
    if install and not seen.may_install:
        raise Refused(
            "the lab needs packages, and installing is switched off",
            f"missing: {', '.join(install)}; {NO_INSTALL} is set",
            f"install them yourself, or unset {NO_INSTALL}",
        )
    if install and not seen.apt:
        raise Refused(
            "missing packages can be installed with apt",
            f"missing: {', '.join(install)}; no apt-get here",
            "install Docker and mmdebstrap in this system's own way; then nothing is installed by this command",
        )
    if answers:
        return Plan(install)
    return Plan(install, "systemd" if seen.systemd else "directly")


def look() -> Seen:
    """Find out what this machine has."""
    answer, forbidden = _ask()
    os.environ["PATH"] = f"{os.environ.get('PATH', '')}:{ADMIN_PATH}"  # a user's own path may lack them
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if not KEYRING.exists():
        missing.append("debian-archive-keyring")
    return Seen(
        answer=answer,
        missing=tuple(missing),
        remote=bool(os.environ.get("DOCKER_HOST")),
        forbidden=forbidden,
        apt=shutil.which("apt-get") is not None,
        may_install=os.environ.get(NO_INSTALL, "") in ("", "0"),
        systemd=Path("/run/systemd/system").is_dir(),
    )


def _ask() -> tuple[str, bool]:
    """Ask the engine for a sign of life; returns the answer or the reason, and whether it was a matter of rights."""
    try:
        docker.from_env(timeout=10).ping()
    except DockerException as err:
        said = str(err).splitlines()[0]
        return said[:200], "Permission" in said
    return ANSWERS, False


def ensure() -> Plan:
    """Make an engine answer; says before what it installs. Raises Refused or SteelyardError."""
    plan = decide(look())
    if plan.install:
        _install(plan.install)
    if plan.start == "systemd":
        print("Starting the Docker engine: systemctl start docker.service", file=sys.stderr)
        _run(["systemctl", "start", "docker.service"], "the Docker engine starts")
    elif plan.start:
        start_directly()
    if plan.start:
        answer, forbidden = wait_until(
            _ask,
            lambda seen: seen[0] == ANSWERS or seen[1],
            START_DEADLINE,
            "the Docker engine answers",
            describe=lambda seen: seen[0],
            remedy=f"look at {log_file()}" if plan.start == "directly" else "look at: journalctl -u docker",
        )
        if forbidden:
            decide(Seen(answer, (), forbidden=True))
    return plan


def _install(packages: Sequence[str]) -> None:
    print(
        f"Installing from the distribution with apt: {', '.join(packages)}.\n"
        f"To do without: install them yourself, or set {NO_INSTALL}=1 and be told what is missing.",
        file=sys.stderr,
    )
    environment = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet=2", "-o", "DPkg::Lock::Timeout=300"]
    _run([*environment, "update"], "apt refreshes its package lists")
    _run([*environment, "install", "--yes", "--no-install-recommends", *packages], "apt installs the packages")


def as_root(argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` as root; raises Refused where sudo is missing."""
    if os.geteuid() == 0:
        return list(argv)
    if shutil.which("sudo") is None:
        raise Refused("root or sudo installs and starts the Docker engine", "neither", "run this once as root")
    return ["sudo", *argv]


def _run(argv: Sequence[str], what: str) -> None:
    try:
        done = subprocess.run(as_root(argv), capture_output=True, text=True, timeout=INSTALL_DEADLINE, check=False)
    except subprocess.TimeoutExpired as err:
        raise SteelyardError(what, f"not done after {INSTALL_DEADLINE} s", f"try it by hand: {' '.join(argv)}") from err
    if done.returncode != 0:
        said = " | ".join(done.stderr.strip().splitlines()[-4:])
        raise SteelyardError(what, said or f"exit status {done.returncode}", f"try it by hand: {' '.join(argv)}")


def log_file() -> Path:
    """Return where an engine that is started here writes its log."""
    folder = Path("/var/log") if os.geteuid() == 0 else Path.home()
    return folder / "steelyard-dockerd.log"


def start_directly(arguments: Sequence[str] = (), pid_file: Path = PID_FILE) -> None:
    """Start dockerd in a session of its own, so that it outlives this command; does not wait for it.

    An engine that was killed leaves its pid file: dockerd refuses to start while a process has that number,
    whichever process it is, so the file goes when it is not a dockerd's.
    """
    if stale(pid_file):
        _run(["rm", "-f", str(pid_file)], "the pid file of an engine that ended is removed")
    print(f"Starting the Docker engine (no systemd here); its log is {log_file()}", file=sys.stderr)
    with log_file().open("ab") as log:
        subprocess.Popen(
            as_root(["dockerd", *arguments]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def stale(pid_file: Path) -> bool:
    """Say whether the file names a process that is no dockerd."""
    try:
        pid = int(pid_file.read_text())
        return "dockerd" not in Path(f"/proc/{pid}/comm").read_text()
    except FileNotFoundError:
        return pid_file.exists()
    except ValueError:
        return True


def main(argv: Sequence[str]) -> int:
    """Run `ensure`; returns the exit code."""
    if list(argv) != ["ensure"]:
        print("usage: python -m steelyard.lab.engine ensure", file=sys.stderr)
        return 2
    try:
        plan = ensure()
    except SteelyardError as err:
        print(f"steelyard: {err}", file=sys.stderr)
        return err.exit_code
    done = [*(f"installed {package}" for package in plan.install), *(["started the engine"] if plan.start else [])]
    print("Docker engine: " + ("; ".join(done) or "answers, nothing to do"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
