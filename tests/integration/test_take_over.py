"""Batches that a counter takes over after another has inserted some of it, all of it, or other rows."""

from collections.abc import Iterable
from io import StringIO
from typing import Any

import pytest
from redis.asyncio import Redis
from rich.console import Console

from services.commands.dead_letters import replay_letters
from services.counter import take_over
from services.counter.batch import Batch
from services.counter.delivery import read_delivery
from services.counter.recover import pending_batch
from services.counter.rows import Row
from services.counter.store import PatientStore
from services.counter.write import write
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.events import StreamEvent
from shared.sites import Sites
from shared.streams import GROUP, append, dead_key, ensure_group, events_key
from tests.support.batches import compute, view
from tests.support.counting import (
    HANOI,
    KOLKATA,
    NEW_YORK,
    SITES,
    counting,
    differences,
    pageview,
    rating,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import RedisServer

WINDOW = 3


async def left_by_a_dead_counter(redis: Redis, events: Iterable[StreamEvent]) -> Batch:
    """The batch of a counter that read these events, an entry each, and died."""
    await ensure_group(redis, 0)
    for event in events:
        await append(redis, 0, [event])
    await redis.xreadgroup(GROUP, "counter-dead", {events_key(0): ">"})
    batch = await pending_batch(redis, 0, "counter-dead")
    assert batch
    return batch


async def insert(store: ClickHouse, token: str, rows: list[Row]) -> None:
    async def guard() -> None:
        pass

    await write(PatientStore(store, 0), token, rows, guard)


async def small_window(store: ClickHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(take_over, "DEDUPLICATION_WINDOW", WINDOW)
    for table in ("events", "traffic_hourly", "breakdown_daily", "items"):
        await store.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {WINDOW}")


async def inserts_of_another_shard(store: ClickHouse) -> None:
    for number in range(WINDOW + 1):
        (row,) = compute([view(site="kolkata")]).rows
        await insert(store, f"other {number}", [row._replace(shard=1, entry_seq=number)])


async def rows(store: ClickHouse) -> int:
    return int((await store.query("SELECT count() FROM events WHERE shard = 0"))[0][0])


async def test_an_event_that_the_earlier_insert_had_not_is_dead_lettered_and_comes_back(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    batch = await left_by_a_dead_counter(redis, [*(pageview(visitor=number) for number in range(4)), rating(5)])
    stored = compute(batch).rows
    del stored[2]
    await insert(migrated, batch.token, stored)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (4, 1, True)
    letters: Any = await redis.xrange(dead_key(0))
    ((_, letter),) = letters
    assert (letter[b"reason"], letter[b"entry"]) == (b"not_stored", str(batch.entries[2].id).encode())
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 3
    assert await differences(redis, migrated) == []

    stores = Stores(settings(redis_server.url, dsn), SITES, redis, migrated)
    await replay_letters(stores, Console(file=StringIO()), None)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (5, 0, True)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 4
    assert await rows(migrated) == 5
    assert await differences(redis, migrated) == []


async def test_an_insert_that_is_done_after_the_look_is_what_is_counted(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), pageview("newyork")])
    late = compute(batch).rows[1:]

    async def overtaken(self: PatientStore, *arguments: Any) -> None:
        if late:
            columns = dict(zip(Row._fields, zip(*late, strict=True), strict=True))
            late.clear()
            await real_insert(self, "events", columns, *arguments[2:])
        await real_insert(self, *arguments)

    real_insert = PatientStore.insert
    monkeypatch.setattr(PatientStore, "insert", overtaken)
    async with counting(settings(redis_server.url, dsn), Sites([HANOI, KOLKATA], 1)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (2, 1, True)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 1
    assert (await shown(redis, NEW_YORK))["pageviews"]["total"] == 1
    assert await differences(redis, migrated) == []


@pytest.mark.parametrize("stored", [3, 2])
async def test_a_batch_whose_token_is_forgotten_is_counted_once(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    monkeypatch: pytest.MonkeyPatch,
    stored: int,
) -> None:
    await small_window(migrated, monkeypatch)
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
    await insert(migrated, batch.token, compute(batch).rows[:stored])
    await inserts_of_another_shard(migrated)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert await rows(migrated) == 3
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (3, 0, True)
    assert (await shown(redis, HANOI))["visits"]["total"] == 2
    assert await differences(redis, migrated) == []


async def test_an_insert_that_was_cut_off_before_the_roll_ups_is_finished(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await small_window(migrated, monkeypatch)
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
    await insert(migrated, batch.token, compute(batch).rows)
    for table in ("breakdown_daily", "items"):
        await migrated.command(f"TRUNCATE TABLE {table}")  # it forgets its tokens, too
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert (await read_delivery(redis, 0)).counted == 3
    assert await differences(redis, migrated) == []
