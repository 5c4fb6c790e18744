# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`market_api.worker:app` is the tick worker as the environment describes it, for any ASGI server."""

from market_api import ticks
from market_api.startup import settings_or_exit

app = ticks.create_app(settings_or_exit())
