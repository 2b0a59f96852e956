"""Counting, paused on all shards: for what needs both stores to stand still. Ingest goes on meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio import Redis

from services.counter.ensure import inserts_done
from services.counter.lease import Lease, taken_over
from services.counter.store import Guard
from shared.clickhouse import Queries

_SETTLE_SECONDS = 0.5


@asynccontextmanager
async def paused(redis: "Redis", store: Queries, shards: int, *, restoring: bool = False) -> AsyncIterator[Guard]:
    """Have all shards alone meanwhile, and nothing is being inserted; afterwards the counters come back by themselves.

    The guard says whether that is still so: FencedError where a shard was taken from us. restoring: see `taken_over`.
    """
    async with AsyncExitStack() as stack:
        epochs = [
            await stack.enter_async_context(taken_over(redis, shard, restoring=restoring)) for shard in range(shards)
        ]

        async def guard() -> None:
            for shard, epoch in enumerate(epochs):
                await Lease(redis, shard).renew(epoch)

        # An insert that a counter began while it had its shard is waited for.
        await asyncio.sleep(_SETTLE_SECONDS)
        await inserts_done(store)
        await guard()
        yield guard
