"""How many entries make the next batch: of small ones many, for every batch has its price; of large ones few, for it
must fit into memory.

An entry is what one commit of ingest holds: one or two events where they come by the thousand a second, 500 of an
import.
"""

from typing import NamedTuple

from redis.asyncio import Redis

from shared.redis import script
from shared.streams import GROUP, events_key

LEAST_ENTRIES = 100
"""So many may be read unseen; with MAX_ENTRY_EVENTS it bounds the events in memory and in one apply script."""
MOST_ENTRIES = 5_000
"""Lua unpacks fewer than 8,000 words."""
MOST_EVENTS = 20_000

_SCRIPT = script("services.counter", "ahead.lua")


class Ahead(NamedTuple):
    """The next batch: how many entries to read at most; full: whether others wait behind it."""

    entries: int
    full: bool


async def look_ahead(redis: "Redis", shard: int) -> Ahead:
    """What may be read next."""
    entries, more = await redis.eval(_SCRIPT, 1, events_key(shard), GROUP, MOST_EVENTS, MOST_ENTRIES)
    return Ahead(max(entries, LEAST_ENTRIES), bool(more))
