"""What is said in more than one place is said alike, and the project's text speaks of the project alone."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
GALAXY = yaml.safe_load((ROOT / "galaxy.yml").read_text())
CODE_LINES = 400
LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)==(\S+)")


def requirements(name: str) -> set[str]:
    """The requirements that a file states, without comments and includes."""
    lines = (ROOT / "requirements" / name).read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith(("#", "-r", "-c"))}


def locked(name: str) -> dict[str, str]:
    """Each package of a lock with its version."""
    found = (LOCKED.match(line) for line in (ROOT / "requirements" / name).read_text().splitlines())
    return {match[1]: match[2] for match in found if match}


def files() -> list[Path]:
    """Every text file of the project that git knows or would take."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in sorted(names) if name and (ROOT / name).is_file()]


def test_versions_agree() -> None:
    """One version for the command and the collection."""
    assert PROJECT["version"] == GALAXY["version"]


def test_license_is_one() -> None:
    """The same licence wherever it is named."""
    assert [PROJECT["license"]] == GALAXY["license"]


def test_dependencies_agree() -> None:
    """What pip is told is what the lock is made from."""
    assert set(PROJECT["dependencies"]) == requirements("control.in")


def test_locks_agree() -> None:
    """The development lock holds the very versions of the control machine's."""
    control, dev = locked("control.txt"), locked("dev.txt")
    assert len(control) > 10
    assert {name: dev.get(name) for name in control} == control


@pytest.mark.parametrize("name", ["control.txt", "dev.txt"])
def test_locks_have_hashes_and_no_address(name: str) -> None:
    """Every package by hash; where packages come from is each machine's own affair."""
    text = (ROOT / "requirements" / name).read_text()
    assert len(locked(name)) <= text.count("--hash=sha256:")
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]:
        assert "--hash=sha256:" in entry, entry.splitlines()[0]
    assert "://" not in text


def test_files_are_not_too_long() -> None:
    """Python files under 400 lines: past that a file is split."""
    ours = ("plugins", "steelyard", "tools", "tests", "examples", "molecule")
    python = [path for path in files() if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ours]
    assert len(python) > 10
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in python}
    assert {name: lines for name, lines in long.items() if lines >= CODE_LINES} == {}


def test_no_package_below_tests() -> None:
    """A package there would shadow the library that it is named after."""
    assert [p for p in files() if p.name == "__init__.py" and p.relative_to(ROOT).parts[0] == "tests"] == []


def test_every_plugin_names_its_licence() -> None:
    """In the first lines, as Ansible's own checks want it."""
    plugins = [p for p in files() if p.suffix == ".py" and p.relative_to(ROOT).parts[0] == "plugins"]
    assert plugins
    lacking = [
        p for p in plugins if "GNU General Public License v3.0+" not in "".join(p.read_text().splitlines(True)[:4])
    ]
    assert lacking == []
