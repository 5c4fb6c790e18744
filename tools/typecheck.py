"""Runs mypy, strict, over the plugins and the command, under the one name each module is imported by.

The plugins are `ansible_collections.steelyard.stack.plugins…`; a link in the virtual environment gives mypy that
name (pyproject.toml has the rest of the settings). Two runs: what travels to managed hosts is checked as their
oldest Python, 3.10, the rest as the control machine's, 3.11.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TYPES = ROOT / ".venv" / "types"
STACK = "ansible_collections.steelyard.stack.plugins"
RUNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("3.10", ("module_utils", "modules")),
    ("3.11", ("plugin_utils", "action", "lookup", "filter", "callback", "steelyard", "tools", "support")),
)
# Folders outside plugins/, each with the folder its modules are imported from.
OUTSIDE = {"steelyard": ROOT, "tools": ROOT / "tools", "support": ROOT / "tests"}


def modules_of(folder: str) -> list[str]:
    """The importable names of all Python files of a folder of plugins/, or of one outside it."""
    if folder in OUTSIDE:
        start, base = "", OUTSIDE[folder]
        paths = (base if base.name == folder else base / folder).rglob("*.py")
    else:
        start, base = f"{STACK}.", ROOT / "plugins"
        paths = (base / folder).rglob("*.py")
    names = []
    for path in sorted(paths):
        parts = path.relative_to(base).with_suffix("").parts
        names.append(start + ".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def run(version: str, folders: tuple[str, ...]) -> int:
    """The exit status of mypy over these folders; no module at all is a failure."""
    names = [name for folder in folders for name in modules_of(folder)]
    if not names:
        print(f"typecheck: no module found in {', '.join(folders)}")
        return 1
    argv = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), "--python-version", version]
    # Without a cache: it is quick, and modules that come and go leave stale answers in one.
    argv += ["--cache-dir", os.devnull]
    for name in names:
        argv += ["-m", name]
    path = [TYPES, *sorted({*OUTSIDE.values()} - {ROOT})]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, path))}
    print(f"typecheck: {len(names)} modules as Python {version}", flush=True)
    return subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """Both runs, the worse of their exit statuses."""
    if not (TYPES / "ansible_collections").exists():
        print("typecheck: the link for the type checker is missing; make it: tools/setup.sh venv")
        return 1
    return max(run(version, folders) for version, folders in RUNS)


if __name__ == "__main__":
    sys.exit(main())
