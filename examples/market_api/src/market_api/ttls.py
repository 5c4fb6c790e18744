# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long each key is kept, by the pattern that it matches. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from market_api.reading import BadValue, seconds_of

DEFAULT_TTLS = "quotes:*=60s,sessions:*=1h,*=300s"
SHORTEST, LONGEST = 0.05, 30 * 86400.0
PATTERN = re.compile(r"[a-z0-9:_*-]{1,64}")


@dataclass(frozen=True)
class Ttls:
    """Seconds by pattern. The first pattern that a key matches decides; the last one, `*`, is for all others."""

    patterns: tuple[tuple[str, float], ...]

    def of(self, key: str) -> float:
        """Return the seconds that a key is kept."""
        return next(seconds for pattern, seconds in self.patterns if fnmatchcase(key, pattern))


def read_ttls(text: str) -> Ttls:
    """Return the table of `quotes:*=60s,*=300s`; raises BadValue."""
    found: dict[str, float] = {}
    for item in text.split(","):
        pattern, _, length = (part.strip() for part in item.partition("="))
        seconds = seconds_of(length)
        if not PATTERN.fullmatch(pattern) or pattern in found or not SHORTEST <= seconds <= LONGEST:
            rule = f"each pattern is named once, with {SHORTEST:g}s to {LONGEST / 3600:g}h ({item.strip()!r} is not)"
            raise BadValue(rule, f"write them as {DEFAULT_TTLS}")
        found[pattern] = seconds
    if list(found)[-1] != "*":
        raise BadValue("the last pattern is *, for every other key", f"write them as {DEFAULT_TTLS}")
    return Ttls(tuple(found.items()))
