"""What other counters of a shard left pending: found, and formed into the same batches again.

A counter reads under a consumer name of its own epoch and never reads more before its batch is applied, or handed over
whole to another consumer that had nothing (overlap.py). So what is pending for a consumer *is* the batch it had; it is
counted where it lies, before anything that came later.
"""

from typing import Any

from redis.asyncio import Redis

from services.counter.batch import Batch
from shared import log
from shared.streams import GROUP, Entry, EntryId, events_key

_MANY = 1_000_000
_FORGET = """
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
return 1
"""

logger = log.get(__name__)


async def pending_consumers(redis: "Redis", shard: int) -> dict[str, int]:
    """How many entries are pending, by consumer; idle consumers with none among them."""
    consumers: list[dict[str, Any]] = await redis.xinfo_consumers(events_key(shard), GROUP)
    return {consumer["name"].decode(): int(consumer["pending"]) for consumer in consumers}


async def pending_batch(redis: "Redis", shard: int, consumer: str) -> Batch | None:
    """The batch that a consumer had, None where it had none."""
    stream = events_key(shard)
    pending: list[dict[str, Any]] = await redis.xpending_range(stream, GROUP, "-", "+", _MANY, consumer)
    if not pending:
        return None
    ids = {EntryId.parse(entry["message_id"]) for entry in pending}
    found: Any = await redis.xrange(stream, str(min(ids)), str(max(ids)))
    entries = [Entry(EntryId.parse(name), fields) for name, fields in found if EntryId.parse(name) in ids]
    if missing := ids - {entry.id for entry in entries}:
        logger.error("pending entries are gone from the stream", shard=shard, entries=[str(name) for name in missing])
        await redis.xack(stream, GROUP, *(str(name) for name in missing))
    return Batch(shard, entries, recovered=True) if entries else None


async def forget_consumer(redis: "Redis", shard: int, consumer: str) -> None:
    """Delete a consumer that has nothing pending; one that has just read something stays."""
    await redis.eval(_FORGET, 1, events_key(shard), GROUP, consumer)
