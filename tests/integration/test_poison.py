"""What cannot be counted: a ceiling for dead letters, and letters that come back, with real servers."""

from typing import Any

import pytest
from redis.asyncio import Redis

from services.counter import resent
from services.counter.ceiling import LETTER, DeadLetterCeilingError
from services.counter.dead_letters import letters, replay
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.events import StreamEvent
from shared.streams import append, dead_key, delivery_key, encode_entry, events_key
from tests.support.counting import (
    HANOI,
    counting,
    differences,
    event_id,
    pageview,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import RedisServer

WEEKS_MS = 20 * 86_400_000
CEILING = 10


async def poison(redis: Redis, entries: int, events: int = 3) -> None:
    """Entries that cannot be decoded, accepted as ingest accepts."""
    for _ in range(entries):
        await redis.xadd(events_key(0), {"v": 1, "n": events, "events": b"\xc1"})
        await redis.hincrby(delivery_key(0), "accepted", events)


async def level(redis: Redis) -> int:
    return int(await redis.hget(delivery_key(0), "dead_level") or 0)


async def dead_letter(redis: Redis, event: StreamEvent) -> None:
    """An accepted event that lies as a dead letter, as changes.delivery_changes writes it."""
    content: Any = encode_entry([event])._asdict()
    await redis.xadd(dead_key(0), {"reason": "unknown_site", "entry": "1-0", "number": 0, **content})
    for name in ("accepted", "dead"):
        await redis.hincrby(delivery_key(0), name, 1)


async def replay_all(redis: Redis) -> None:
    assert all([await replay(redis, 0, letter) async for letter in letters(redis, 0)])


async def test_a_stream_of_poison_stops_the_counter_and_loses_nothing(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await append(redis, 0, [pageview()])
    await poison(redis, CEILING + 1)
    chosen = settings(redis_server.url, dsn, dead_letter_ceiling=CEILING)
    for _ in range(2):  # the second finds the first one's batch pending
        async with counting(chosen) as counter:
            with pytest.raises(DeadLetterCeilingError, match=r"shard 0 has 11 dead letters with 33 events"):
                await counter.failed()
        delivery = await read_delivery(redis, 0)
        assert (delivery.counted, delivery.dead, delivery.waiting, delivery.balanced) == (0, 0, 34, True)
        assert await redis.xlen(dead_key(0)) == 0
        assert (await migrated.query("SELECT count() FROM events"))[0][0] == 0
    async with counting(settings(redis_server.url, dsn, dead_letter_ceiling=CEILING + 1)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (1, 33, True)
    assert await differences(redis, migrated) == []


async def test_poison_beside_good_events_is_dead_lettered_and_a_restart_forgets_none_of_it(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    chosen = settings(redis_server.url, dsn, dead_letter_ceiling=CEILING)
    for _ in range(2):
        await append(redis, 0, [pageview(visitor=number) for number in range(50)])
        await poison(redis, CEILING // 2)
        async with counting(chosen):
            await until_counted(redis)
    assert await level(redis) == CEILING * LETTER - 100
    await poison(redis, 2)
    async with counting(chosen) as counter:
        with pytest.raises(DeadLetterCeilingError):
            await counter.failed()
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.waiting) == (100, 30, 6)
    assert await differences(redis, migrated) == []


async def test_a_replayed_letter_that_dies_again_raises_the_level_no_further(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    chosen = settings(redis_server.url, dsn, dead_letter_ceiling=CEILING)
    await poison(redis, CEILING)
    for _ in range(3):
        async with counting(chosen):
            await until_counted(redis)
        assert await level(redis) == CEILING * LETTER
        assert await redis.xlen(dead_key(0)) == CEILING
        await replay_all(redis)
        assert await redis.xlen(dead_key(0)) == 0
    assert (await read_delivery(redis, 0)).balanced


async def test_letters_that_were_counted_after_all_are_no_credit_for_a_bad_deploy(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    for number in range(CEILING):
        await dead_letter(redis, pageview(visitor=number))
    await replay_all(redis)
    chosen = settings(redis_server.url, dsn, dead_letter_ceiling=CEILING)
    async with counting(chosen) as counter:
        await until_counted(redis)
        assert (await read_delivery(redis, 0)).counted == CEILING
        await poison(redis, CEILING + 1)
        with pytest.raises(DeadLetterCeilingError):
            await counter.failed()


@pytest.mark.parametrize("apart", [0, 3_600_000, -20 * 3_600_000], ids=["the same", "sent before", "sent after"])
async def test_a_letter_whose_event_was_counted_is_a_duplicate_weeks_later(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    apart: int,
) -> None:
    """apart: ms from the counted sending to the dead one, which may be the first of the two."""
    monkeypatch.setattr(resent, "RECENT_MS", -1)
    then = wall_clock_ms() - WEEKS_MS
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(id=event_id(1), time=then)])
        await until_counted(redis)
        for number in (1, 2):
            await dead_letter(redis, pageview(id=event_id(number), time=then + apart))
        await replay_all(redis)
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.rejected) == (2, 0, {"duplicate": 1})
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 2
    assert await differences(redis, migrated) == []


async def test_two_letters_of_one_event_are_counted_once(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resent, "RECENT_MS", -1)
    for attempt in (0, 1):
        await dead_letter(redis, pageview(id=event_id(1), attempt=attempt))
    async with counting(settings(redis_server.url, dsn)):
        async for letter in letters(redis, 0):
            await replay(redis, 0, letter)
            await until_counted(redis)
    assert (await read_delivery(redis, 0)).rejected == {"duplicate": 1}
    assert await differences(redis, migrated) == []
