# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the release that the inventories deploy: a wheel of market_api and every wheel it needs, in one archive.

    .build/market_api-1.0.0.tar.gz            wheels/*.whl, requirements.txt (with hashes)
    .build/market_api-1.0.0.tar.gz.sha256     as `sha256sum` prints it

A host installs it without a network:

    pip install --no-index --find-links wheels --require-hashes -r requirements.txt

The same sources give the same archive, byte for byte; when nothing changed, nothing is done. Needs pip, and a
package index or a directory of wheels (`--wheelhouse`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAME = "market_api"
EPOCH = 946684800  # 2000-01-01: the time of every file in wheel and archive
OLDEST_PYTHON = "3.10"
SOURCES = ("build_release.py", "pyproject.toml", "requirements.in", "requirements.txt", "build-requirements.txt")
VERSION = re.compile(r"[0-9]+(?:\.[0-9]+){1,3}(?:(?:a|b|rc)[0-9]+)?")


class BuildError(Exception):
    """The release cannot be built; the message says why and what to do."""


def main(arguments: list[str] | None = None) -> int:
    """Build, unless it is built; print where the archive is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default=own_version(), help="build under this version (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=HERE.parents[1] / ".build", help="default: .build")
    parser.add_argument("--wheelhouse", type=Path, help="take wheels from this directory, not from a package index")
    parser.add_argument("--force", action="store_true", help="build even if nothing changed")
    chosen = parser.parse_args(arguments)
    try:
        archive, built = build(chosen.version, chosen.output, chosen.wheelhouse, force=chosen.force)
    except BuildError as err:
        print(f"build_release: {err}", file=sys.stderr)
        return 1
    print(f"{archive}  {'built' if built else 'is up to date'}")
    return 0


def own_version() -> str:
    """Return the version that the sources state."""
    text = (HERE / "src" / NAME / "__init__.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    return str(version)


def build(version: str, output: Path, wheelhouse: Path | None = None, *, force: bool = False) -> tuple[Path, bool]:
    """Return the archive's path, and whether it had to be built; raises BuildError."""
    if not VERSION.fullmatch(version):
        raise BuildError(f"a version is digits and dots (seen: {version!r}). Remedy: write it as 1.0.1")
    output.mkdir(parents=True, exist_ok=True)
    archive = output / f"{NAME}-{version}.tar.gz"
    checksum, stamp = Path(f"{archive}.sha256"), output / f".{NAME}-{version}.stamp"
    wanted = source_digest(version)
    if not force and is_built(archive, checksum, stamp, wanted):
        return archive, False
    with tempfile.TemporaryDirectory(prefix=f"{NAME}-", dir=output) as work:
        content = assemble(version, Path(work), wheelhouse)
        digest = pack(content, Path(work) / "archive")
        stamp.unlink(missing_ok=True)
        (Path(work) / "archive").replace(archive)
        checksum.write_text(f"{digest}  {archive.name}\n")
        stamp.write_text(json.dumps({"sources": wanted, "archive": digest}) + "\n")
    return archive, True


def source_files() -> Iterator[Path]:
    """Yield what the release is made from."""
    yield from (HERE / name for name in SOURCES)
    yield from sorted((HERE / "src" / NAME).rglob("*.py"))


def source_digest(version: str) -> str:
    """Return the digest of everything that the archive depends on."""
    digest = hashlib.sha256(version.encode())
    for path in source_files():
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(HERE)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def is_built(archive: Path, checksum: Path, stamp: Path, wanted: str) -> bool:
    """Return whether the archive on disk is the one that these sources give."""
    try:
        noted = json.loads(stamp.read_text())
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        said = checksum.read_text().split()[0]
    except (OSError, ValueError, IndexError):
        return False
    return noted == {"sources": wanted, "archive": found} and said == found


def assemble(version: str, work: Path, wheelhouse: Path | None) -> dict[str, bytes]:
    """Return the archive's files by name: our wheel, the wheels it needs, and the requirements with all hashes."""
    wheels = work / "wheels"
    wheels.mkdir()
    lock = (HERE / "requirements.txt").read_text()
    needed = work / "needed.txt"
    needed.write_text("\n".join(without_markers(requirement) for requirement in for_hosts(lock)) + "\n")
    # Tags of "any" platform and no ABI: pip refuses what is not pure Python. It judges markers by the Python that
    # runs it, not by the one asked for, so the markers are left out here and judged again on the host.
    download(needed, wheels, wheelhouse, "--platform=any", "--abi=none", "--implementation=py")
    own = build_wheel(version, work, wheelhouse)
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    ours = f"{NAME.replace('_', '-')}=={version} --hash=sha256:{digest}"
    content = {f"wheels/{path.name}": path.read_bytes() for path in sorted(wheels.iterdir())}
    content[f"wheels/{own.name}"] = own.read_bytes()
    content["requirements.txt"] = "\n".join([ours, *for_hosts(lock), ""]).encode()
    return content


def for_hosts(lock: str) -> list[str]:
    """Return the lock's requirements, one a line, without those of Windows."""
    joined = re.sub(r"^\s*#.*\n", "", lock, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in joined.splitlines() if line.strip()]
    return [line for line in lines if "win32" not in line]


def without_markers(requirement: str) -> str:
    """Return `name==version --hash=…` of `name==version ; marker --hash=…`."""
    name, _, rest = requirement.partition(" ")
    return " ".join([name, *(word for word in rest.split() if word.startswith("--hash="))])


def build_wheel(version: str, work: Path, wheelhouse: Path | None) -> Path:
    """Build our own wheel from a copy of the sources that states `version`; returns its path."""
    tools, tree, out = work / "tools", work / "tree", work / "own"
    tools.mkdir()
    download(HERE / "build-requirements.txt", tools, wheelhouse)
    for path in source_files():
        copy = tree / path.relative_to(HERE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        copy.chmod(0o644)
    first = tree / "src" / NAME / "__init__.py"
    first.write_text(first.read_text().replace(f'"{own_version()}"', f'"{version}"'))
    for path in tools.glob("*.whl"):
        with zipfile.ZipFile(path) as packed:
            packed.extractall(tools)  # its hash is locked  # noqa: S202
    options = ("wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={out}", str(tree))
    pip(*options, PYTHONPATH=str(tools), SOURCE_DATE_EPOCH=str(EPOCH))
    (wheel,) = out.glob("*.whl")
    return wheel


def download(requirements: Path, target: Path, wheelhouse: Path | None, *tags: str) -> None:
    """Fetch the wheels that a locked list names, none besides, and only with the hashes it states."""
    source = ("--no-index", f"--find-links={wheelhouse}") if wheelhouse else ()
    wanted = ("--no-deps", "--require-hashes", "--only-binary=:all:", f"--python-version={OLDEST_PYTHON}")
    pip("download", "--quiet", *wanted, *tags, *source, f"--dest={target}", f"--requirement={requirements}")


def pip(*arguments: str, **environment: str) -> None:
    """Run pip of this Python; raises BuildError with its last words."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = "\n".join((done.stderr or done.stdout).strip().splitlines()[-15:])
        remedy = "a package index must be reachable, or --wheelhouse name a directory that has the wheels"
        raise BuildError(f"pip {arguments[0]} failed:\n{words}\nRemedy: {remedy}")


def pack(content: dict[str, bytes], target: Path) -> str:
    """Write the archive: sorted, one time, no owner; return its SHA-256."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        directory = tarfile.TarInfo("wheels")
        directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o755, EPOCH
        tar.addfile(directory)
        for name in sorted(content):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(content[name]), 0o644, EPOCH
            tar.addfile(member, io.BytesIO(content[name]))
    packed = gzip.compress(plain.getvalue(), mtime=0)
    target.write_bytes(packed)
    return hashlib.sha256(packed).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
