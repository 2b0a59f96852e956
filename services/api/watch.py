"""What people on call watch, read from Redis every second into metrics: the delivery identity, backlog, memory.

Not by the counter, for it is when no counter runs that somebody must see what waits.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from shared import log, metrics
from shared.delivery import Delivery, glance_at_delivery
from shared.errors import described
from shared.streams import EntryId, dead_key, events_key

WATCH_SECONDS = 1.0

logger = log.get(__name__)


async def watch(redis: "Redis", shards: int, now_ms: Callable[[], int]) -> None:
    """Read and set, for ever. While Redis does not answer, what was read last stays."""
    outage = log.Outage(logger, "Redis cannot be watched; the last numbers stay", "Redis is watched again")
    while True:
        try:
            memory = await redis.info("memory")
            metrics.REDIS_MEMORY.labels("used").set(memory["used_memory"])
            metrics.REDIS_MEMORY.labels("limit").set(memory["maxmemory"])
            for shard in range(shards):
                await _backlog(redis, shard, now_ms)
                if delivery := await glance_at_delivery(redis, shard):
                    _identity(shard, delivery, now_ms())
        except Exception as error:  # of whatever kind: the next reading may succeed
            outage.failed(described(error))
        else:
            outage.over()
        await asyncio.sleep(WATCH_SECONDS)


async def _backlog(redis: "Redis", shard: int, now_ms: Callable[[], int]) -> None:
    async with redis.pipeline(transaction=False) as pipe:
        pipe.xlen(events_key(shard))
        pipe.xrange(events_key(shard), count=1)
        pipe.xlen(dead_key(shard))
        answers: list[Any] = await pipe.execute()
    waiting, oldest, dead = answers
    since = EntryId.parse(oldest[0][0]).ms if oldest else now_ms()
    metrics.WAITING_ENTRIES.labels(shard).set(waiting)
    metrics.OLDEST_WAITING.labels(shard).set(max(0, now_ms() - since) / 1000)
    metrics.DEAD_LETTERS.labels(shard).set(dead)


def _identity(shard: int, delivery: Delivery, now_ms: int) -> None:
    states = {
        "accepted": delivery.accepted,
        "counted": delivery.counted,
        "rejected": sum(delivery.rejected.values()),
        "dead_lettered": delivery.dead,
        "waiting": delivery.waiting,
    }
    for state, events in states.items():
        metrics.DELIVERY.labels(shard, state).set(events)
    metrics.DELIVERY_DIFFERENCE.labels(shard).set(delivery.difference)
    metrics.DELIVERY_CHECKED.labels(shard).set(now_ms / 1000)
