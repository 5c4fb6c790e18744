"""Runs molecule's scenarios, one after the other, on one lab that they share: `tools/molecule.py [SCENARIO…]`.

STEELYARD_LAB_OS=bookworm takes Debian 12; STEELYARD_KEEP_LAB=1 leaves the machines running; STEELYARD_MOLECULE_LAB=mine
names the lab, where another run has its own on the same machine.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
# A second run on the same machine takes another name.
LAB = os.environ.setdefault("STEELYARD_MOLECULE_LAB", "molecule")
INVENTORY = ("molecule/inventory", "--name", LAB)


def run(*words: str) -> int:
    """Run a command from the project's root; returns its exit code."""
    print(f"$ {' '.join(words)}", flush=True)
    return subprocess.run(words, cwd=ROOT, check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1"}).returncode


def scenarios() -> list[str]:
    """Return the names of all scenarios; ends the program when there is none."""
    found = sorted(p.parent.name for p in (ROOT / "molecule").glob("*/molecule.yml"))
    if not found:
        raise SystemExit("molecule: no scenario was found")
    return found


def main(chosen: list[str]) -> int:
    """Return 0 when every scenario passed."""
    run(sys.executable, "examples/market_api/build_release.py")
    release = os.environ.get("STEELYARD_LAB_OS", "trixie")
    with tempfile.NamedTemporaryFile("w", suffix=".yml", delete=False) as also:
        yaml.safe_dump({"all": {"vars": {"lab_os": release}}}, also)
    up = run("steelyard", "lab", "up", *INVENTORY, "--also", also.name)
    Path(also.name).unlink()
    if up:
        return up
    failed = []
    try:
        failed = [s for s in chosen or scenarios() if run("molecule", "-c", "molecule/base.yml", "test", "-s", s)]
    finally:
        if not os.environ.get("STEELYARD_KEEP_LAB"):
            run("steelyard", "lab", "down", *INVENTORY)
    print(f"molecule on {release}: {'failed: ' + ', '.join(failed) if failed else 'every scenario passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
