"""How many entries make a batch, with a real Redis and the real ClickHouse engine."""

from typing import Any

import pytest
from redis.asyncio import Redis

from services.counter import ahead, consume
from services.counter.ahead import LEAST_ENTRIES, MOST_ENTRIES, MOST_EVENTS, Ahead, look_ahead
from services.counter.write import write_once
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.streams import GROUP, append, ensure_group, events_key
from tests.support.counting import counting, event_id, pageview, settings, until_counted
from tests.support.servers import RedisServer


async def add(redis: "Redis", entries: int, events: int) -> None:
    """So many entries that say to hold so many events each."""
    async with redis.pipeline(transaction=False) as pipe:
        for _ in range(entries):
            pipe.xadd(events_key(0), {"v": 1, "n": events, "events": b""})
        await pipe.execute()


async def read(redis: "Redis", entries: int) -> None:
    await redis.xreadgroup(GROUP, "counter-1", {events_key(0): ">"}, count=entries)


@pytest.mark.parametrize(
    ("entries", "events", "expected"),
    [
        (0, 0, Ahead(LEAST_ENTRIES, full=False)),
        (99, 500, Ahead(LEAST_ENTRIES, full=True)),
        (40, 500, Ahead(LEAST_ENTRIES, full=False)),
        (1000, 1, Ahead(1000, full=False)),
        (1000, 30, Ahead(MOST_EVENTS // 30, full=True)),
        (MOST_ENTRIES, 1, Ahead(MOST_ENTRIES, full=False)),
        (MOST_ENTRIES + 1, 1, Ahead(MOST_ENTRIES, full=True)),
    ],
)
async def test_a_batch_has_many_small_entries_or_few_large_ones(
    redis: Redis, entries: int, events: int, expected: Ahead
) -> None:
    await ensure_group(redis, 0)
    await add(redis, entries, events)
    assert await look_ahead(redis, 0) == expected


async def test_what_was_read_is_no_more_ahead(redis: Redis) -> None:
    await ensure_group(redis, 0)
    await add(redis, 300, 400)
    await read(redis, 280)
    await add(redis, 150, 1)
    assert await look_ahead(redis, 0) == Ahead(170, full=False)


async def test_an_entry_that_does_not_say_how_many_events_it_has_is_one(redis: Redis) -> None:
    await ensure_group(redis, 0)
    await redis.xadd(events_key(0), {"events": b""})
    await redis.xadd(events_key(0), {"n": "many"})
    await add(redis, LEAST_ENTRIES, 1)
    assert await look_ahead(redis, 0) == Ahead(LEAST_ENTRIES + 2, full=False)


@pytest.mark.parametrize("most", [MOST_EVENTS, 150], ids=["in one batch", "in several, one behind the other"])
async def test_a_backlog_of_small_entries_is_counted_in_few_batches(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    batches: list[str] = []

    async def counted(store: Any, token: str, *arguments: Any) -> bool:
        batches.append(token)
        return await write_once(store, token, *arguments)

    monkeypatch.setattr(consume, "write_once", counted)
    monkeypatch.setattr(ahead, "MOST_EVENTS", most)
    for number in range(1000):
        await append(redis, 0, [pageview(visitor=number, id=event_id(number))])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert (await read_delivery(redis, 0)).counted == 1000
    assert len(batches) == -(-1000 // most)
