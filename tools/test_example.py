"""Runs the tests of examples/market_api in a virtual environment of their own, made from the example's locks.

They mostly wait (for servers to agree, for processes to stop), so several files run at a time. Those with real Redis
servers are skipped where no redis-server is found; `make servers` brings one, STEELYARD_REQUIRE_REDIS=1 fails them.

The example is an application that the collection deploys: what it needs is not what the collection needs, and the
two never share an environment. STEELYARD_NO_INSTALL=1 refuses to make it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "market_api"
LOCKS = (EXAMPLE / "requirements.txt", EXAMPLE / "test-requirements.txt")
PLACE = ROOT / ".build" / "example-venv"
STAMP = PLACE / "locks"


def prepare() -> Path:
    """The environment's interpreter, after making it when its locks have changed."""
    python = PLACE / "bin" / "python"
    state = hashlib.sha256(b"".join([sys.version.encode(), *(lock.read_bytes() for lock in LOCKS)])).hexdigest()
    if STAMP.is_file() and STAMP.read_text() == state and python.is_file():
        return python
    if os.environ.get("STEELYARD_NO_INSTALL") == "1":
        raise SystemExit(f"example: refused: {PLACE} is missing, and STEELYARD_NO_INSTALL=1 is set")
    print("example: about to install into .build/example-venv what the example's locks pin", flush=True)
    venv.EnvBuilder(clear=True, with_pip=True).create(PLACE)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    for lock in LOCKS:
        pip += ["-r", str(lock)]
    subprocess.run(pip, check=True)
    STAMP.write_text(state)
    return python


def main() -> int:
    """The exit status of the example's tests; finding none is pytest's own failure."""
    argv = [str(prepare()), "-m", "pytest", "-q", "-n", "3", "--dist", "loadfile", "tests", *sys.argv[1:]]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLE / "src")}
    return subprocess.run(argv, cwd=EXAMPLE, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
