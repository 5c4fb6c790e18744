# Copyright (c) 2026 the Steelyard authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Clients of Redis for each way of running it. The library's own retries are off: `backing.py` alone tries again."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.cluster import PRIMARY, LoadBalancingStrategy

from market_api.redis_errors import LIBRARY_ERRORS
from market_api.redis_settings import CLUSTER, SENTINEL

if TYPE_CHECKING:
    from market_api.redis_settings import RedisSettings

Client: TypeAlias = Redis | RedisCluster  # both have the same commands
CLOSE_WITHIN = 2.0  # seconds
SPARE = 5  # connections beyond those that may be busy: one that is being closed still counts


@dataclass(frozen=True)
class Clients:
    """Who is asked: `writer` goes to primaries; `reader` to replicas where the settings say so, else it is the writer.

    `listener` makes a client of one server, for subscriptions. `renew` closes idle connections.
    """

    writer: Client
    reader: Client
    listener: Callable[[], Awaitable[Redis]]
    renew: Callable[[], Awaitable[None]]


@asynccontextmanager
async def clients(settings: RedisSettings) -> AsyncIterator[Clients]:
    """Lend the clients; nothing is connected before it is used."""
    async with AsyncExitStack() as stack:
        if settings.mode == CLUSTER:
            found = _cluster(settings)
        elif settings.mode == SENTINEL:
            found = _sentinel(settings, stack)
        else:
            found = _standalone(settings)
        for client in {id(one): one for one in (found.reader, found.writer)}.values():
            stack.push_async_callback(close, client)
        yield found


async def close(client: Client | Sentinel) -> None:
    """Close a client's connections; one that cannot be closed is left, and is no fault of ours."""
    with anyio.move_on_after(CLOSE_WITHIN, shield=True), suppress(*LIBRARY_ERRORS):
        await client.aclose()


def _options(settings: RedisSettings) -> dict[str, Any]:
    """Return what every connection is made with."""
    options: dict[str, Any] = {
        "username": settings.user or None,
        "password": settings.password or None,
        "socket_timeout": settings.timeout,
        "socket_connect_timeout": settings.timeout,
        "protocol": 2,
        "client_name": "market_api",
    }
    if settings.tls:
        options |= {"ssl": True, "ssl_ca_certs": settings.ca_file or None}
    return options


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _standalone(settings: RedisSettings) -> Clients:
    ((host, port),) = settings.nodes
    options = {"host": host, "port": port, "retry": _never(), **_options(settings)}
    client = Redis(max_connections=settings.connections + SPARE, **options)

    async def listener() -> Redis:
        return Redis(**options)

    async def renew() -> None:
        await client.connection_pool.disconnect(inuse_connections=False)

    return Clients(client, client, listener, renew)


def _sentinel(settings: RedisSettings, stack: AsyncExitStack) -> Clients:
    options = {"retry": _never(), **_options(settings)}
    # The servers' user is a user of the Sentinels, too: who may use the data may ask where it is.
    sentinel = Sentinel(settings.nodes, sentinel_kwargs=options, **options)
    stack.push_async_callback(close, sentinel)
    limit = settings.connections + SPARE
    writer = sentinel.master_for(settings.master, max_connections=limit)
    reader = sentinel.slave_for(settings.master, max_connections=limit) if settings.read_replicas else writer

    async def listener() -> Redis:
        client: Redis = sentinel.master_for(settings.master)
        return client

    async def renew() -> None:
        for client in (writer, reader):
            await client.connection_pool.disconnect(inuse_connections=False)

    return Clients(writer, reader, listener, renew)


def _cluster(settings: RedisSettings) -> Clients:
    options = _options(settings)

    def make(reads: LoadBalancingStrategy | None = None) -> _Cluster:
        return _Cluster(
            startup_nodes=[ClusterNode(host, port) for host, port in settings.nodes],
            load_balancing_strategy=reads,
            max_connections=settings.connections + SPARE,
            retry=_never(),
            # A MOVED tells of one slot, which is noted. Asking for all slots anew closes every connection, those of
            # other requests too; a connection that fails makes it happen anyway.
            reinitialize_steps=0,
            **options,
        )

    writer = make()
    reader = make(LoadBalancingStrategy.ROUND_ROBIN_REPLICAS) if settings.read_replicas else writer

    async def listener() -> Redis:
        await writer.initialize()
        node = random.choice(writer.get_nodes())  # a message goes to every node
        return Redis(host=node.host, port=int(node.port), retry=_never(), **options)

    async def renew() -> None:
        for client in (writer, reader):
            for node in client.get_nodes():
                await node.disconnect_free_connections()

    return Clients(writer, reader, listener, renew)


class _Cluster(RedisCluster):
    """redis-py's client, which up to 8.1.0 has two faults when a slot is being moved:

    - an ASK that names a node it has not heard of yet, such as one that has just joined, ends in an AttributeError;
    - ASKING and the command that it is for go over two connections when several are open. The server then does not
      know that it was asked, and answers MOVED, back to where the key is not.

    It looks a node up by name for the sake of an ASK only, so that is where both are mended.
    """

    def get_node(self, host: str | None = None, port: int | None = None, node_name: str | None = None) -> Any:
        """Return a node that is known; by name any node, which then gets ASKING and the command in one go."""
        found = super().get_node(host, port, node_name)
        if node_name is None:
            return found
        if found is None:
            address, _, number = node_name.rpartition(":")
            new = ClusterNode(address, int(number), PRIMARY, **self.connection_kwargs)
            self.nodes_manager.set_nodes(self.nodes_manager.nodes_cache, {new.name: new})
            found = self.nodes_manager.nodes_cache[new.name]
        return _Asked(found)


class _Asked:
    """A node to which a key is being moved."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    async def execute_command(self, *words: Any, asking: bool = False, **options: Any) -> Any:  # noqa: ARG002
        """Hold ASKING back, and send it with the command that follows."""
        if words == ("ASKING",):
            return None
        connection = self._node.acquire_connection()
        try:
            await self._node.disconnect_if_needed(connection)
            await connection.send_packed_command(connection.pack_commands([("ASKING",), words]))
            try:
                await connection.read_response()
            except BaseException:
                await connection.disconnect(nowait=True)  # or the next user would read the second answer
                raise
            return await self._node.parse_response(connection, words[0], **options)
        finally:
            self._node.release(connection)
