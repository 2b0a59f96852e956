"""Batches of which an earlier attempt has inserted nothing, some, all, or other rows."""

from collections.abc import Iterable
from pathlib import Path
from shutil import rmtree
from typing import Any

import pytest
from redis.asyncio import Redis

import shared.redis
from services.counter.batch import Batch
from services.counter.columns import Columns, of_rows
from services.counter.recover import pending_batch
from services.counter.store import PatientStore
from services.counter.truth import ROLL_UPS
from services.counter.write import write
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.errors import StoreError
from shared.events import StreamEvent
from shared.schema import migrate
from shared.sites import Sites
from shared.streams import GROUP, append, ensure_group, events_key
from tests.support.batches import compute, rows, view
from tests.support.counting import (
    HANOI,
    KOLKATA,
    NEW_YORK,
    counting,
    differences,
    pageview,
    rating,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import ClickHouseServer, RedisServer

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


async def insert(store: ClickHouse, token: str, values: Columns) -> None:
    async def guard() -> None:
        pass

    await write(PatientStore(store, 0), token, values, guard)


async def small_window(store: ClickHouse) -> None:
    for table in ("events", *ROLL_UPS):
        await store.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = {WINDOW}")


async def inserts_of_another_shard(store: ClickHouse) -> None:
    for number in range(WINDOW + 1):
        (row,) = rows(compute([view(site="kolkata")]))
        await insert(store, f"other {number}", of_rows([row.but(shard=1, entry_seq=number)]))


async def rows_in(store: ClickHouse) -> int:
    return int((await store.query("SELECT count() FROM events WHERE shard = 0"))[0][0])


async def test_an_event_that_the_earlier_insert_had_not_is_counted(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    batch = await left_by_a_dead_counter(redis, [*(pageview(visitor=number) for number in range(4)), rating(5)])
    stored = rows(compute(batch))
    del stored[2]
    await insert(migrated, batch.token, of_rows(stored))
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (5, 0, True)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 4
    assert await rows_in(migrated) == 5
    assert await differences(redis, migrated) == []


async def test_an_insert_that_is_done_after_the_look_is_what_is_counted(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), pageview("newyork")])
    late = rows(compute(batch))[1:]

    async def overtaken(self: PatientStore, *arguments: Any) -> None:
        if late:
            values = of_rows(late)
            late.clear()
            await real_insert(self, "events", values, *arguments[2:])
        await real_insert(self, *arguments)

    real_insert = PatientStore.insert
    monkeypatch.setattr(PatientStore, "insert", overtaken)
    async with counting(settings(redis_server.url, dsn), Sites([HANOI, KOLKATA], 1)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (3, 0, True)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 2
    assert (await shown(redis, NEW_YORK))["pageviews"]["total"] == 1
    assert await differences(redis, migrated) == []


@pytest.mark.parametrize("stored", [3, 2])
async def test_a_batch_whose_token_is_forgotten_is_counted_once(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    stored: int,
) -> None:
    await small_window(migrated)
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
    await insert(migrated, batch.token, of_rows(rows(compute(batch))[:stored]))
    await inserts_of_another_shard(migrated)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert await rows_in(migrated) == 3
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (3, 0, True)
    assert (await shown(redis, HANOI))["visits"]["total"] == 2
    assert await differences(redis, migrated) == []


async def test_an_insert_that_was_cut_off_before_the_roll_ups_is_finished(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await small_window(migrated)
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
    await insert(migrated, batch.token, compute(batch).stored)
    for table in ("breakdown_daily", "items"):
        await migrated.command(f"TRUNCATE TABLE {table}")  # it forgets its tokens, too
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert (await read_delivery(redis, 0)).counted == 3
    assert await differences(redis, migrated) == []


@pytest.mark.parametrize("table", ["events", *ROLL_UPS])
async def test_a_token_whose_rows_never_came_is_seen_through(tmp_path: Path, table: str) -> None:
    """ClickHouse writes down the token first. Killed before the part has its name, it drops the next attempt."""
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        await store.command("SYSTEM STOP MERGES")
        await append(redis, 0, [pageview(visitor=7)])
        async with counting(settings(redis_server.url, clickhouse.dsn)):
            await until_counted(redis)
        batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
        await insert(store, batch.token, compute(batch).stored)
        ((path,),) = await store.query(
            "SELECT argMax(path, max_block_number) FROM system.parts"
            " WHERE database = currentDatabase() AND table = {table:String} AND active",
            {"table": table},
        )
        await store.close()
        clickhouse.kill()
        rmtree(path)
        clickhouse.start()
        store = await ClickHouse.connect(clickhouse.dsn)
        async with counting(settings(redis_server.url, clickhouse.dsn)):
            await until_counted(redis)
        delivery = await read_delivery(redis, 0)
        assert (delivery.counted, delivery.dead, delivery.balanced) == (4, 0, True)
        assert (await shown(redis, HANOI))["pageviews"]["total"] == 3
        assert await differences(redis, store) == []
        await store.close()
        await redis.aclose()


async def test_an_insert_that_failed_is_looked_after_by_the_same_counter(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had stored when it failed is nobody's guess: the table has it, and the roll-ups do not."""
    failed: list[str] = []

    async def fails(self: ClickHouse, table: str, *arguments: Any) -> None:
        await real_insert(self, table, *arguments)
        if not failed:
            failed.append(table)
            for roll_up in ROLL_UPS:
                await self.command(f"TRUNCATE TABLE {roll_up}")
            raise StoreError("the line was cut")

    real_insert = ClickHouse.insert
    monkeypatch.setattr(ClickHouse, "insert", fails)
    await append(redis, 0, [pageview(visitor=1), pageview("newyork"), rating(4)])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert failed == ["events"]
    assert (await read_delivery(redis, 0)).counted == 3
    assert await differences(redis, migrated) == []


async def test_a_roll_up_that_has_too_much_is_levelled_beside_events_of_impossible_times(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    batch = await left_by_a_dead_counter(redis, [pageview(visitor=1), pageview(visitor=2), rating(4)])
    await insert(migrated, batch.token, compute(batch).stored)
    for table in ROLL_UPS:
        await migrated.command(
            f"INSERT INTO {table} SELECT * FROM {table} SETTINGS deduplicate_insert_select = 'disable'"
        )
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert await differences(redis, migrated) == []
