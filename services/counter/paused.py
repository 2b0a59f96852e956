"""Counting, paused on all shards: for what needs both stores to stand still. Ingest goes on meanwhile."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis

from services.counter.ensure import inserts_done
from services.counter.lease import Lease, taken_over
from shared.clickhouse import Queries

_SETTLE_SECONDS = 0.5


class Pause:
    """All shards are ours: from the first moment on nothing is applied to Redis, and ClickHouse settles soon after."""

    def __init__(self, redis: "Redis", store: Queries, epochs: list[int]) -> None:
        self._redis = redis
        self._store = store
        self._epochs = epochs
        self._settles_at = time.monotonic() + _SETTLE_SECONDS

    async def guard(self) -> None:
        """FencedError where a shard was taken from us."""
        for shard, epoch in enumerate(self._epochs):
            await Lease(self._redis, shard).renew(epoch)

    async def settle(self) -> None:
        """Wait until nothing is being inserted: a counter may have begun to while it had its shard."""
        await asyncio.sleep(self._settles_at - time.monotonic())
        await inserts_done(self._store)
        await self.guard()


@asynccontextmanager
async def paused(redis: "Redis", store: Queries, shards: int, *, restoring: bool = False) -> AsyncIterator[Pause]:
    """Have all shards meanwhile; afterwards the counters come back by themselves. restoring: see `taken_over`."""
    async with AsyncExitStack() as stack:
        epochs = [
            await stack.enter_async_context(taken_over(redis, shard, restoring=restoring)) for shard in range(shards)
        ]
        yield Pause(redis, store, epochs)
