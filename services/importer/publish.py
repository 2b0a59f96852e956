"""Imported events onto the stream, at the pace at which they are counted."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

from shared.events import StreamEvent
from shared.streams import append, events_key

MOST_WAITING = 20
"""Entries that may wait on the stream before the import waits: live events share the way."""
_PAUSE_SECONDS = 0.05


async def publish(redis: "Redis", shard: int, events: Sequence[StreamEvent]) -> None:
    """Put events on the stream, on disk when this returns."""
    while await redis.xlen(events_key(shard)) > MOST_WAITING:
        await asyncio.sleep(_PAUSE_SECONDS)
    if events:
        await append(redis, shard, events)
