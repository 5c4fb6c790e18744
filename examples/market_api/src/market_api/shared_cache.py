# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The second level: what all instances know, in Redis. And word between them of what each must forget."""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import anyio
from redis.exceptions import TimeoutError as NoAnswer

from market_api.backing import PREFIX, PROBE_PAUSE, Away
from market_api.redis_errors import LIBRARY_ERRORS
from market_api.topology import close

if TYPE_CHECKING:
    from market_api.backing import Backing
    from market_api.ttls import Ttls

log = logging.getLogger(__name__)

# Part of every key: a release that writes values in another form counts on, and neither reads the other's.
FORM = 1
CHANNEL = f"{PREFIX}forget:{FORM}"
EVERYTHING = ("*",)
PING_AFTER, DEAD_AFTER = 1.0, 4.0  # seconds without a word on the channel
BATCH = 100  # so many writes get one more deadline

# Several instances write the same key. A value is `TIME TEXT`, and a later one is never replaced by an earlier one.
KEEP_NEWEST = """
local known = redis.call('GET', KEYS[1])
if known and (tonumber(string.match(known, '^%S+')) or 0) > tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[3])
return 1
"""


def name_of(key: str) -> str:
    """Return the name that a key has in Redis."""
    return f"{PREFIX}{FORM}:{key}"


class SharedCache:
    """Texts by key, each with the time that it is of. Every method raises Away where Redis does not do it in time."""

    def __init__(self, backing: Backing, ttls: Ttls) -> None:
        self._backing, self._ttls = backing, ttls
        self._seconds = backing.settings.cache_deadline
        self._me = secrets.token_hex(8)

    async def get(self, key: str) -> str | None:
        """Return what is known of a key."""
        found: bytes | None = await self._backing.read(lambda c: c.get(name_of(key)), self._seconds)
        return None if found is None else found.decode(errors="replace").partition(" ")[2]

    async def put(self, key: str, time: float, text: str, of: int = 1) -> bool:
        """Know it from now on; returns whether it is no older than what was known. `of` so many that are put at once."""
        lifetime = max(1, int(1000 * self._ttls.of(key)))
        words = (KEEP_NEWEST, 1, name_of(key), repr(time), text, lifetime)
        return bool(await self._backing.write(lambda c: c.eval(*words), self._seconds * (1 + of / BATCH)))

    async def tell(self, keys: Sequence[str]) -> None:
        """Tell other instances to forget these."""
        message = json.dumps({"from": self._me, "forget": list(keys)})
        await self._backing.write(lambda c: c.publish(CHANNEL, message), self._seconds)

    async def listen(self, forget: Callable[[Iterable[str]], None]) -> None:
        """Call `forget` with what other instances say, and with everything where they may not have been heard.

        Until cancelled.
        """
        while True:
            try:
                await self._hear(forget)
            except (Away, *LIBRARY_ERRORS) as err:
                log.debug("not heard: %s", err)
            forget(EVERYTHING)
            await anyio.sleep(PROBE_PAUSE)

    async def _hear(self, forget: Callable[[Iterable[str]], None]) -> None:
        client = await self._backing.clients.listener()
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(CHANNEL)
                heard = anyio.current_time()
                while True:
                    message = await channel.get_message(timeout=PING_AFTER)
                    if message is None:
                        if anyio.current_time() - heard > DEAD_AFTER:
                            raise NoAnswer("nothing was heard, not even an answer to a ping")
                        await channel.ping()
                        continue
                    heard = anyio.current_time()
                    if message["type"] == "subscribe":
                        forget(EVERYTHING)  # what was said before it is missed
                    elif message["type"] == "message":
                        forget(self._understood(message["data"]))
        finally:
            await close(client)

    def _understood(self, data: Any) -> Sequence[str]:
        """Return what a message says is to be forgotten: nothing of our own, everything where it makes no sense."""
        try:
            message = json.loads(data)
            keys = [str(key) for key in message["forget"]]
            return () if message["from"] == self._me else keys
        except (ValueError, TypeError, KeyError):
            return EVERYTHING
