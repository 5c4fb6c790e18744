"""Runs ansible-lint, profile production, over the project; .ansible-lint has its settings.

It makes syntax checks without an inventory, which ansible.cfg refuses for real runs, and must see the collections of
the virtual environment only, not what the user has installed. It never looks anything up on the network.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """The exit status of ansible-lint."""
    environment = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(ROOT / ".build" / "ansible-lint"),
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "false",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }
    argv = ["ansible-lint", "--offline", "--nocolor", "--format=pep8", *sys.argv[1:]]
    return subprocess.run(argv, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
