"""Recent ids as a session finds them in the store, with a real Redis and the real ClickHouse engine."""

from redis.asyncio import Redis

from services.counter.resent import LATE_MS, RECENT_MS, RecentIds
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.events import StreamEvent
from shared.streams import delivery_key, encode_entry, events_key
from tests.support.counting import HANOI, counting, differences, event_id, pageview, settings, until_counted
from tests.support.servers import RedisServer


async def accept(redis: Redis, at: int, event: StreamEvent) -> None:
    """An entry that was written at a time of our choice, in ms."""
    await redis.xadd(events_key(0), encode_entry([event])._asdict(), id=f"{at}-0")  # type: ignore[arg-type]
    await redis.hincrby(delivery_key(0), "accepted", 1)


async def test_a_batch_that_is_earlier_than_what_was_applied_finds_the_ids_before_it(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    """Two consumers' pending batches may be interlaced: one is applied, and its end is later than the other's begin."""
    now = wall_clock_ms()
    await accept(redis, now, pageview(id=event_id(1)))
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    await redis.hset(delivery_key(0), "applied", f"{now + 2 * RECENT_MS}-0")
    await accept(redis, now + RECENT_MS, pageview(id=event_id(1)))
    await accept(redis, now + RECENT_MS + 1, pageview(id=event_id(2)))
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.rejected) == (2, {"duplicate": 1})
    assert await differences(redis, migrated) == []


async def test_what_is_found_in_the_store_is_what_is_remembered(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    now = wall_clock_ms()
    await accept(redis, now - RECENT_MS - 1, pageview(id=event_id(1), time=now - RECENT_MS))
    await accept(redis, now - RECENT_MS, pageview(id=event_id(2), time=now - RECENT_MS))
    await accept(redis, now - 1, pageview(id=event_id(3), time=now - 1 - LATE_MS))
    await accept(redis, now, pageview(id=event_id(4), time=now - 1 - LATE_MS))
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    recent = await RecentIds.load(redis, migrated, 0)
    assert sorted(recent._new[HANOI.id]) == [event_id(2), event_id(3)]
