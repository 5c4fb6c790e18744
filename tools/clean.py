"""Removes the labs of this checkout, what was built here and what tests left behind.

Keeps .venv, the base images and the package caches, which cost minutes to make: `make distclean` removes .venv too,
`steelyard lab down INVENTORY --cache` the caches.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKER = ".steelyard-lab.json"
PLACES = (".build", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".hypothesis", ".ansible", "tests/output")
KEPT = (".venv", ".git", ".lab")


def labs() -> list[tuple[str, str]]:
    """The name and the inventory of each lab that was made from this checkout."""
    markers = sorted((ROOT / ".lab").glob(f"*/{MARKER}"))
    found = [json.loads(marker.read_text()) for marker in markers]
    return [(str(one["lab"]), str(one["inventory"])) for one in found]


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def main() -> int:
    """Labs first, because their overlays say what they are; a lab that stays up keeps its overlay."""
    still_up = []
    for name, inventory in labs():
        argv = [str(Path(sys.executable).parent / "steelyard"), "lab", "down", inventory, "--name", name]
        if subprocess.run(argv, cwd=ROOT, check=False).returncode:
            still_up.append(name)
    for place in (".lab/demo.log", *PLACES, *(path.name for path in ROOT.glob("steelyard-stack-*.tar.gz"))):
        remove(ROOT / place)
    for top in ROOT.iterdir():
        if top.is_dir() and top.name not in KEPT:
            for cache in sorted(top.rglob("__pycache__")):
                remove(cache)
    if still_up:
        print(f"clean: still up, see above: {', '.join(still_up)}", file=sys.stderr)
    return 1 if still_up else 0


if __name__ == "__main__":
    sys.exit(main())
