# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stand-ins' image: built from the distribution's archive by mmdebstrap, imported through Docker's API.

No registry is needed. An image is named after a digest of its recipe and of the certificates it carries,
so that it is built once and again only when one of them changes; `steelyard-lab:trixie` is the newest of them.
Run as `python -m steelyard.lab.image ensure trixie bookworm`.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

from ansible_collections.steelyard.stack.plugins.module_utils.errors import Refused, SteelyardError

REPOSITORY = "steelyard-lab"
CERTIFICATES = Path("/usr/local/share/ca-certificates")
SUITES = ("trixie", "bookworm")
SUITE_NAMES = {"trixie": "Debian 13", "bookworm": "Debian 12"}
LOGIN_USER = "operator"
LOGIN_UID = 1000
PACKAGES = (
    "apt-utils",
    "bash-completion",
    "ca-certificates",
    "curl",
    "dbus",
    "iproute2",
    "iputils-ping",
    "less",
    "libpam-systemd",
    "nftables",
    "openssh-server",
    "procps",
    "python3",
    "python3-apt",
    "sudo",
    "systemd",
    "systemd-sysv",
    "tzdata",
)
EXECUTABLE = ("usr/local/lib/steelyard-lab/init", "usr/local/lib/steelyard-lab/apt-proxy")
PRIVATE = ("etc/sudoers.d/steelyard-lab",)
# Hooks in mmdebstrap's own notation; its shell sees only these constants.
HOOKS = (
    f'chroot "$1" useradd --create-home --shell /bin/bash --uid {LOGIN_UID} --no-user-group {LOGIN_USER}',
    'chroot "$1" update-ca-certificates',
    'chroot "$1" systemctl enable ssh.service steelyard-lab-hostkeys.service',
    'chroot "$1" systemctl mask systemd-udevd.service systemd-udev-trigger.service getty.target '
    "console-getty.service systemd-firstboot.service systemd-modules-load.service",
    'rm -f "$1"/etc/ssh/ssh_host_*',
    'truncate --size=0 "$1"/etc/machine-id',
)
API_DEADLINE = 300  # seconds; the import of an image is one call
NO_NAMESPACES = "unable to pick chroot mode"  # mmdebstrap's words where it is neither root nor may unshare
BUILD_DEADLINE = 900  # seconds; a slow mirror takes minutes, a dead one must not hold the lab for ever


@dataclass(frozen=True)
class Recipe:
    """Everything an image is made of; equal recipes make equal images."""

    suite: str
    files: tuple[tuple[str, int, bytes], ...]

    @property
    def tag(self) -> str:
        """Return the image's full name, with the digest of the recipe."""
        digest = hashlib.sha256(repr((self.suite, PACKAGES, HOOKS)).encode())
        for path, mode, content in self.files:
            digest.update(f"{path} {mode:o} {len(content)}\n".encode() + content)
        return f"{REPOSITORY}:{self.suite}-{digest.hexdigest()[:12]}"


def make_recipe(suite: str) -> Recipe:
    """Return the recipe for `trixie` or `bookworm` on this machine; raises Refused for another suite."""
    if suite not in SUITES:
        raise Refused("lab_os names a release the lab can build", suite, f"use one of {', '.join(SUITES)}")
    files = [(path, _mode(path), content) for path, content in _own_files()]
    if CERTIFICATES.is_dir():
        for path in sorted(CERTIFICATES.rglob("*.crt")):
            name = str(path.relative_to("/"))
            files.append((name, 0o644, path.read_bytes()))
    return Recipe(suite, tuple(sorted(files)))


def _mode(path: str) -> int:
    if path in EXECUTABLE:
        return 0o755
    return 0o440 if path in PRIVATE else 0o644


