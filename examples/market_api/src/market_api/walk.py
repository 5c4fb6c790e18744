# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Synthetic prices: a random walk that stays within bounds. Pure: the source of chance is handed in."""

from __future__ import annotations

import math
from random import Random

VOLATILITY = 0.0005  # standard deviation of one step, as a share of the price
REACH = 2.0  # a price stays within start / REACH and start * REACH


class Walk:
    """One symbol's price. Each step multiplies it by exp(normal(0, VOLATILITY)); at a bound it is turned back."""

    def __init__(self, start: float, random: Random) -> None:
        if not start > 0:
            raise ValueError("a walk starts above zero")
        self._start, self._random = start, random
        self._height = 0.0  # log(price / start)

    def step(self) -> float:
        """Return the next price, rounded to four decimals (but never to zero)."""
        height = self._height + self._random.gauss(0, VOLATILITY)
        limit = math.log(REACH)
        if abs(height) > limit:
            height = math.copysign(2 * limit, height) - height
        self._height = height
        return max(round(self._start * math.exp(height), 4), 0.0001)
