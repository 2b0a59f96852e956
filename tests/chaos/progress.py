"""Whether counts move."""

import asyncio
import time
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
    behind = set(range(SHARDS))
    try:
        while behind:
            assert time.monotonic() - began < HEALED_SECONDS, f"shards {behind} do not count again"
            try:
                for shard in list(behind):
                    applied: Any = await redis.hget(f"{{{shard}}}:delivery", "applied")
                    if applied and EntryId.parse(applied).ms > now:
                        behind.discard(shard)
            except (RedisError, OSError):
                pass
            await asyncio.sleep(0.05)
    finally:
        await redis.aclose()
    return time.monotonic() - began
