# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running several things at once, until the first of them ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio


async def until_first(*functions: Callable[[], Awaitable[object]]) -> None:
    """Run all, cancel the others when one returns. What they raise comes as an exception group."""
    async with anyio.create_task_group() as group:

        async def then_end_all(function: Callable[[], Awaitable[object]]) -> None:
            await function()
            group.cancel_scope.cancel()

        for function in functions:
            group.start_soon(then_end_all, function)
