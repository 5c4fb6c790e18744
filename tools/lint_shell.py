"""Runs shellcheck over every shell script that git knows or would take; finding none is a failure."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def tracked() -> list[Path]:
    """Every file of the project, committed or not, that git does not ignore."""
    argv = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def is_shell(path: Path) -> bool:
    """By its name, or by its first line; templates of scripts are not scripts yet."""
    if path.suffix in (".sh", ".bash"):
        return True
    if path.suffix:
        return False
    with path.open("rb") as file:
        first = file.readline(80)
    return first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh"))


def main() -> int:
    """The exit status of shellcheck."""
    scripts = sorted(str(path.relative_to(ROOT)) for path in tracked() if is_shell(path))
    if not scripts:
        print("shell: no script found")
        return 1
    if shutil.which("shellcheck") is None:
        print("shell: shellcheck is missing; install it: apt-get install shellcheck, or: tools/setup.sh tools")
        return 1
    status = subprocess.run(["shellcheck", *scripts], cwd=ROOT, check=False).returncode
    print(f"{len(scripts)} scripts")
    return status


if __name__ == "__main__":
    sys.exit(main())
