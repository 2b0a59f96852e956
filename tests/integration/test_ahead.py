"""How many entries make a batch, with a real Redis and the real ClickHouse engine."""

import asyncio
from itertools import islice
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from services.counter import ahead
from services.counter.ahead import (
    FRESH_SECONDS,
    LEAST_ENTRIES,
    MOST_ENTRIES,
    MOST_EVENTS,
    Ahead,
    AheadSub,
    look_ahead,
)
from services.counter.batch import Batch
from services.counter.consume import BatchCounter
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.streams import GROUP, MAX_ENTRY_EVENTS, delivery_key, encode_entry, ensure_group, events_key
from tests.support.counting import counting, pageview, settings, until_counted
from tests.support.servers import RedisServer


async def add(redis: "Redis", entries: int, events: object) -> None:
    """So many entries that say to hold so many events each."""
    async with redis.pipeline(transaction=False) as pipe:
        for _ in range(entries):
            pipe.xadd(events_key(0), {"v": 1, "n": str(events), "events": b""})
        await pipe.execute()


@pytest.mark.parametrize(
    ("entries", "events", "expected"),
    [
        (0, 0, Ahead(LEAST_ENTRIES, full=False)),
        (LEAST_ENTRIES, MAX_ENTRY_EVENTS, Ahead(LEAST_ENTRIES, full=False)),
        (LEAST_ENTRIES + 1, MAX_ENTRY_EVENTS, Ahead(LEAST_ENTRIES, full=True)),
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
    await redis.xreadgroup(GROUP, "counter-1", {events_key(0): ">"}, count=280)
    await add(redis, 150, 1)
    assert await look_ahead(redis, 0) == Ahead(170, full=False)


@pytest.mark.parametrize(
    ("said", "events"), [("many", 1), ("-9999999", 1), ("nan", 1), ("0x99", 1), ("", 1), ("9999999", MAX_ENTRY_EVENTS)]
)
async def test_an_entry_has_as_many_events_as_its_decoder_would_say(redis: Redis, said: str, events: int) -> None:
    await ensure_group(redis, 0)
    await add(redis, LEAST_ENTRIES, said)
    await add(redis, 1, 500)
    for enough, full in ((LEAST_ENTRIES * events + 500, False), (LEAST_ENTRIES * events + 499, True)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ahead, "MOST_EVENTS", enough)
            assert await look_ahead(redis, 0) == Ahead(LEAST_ENTRIES + (not full), full=full)


async def test_a_stream_without_the_group_is_said_so(redis: Redis) -> None:
    await redis.xadd(events_key(0), {"n": 1})
    await redis.xgroup_create(events_key(0), "another")
    with pytest.raises(ResponseError, match="NOGROUP"):
        await look_ahead(redis, 0)
    await ensure_group(redis, 0)
    assert await look_ahead(redis, 0) == Ahead(LEAST_ENTRIES, full=False)


def test_what_was_looked_at_is_read_once_and_soon() -> None:
    now = 0.0
    stream = AheadSub(0, "counter-1", polling_interval=1000, clock=lambda: now)
    assert stream.max_records == LEAST_ENTRIES
    stream.allow(Ahead(3000, full=False))
    assert [stream.add_prefix("").max_records for _ in range(2)] == [3000, LEAST_ENTRIES]
    stream.allow(Ahead(3000, full=False))
    now = FRESH_SECONDS
    assert stream.max_records == LEAST_ENTRIES


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """What is counted."""
    counted: list[Batch] = []
    count = BatchCounter.count

    async def noted(self: BatchCounter, batch: Batch, *arguments: Any) -> None:
        counted.append(batch)
        await count(self, batch, *arguments)

    monkeypatch.setattr(BatchCounter, "count", noted)
    # A busy machine may take longer from the look to the read, which then takes few entries.
    monkeypatch.setattr(ahead, "FRESH_SECONDS", 60.0)
    return counted


async def accept(redis: "Redis", entries: int, events: int = 1) -> None:
    """Entries as ingest would write them."""
    numbers = iter(range(entries * events))
    async with redis.pipeline(transaction=False) as pipe:
        for _ in range(entries):
            views = [pageview(visitor=number) for number in islice(numbers, events)]
            fields: dict[Any, Any] = encode_entry(views)._asdict()
            pipe.xadd(events_key(0), fields)
        pipe.hincrby(delivery_key(0), "accepted", entries * events)
        await pipe.execute()


@pytest.mark.parametrize("most", [MOST_EVENTS, 150], ids=["in one batch", "in several, one behind the other"])
async def test_a_backlog_of_small_entries_is_counted_in_few_batches(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[Batch],
    most: int,
) -> None:
    monkeypatch.setattr(ahead, "MOST_EVENTS", most)
    await accept(redis, 1000)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert (await read_delivery(redis, 0)).counted == 1000
    assert len(batches) == -(-1000 // most)


async def test_each_batch_is_as_large_as_what_waits_then(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[Batch],
) -> None:
    """Nothing at first; then small entries, more than are read unseen; then large ones."""
    monkeypatch.setattr(ahead, "LEAST_ENTRIES", 10)
    monkeypatch.setattr(ahead, "MOST_EVENTS", 1500)
    async with counting(settings(redis_server.url, dsn)):
        await accept(redis, 1)
        await until_counted(redis)
        for entries, events, most in [(1000, 1, 4), (60, 100, 7)]:
            before = len(batches)
            await accept(redis, entries, events)
            await until_counted(redis)
            sizes = [batch.size for batch in batches[before:]]
            assert sum(sizes) == entries * events
            assert len(sizes) <= most
            assert max(sizes) <= 1500
    assert (await read_delivery(redis, 0)).counted == 7001


async def test_a_steady_flow_of_small_entries_does_not_queue_up(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, batches: list[Batch]
) -> None:
    async with counting(settings(redis_server.url, dsn)):
        for _ in range(30):
            await accept(redis, 150)
            await asyncio.sleep(0.1)
        assert await redis.xlen(events_key(0)) < 2000
        await until_counted(redis)
    assert max(len(batch.entries) for batch in batches) > LEAST_ENTRIES
