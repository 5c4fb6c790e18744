# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The entry point of the `steelyard` command."""

from __future__ import annotations

import os
import sys


def find_collection() -> None:
    """Make the collection importable: from the virtual environment, else from where Ansible looks for collections.

    Ansible's loader has to come before the first import of `ansible_collections`.
    """
    part = os.path.join("ansible_collections", "steelyard", "stack", "plugins")
    if any(os.path.isdir(os.path.join(folder, part)) for folder in sys.path):
        return
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()


def main() -> None:
    """Run the command with this process's arguments and end with its exit code."""
    find_collection()
    from invoke import Collection

    from steelyard import __version__
    from steelyard.lab import tasks
    from steelyard.lab.lab import EXPECTED
    from steelyard.program import SteelyardProgram

    namespace = Collection()
    namespace.add_collection(tasks.namespace)
    SteelyardProgram(__version__, namespace, EXPECTED).run()


if __name__ == "__main__":
    main()
