"""How many examples the property tests try, and which.

Unless asked otherwise they are the same in every run and need no database, so that what decides whether a change lands
depends on nothing but the change. `STEELYARD_EXAMPLES=1000` asks each property for that many random ones, and
`--hypothesis-seed` for those of a seed.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

ASKED = int(os.environ.get("STEELYARD_EXAMPLES") or 0)
FIXED, RANDOM = "fixed", "random"


def examples(usual: int, share: int = 1) -> int:
    """Return how many examples a property tries; a slow one takes one in `share` of those asked for."""
    return max(10, ASKED // share) if ASKED else usual


def register_profiles() -> None:
    """Register both ways to choose examples. Every value that differs is stated: hypothesis has defaults for CI."""
    # No deadline, and generation may be slow: machines are shared, and a slow example says nothing about the code.
    patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
    settings.register_profile(FIXED, patient, derandomize=True, database=None)
    settings.register_profile(RANDOM, patient, derandomize=False, max_examples=examples(100))


def profile_of(config: pytest.Config) -> str:
    """Return the profile that a run asks for."""
    named = config.getoption("--hypothesis-profile")
    if named:
        return str(named)
    return RANDOM if ASKED or config.getoption("--hypothesis-seed") is not None else FIXED
