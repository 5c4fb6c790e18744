# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a process begins: settings or a plain refusal, and a logger."""

from __future__ import annotations

import logging
import os
import sys

from market_api.settings import Settings, SettingsError


def settings_or_exit() -> Settings:
    """Return the settings of this process's environment; ends the process, saying why, when they cannot be used."""
    try:
        settings = Settings.from_env(os.environ)
    except SettingsError as err:
        sys.exit(f"market_api cannot start:\n{err}")
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx", "httpcore"):  # they say every request of every poll
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return settings
