"""Runs `ansible-test sanity` on a copy of the project laid out the way that it wants.

ansible-test needs a git checkout at ansible_collections/steelyard/stack, so the files that git knows (and those it
would take) are copied to .build/sanity and committed there. Its own home is under the user's cache directory (or
STEELYARD_CACHE), because its virtual environments take a minute to make. What it would download to bootstrap pip is
replaced by two lines that use the pip that comes with Python.

Without `--always`, files that passed here before, byte for byte, with the same ansible-core and Python, are not
checked again, and that is said.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / ".build" / "sanity" / "ansible_collections" / "steelyard" / "stack"
CACHE = Path(os.environ.get("STEELYARD_CACHE") or Path.home() / ".cache" / "steelyard")
# What sanity looks at; other files of the project have checks of their own.
CHECKED = ("plugins/", "meta/", "galaxy.yml", "tests/config.yml", "tests/sanity/", "roles/", "playbooks/", "README.md")
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
# yamllint and shellcheck have a part of their own with the project's settings, for all files.
SKIPPED = ("yamllint", "shellcheck")
BOOTSTRAP = "import ensurepip\nensurepip.bootstrap(upgrade=True, default_pip=True)\n"


def git(*words: str, cwd: Path = ROOT) -> str:
    """What git answers."""
    settings = ("-c", "user.name=sanity", "-c", "user.email=sanity@localhost", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *settings, *words], cwd=cwd, check=True, capture_output=True, text=True).stdout


def checked_files() -> list[str]:
    """The files that sanity looks at, committed or not; no plugin among them is a failure."""
    names = git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    found = sorted(name for name in names if name.startswith(CHECKED) and (ROOT / name).is_file())
    if not any(name.startswith("plugins/modules/") for name in found):
        raise SystemExit("sanity: no module found in plugins/modules")
    return found


def fingerprint(names: list[str]) -> str:
    """What a result holds for: these bytes, this ansible-core, this Python, these settings."""
    state = hashlib.sha256()
    state.update(f"{version('ansible-core')} {PYTHON} {SKIPPED}\n".encode())
    for name in names:
        state.update(f"{name}\0".encode() + hashlib.sha256((ROOT / name).read_bytes()).digest())
    return state.hexdigest()[:32]


def make_copy(names: list[str]) -> None:
    """A git checkout of just these files."""
    shutil.rmtree(COPY, ignore_errors=True)
    for name in names:
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    (COPY / ".gitignore").write_text("/tests/output/\n__pycache__/\n")
    git("init", "--quiet", cwd=COPY)
    git("add", "--all", cwd=COPY)
    git("commit", "--quiet", "--message", "copy", cwd=COPY)


def home() -> Path:
    """A home directory for ansible-test, with its pip bootstrap and the user's own pip settings."""
    place = CACHE / "ansible-test"
    scripts = place / ".ansible" / "test" / "cache"
    scripts.mkdir(parents=True, exist_ok=True)
    for release in pip_releases():
        (scripts / f"get_pip_{release.replace('.', '_')}.py").write_text(BOOTSTRAP)
    for name in (".config/pip", ".pip", ".cache/pip"):
        theirs, ours = Path.home() / name, place / name
        if theirs.exists() and not ours.is_symlink():
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(theirs)
    return place


def pip_releases() -> list[str]:
    """The pip releases that this ansible-test bootstraps, by its own code."""
    import ansible_test

    source = Path(next(iter(ansible_test.__path__))) / "_internal" / "python_requirements.py"
    found = re.findall(r"\bpip='(\d+(?:\.\d+)+)'", source.read_text())
    if not found:
        raise SystemExit("sanity: ansible-test no longer says which pip it bootstraps; look into its requirements")
    return sorted(set(found))


def run() -> int:
    """The exit status of ansible-test."""
    place = home()
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve().parent
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    environment |= {"HOME": str(place), "PATH": f"{base}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    program = str(Path(sys.executable).parent / "ansible-test")
    argv = [program, "sanity", "--venv", "--python", PYTHON, "--color", "no"]
    for name in SKIPPED:
        argv += ["--skip-test", name]
    return subprocess.run(argv, cwd=COPY, env=environment, stdin=subprocess.DEVNULL, check=False).returncode


def main() -> int:
    """Check, unless these very files have passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--always", action="store_true", help="also when these files have passed before")
    always = parser.parse_args().always
    names = checked_files()
    passed = CACHE / "sanity-passed" / fingerprint(names)
    if passed.exists() and not always:
        print(f"not run again: these {len(names)} files passed on this machine before")
        return 0
    make_copy(names)
    status = run()
    if status == 0:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()
        print(f"{len(names)} files passed")
    return status


if __name__ == "__main__":
    sys.exit(main())
