"""Makes sure that the lab's base image exists: `tools/image.py [trixie|bookworm]…`; a second run costs nothing."""

from __future__ import annotations

import sys
import time

from ansible_collections.steelyard.stack.plugins.module_utils.errors import SteelyardError
from steelyard.lab import image, machines


def ensure(suite: str) -> None:
    """Build the image of a release unless it is there."""
    client = machines.connect()
    recipe = image.make_recipe(suite)
    if image.find(client, recipe):
        return
    print(
        f"setup: about to build the lab's image of {image.SUITE_NAMES[suite]} (mmdebstrap, about half a minute)",
        flush=True,
    )
    began = time.monotonic()
    image.build(client, recipe)
    print(f"setup: {recipe.tag} is ready after {time.monotonic() - began:.0f} s")


def main() -> int:
    """Every release named; the newest when none is."""
    try:
        for suite in sys.argv[1:] or [image.SUITES[0]]:
            ensure(suite)
    except SteelyardError as err:
        print(f"setup: {err}", file=sys.stderr)
        return err.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
