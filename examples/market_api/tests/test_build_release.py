# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The archive is what it says. Built once here, from the package index or from the wheels in MARKET_WHEELHOUSE."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import venv
from pathlib import Path

import pytest

BUILD = Path(__file__).parent.parent / "build_release.py"


def build(output: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    house = os.environ.get("MARKET_WHEELHOUSE")
    command = [sys.executable, str(BUILD), "--output", str(output), *arguments]
    command += ["--wheelhouse", house] if house and "--wheelhouse" not in arguments else []
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(name="place", scope="module")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("release")
    done = build(place, "--version", "1.0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("built")
    return place


def test_the_archive_holds_pure_wheels_and_their_hashes(place: Path) -> None:
    archive = place / "market_api-1.0.1.tar.gz"
    said, name = (place / "market_api-1.0.1.tar.gz.sha256").read_text().split()
    assert (said, name) == (hashlib.sha256(archive.read_bytes()).hexdigest(), archive.name)
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        requirements = tar.extractfile("requirements.txt").read().decode().splitlines()  # type: ignore[union-attr]
    names = [member.name for member in members]
    assert names[:2] == ["wheels", "requirements.txt"]
    assert names[2:] == sorted(names[2:])
    assert all(name.endswith("-none-any.whl") for name in names[2:])
    assert {(member.uid, member.gid, member.mtime) for member in members} == {(0, 0, 946684800)}
    assert requirements[0].startswith("market-api==1.0.1 --hash=sha256:")
    assert all("--hash=sha256:" in line for line in requirements)
    assert len(requirements) == len(names) - 2


def test_nothing_is_done_twice_and_the_same_sources_give_the_same_archive(place: Path) -> None:
    archive = place / "market_api-1.0.1.tar.gz"
    before = archive.read_bytes()
    assert "up to date" in build(place, "--version", "1.0.1").stdout
    assert "built" in build(place, "--version", "1.0.1", "--force").stdout
    assert archive.read_bytes() == before


def test_a_damaged_archive_is_built_again(place: Path) -> None:
    archive = place / "market_api-1.0.1.tar.gz"
    before = archive.read_bytes()
    archive.write_bytes(before[:-1])
    assert "built" in build(place, "--version", "1.0.1").stdout
    assert archive.read_bytes() == before


def test_it_installs_without_a_network_and_runs(place: Path, tmp_path: Path) -> None:
    with tarfile.open(place / "market_api-1.0.1.tar.gz") as tar:
        tar.extractall(tmp_path, filter="data")
    venv.EnvBuilder(with_pip=True).create(tmp_path / "venv")
    python = str(tmp_path / "venv" / "bin" / "python")
    bare = {"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": os.devnull}
    options = ["--no-index", "--find-links", "wheels", "--require-hashes", "-r", "requirements.txt"]
    command = [python, "-m", "pip", "install", "--quiet", *options]
    subprocess.run(command, cwd=tmp_path, env=bare, check=True, timeout=300)
    program = "import market_api.api, market_api.ticks; print(market_api.__version__)"
    done = subprocess.run([python, "-c", program], cwd=tmp_path, env=bare, capture_output=True, text=True, check=True)
    assert done.stdout == "1.0.1\n"


@pytest.mark.parametrize("version", ["v1", "1", "1.0/../x", ""])
def test_a_bad_version_is_refused(tmp_path: Path, version: str) -> None:
    done = build(tmp_path, "--version", version)
    assert done.returncode == 1
    assert "Remedy" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_wheelhouse_without_the_wheels_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = build(tmp_path / "out", "--wheelhouse", str(tmp_path / "empty"))
    assert done.returncode == 1
    assert "--wheelhouse" in done.stderr
    assert list((tmp_path / "out").iterdir()) == []