def _own_files() -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []

    def walk(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                walk(entry, f"{prefix}{entry.name}/")
            else:
                found.append((prefix + entry.name, entry.read_bytes()))

    walk(resources.files("steelyard.lab") / "rootfs", "")
    if not found:
        raise SteelyardError("the lab image's files are part of the installation", "none", "install steelyard again")
    return found


def files_tar(recipe: Recipe) -> bytes:
    """Return a tar archive of the recipe's files, owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, mode, content in recipe.files:
            member = tarfile.TarInfo(path)
            member.mode, member.size = mode, len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def build_argv(suite: str, files: Path, target: Path, mirrors: tuple[str, ...]) -> list[str]:
    """Return mmdebstrap's command line; package lists stay in the image, so that apt finds packages at once."""
    argv = ["mmdebstrap", "--variant=minbase", "--include=" + ",".join(PACKAGES), "--skip=cleanup/apt/lists"]
    argv += [f"--customize-hook=tar-in {files} /"]
    argv += [f"--customize-hook={hook}" for hook in HOOKS]
    return [*argv, suite, str(target), *mirrors]


def source_lines(suite: str, uris: tuple[str, ...]) -> tuple[str, ...]:
    """Return apt source lines for `suite` from the archives this machine itself uses; none: the builder's default.

    An archive counts when it ends like Debian's own (`…/debian`, `…/debian-security`).
    """
    main = next((uri for uri in uris if uri.rstrip("/").endswith("/debian")), None)
    if main is None:
        return ()
    security = next((uri for uri in uris if uri.rstrip("/").endswith("/debian-security")), None)
    lines = [f"deb {main.rstrip('/')} {suite} main", f"deb {main.rstrip('/')} {suite}-updates main"]
    if security:
        lines.append(f"deb {security.rstrip('/')} {suite}-security main")
    return tuple(lines)


def machine_archives() -> tuple[str, ...]:
    """Return the URIs of the package archives that this machine's apt uses, in its order."""
    argv = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ()
    return tuple(dict.fromkeys(done.stdout.split()))


def find(client: docker.DockerClient, recipe: Recipe) -> bool:
    """Say whether the image of this recipe exists."""
    return bool(client.images.list(filters={"reference": recipe.tag}))


def build(client: docker.DockerClient, recipe: Recipe) -> None:
    """Build and import the image of `recipe`; raises Refused without mmdebstrap, SteelyardError when it fails."""
    if shutil.which("mmdebstrap") is None:
        raise Refused(
            "mmdebstrap builds the stand-ins' image", "not installed", "run: python -m steelyard.lab.engine ensure"
        )
    with tempfile.TemporaryDirectory(prefix="steelyard-image-") as scratch:
        os.chmod(scratch, 0o755)  # the builder may drop to another user id
        files, target = Path(scratch) / "files.tar", Path(scratch) / "image.tar"
        files.write_bytes(files_tar(recipe))
        argv = build_argv(recipe.suite, files, target, source_lines(recipe.suite, machine_archives()))
        _run(argv)
        # Through the low-level client: the other one reads the whole file as an image's name.
        repository, tag = recipe.tag.split(":")
        changes = ['CMD ["/usr/local/lib/steelyard-lab/init"]', "LABEL steelyard.image=lab"]
        client.api.import_image_from_file(str(target), repository=repository, tag=tag, changes=changes)
    if not find(client, recipe):
        raise SteelyardError("Docker takes the built image", recipe.tag, "look at the Docker daemon's log")
    client.images.get(recipe.tag).tag(REPOSITORY, recipe.suite)
    _forget_older(client, recipe)


def _forget_older(client: docker.DockerClient, recipe: Recipe) -> None:
    """Remove images of earlier recipes for the same release; those that stand-ins still use stay."""
    for found in client.images.list(name=REPOSITORY):
        for tag in found.tags:
            if tag.startswith(f"{REPOSITORY}:{recipe.suite}-") and tag != recipe.tag:
                try:
                    client.images.remove(tag)
                except APIError as err:
                    if err.status_code not in (404, 409):
                        raise


def _run(argv: list[str]) -> None:
    done = _try(argv)
    if done.returncode != 0 and NO_NAMESPACES in done.stderr and os.geteuid() != 0 and shutil.which("sudo"):
        print("Building with sudo: this user may not make the namespaces that mmdebstrap needs", file=sys.stderr)
        done = _try(["sudo", *argv])
    if done.returncode != 0:
        tail = " | ".join(done.stderr.strip().splitlines()[-6:])
        remedy = "check that this machine reaches its package mirror"
        if NO_NAMESPACES in done.stderr:
            remedy = "build it once as root, or with sudo: make image"
        raise SteelyardError("mmdebstrap builds the image", tail, remedy)


def _try(argv: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=BUILD_DEADLINE)
    except subprocess.TimeoutExpired as err:
        raise SteelyardError(
            "the image is built in time", f"still building after {BUILD_DEADLINE} s", "look at the package mirror"
        ) from err


def main(argv: Sequence[str]) -> int:
    """Build the images that are missing; returns the exit code."""
    if len(argv) < 2 or argv[0] != "ensure":
        print("usage: python -m steelyard.lab.image ensure RELEASE...", file=sys.stderr)
        return 2
    try:
        client = docker.from_env(timeout=API_DEADLINE)
        for suite in argv[1:]:
            recipe = make_recipe(suite)
            if find(client, recipe):
                print(f"Image {recipe.tag}: there, nothing to do")
                client.images.get(recipe.tag).tag(REPOSITORY, recipe.suite)
                continue
            print(f"Building the image of {SUITE_NAMES[suite]} with mmdebstrap, from the distribution's archive")
            build(client, recipe)
            print(f"Image {recipe.tag}: built")
    except SteelyardError as err:
        print(f"steelyard: {err}", file=sys.stderr)
        return err.exit_code
    except DockerException as err:
        print(f"steelyard: a Docker engine answers (seen: {str(err).splitlines()[0]})", file=sys.stderr)
        return Refused.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
