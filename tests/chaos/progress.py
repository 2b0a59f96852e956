"""Whether counts move."""

import asyncio
import time
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

import shared.redis
from shared.streams import EntryId
from tests.chaos.world import SHARDS

HEALED_SECONDS = 30.0
"""How long truycap may take to count again after a fault."""


async def recovered(redis_url: str) -> float:
    """Seconds until every shard has counted something that came after now."""
    began, now = time.monotonic(), time.time() * 1000
    redis = shared.redis.client(redis_url, timeout=2.0)
    counted: dict[int, int] = {}
    behind = set(range(SHARDS))
    try:
        while behind:
            assert time.monotonic() - began < HEALED_SECONDS, f"shards {behind} do not count again"
            with suppress(RedisError, OSError):
                for shard in list(behind):
                    fields: Any = await redis.hmget(f"{{{shard}}}:delivery", ["counted", "applied"])
                    total, applied = int(fields[0] or 0), EntryId.parse(fields[1] or b"0-0")
                    # Counted as well: the suite's own poison moves the position alone.
                    if total > counted.setdefault(shard, total) and applied.ms > now:
                        behind.discard(shard)
            await asyncio.sleep(0.05)
    finally:
        await redis.aclose()
    return time.monotonic() - began
