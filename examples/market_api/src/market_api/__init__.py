# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small market-data service: quotes over HTTP and websocket, fed by tick workers."""

__version__ = "1.0.0"
