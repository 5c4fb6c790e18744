# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""`market_api.main:app` is the API as the environment describes it, for any ASGI server."""

from market_api import api
from market_api.startup import settings_or_exit

app = api.create_app(settings_or_exit())
