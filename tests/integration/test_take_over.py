"""A shard that passes from one counter to another, with a real Redis and the real ClickHouse engine."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from services.counter import consume
from services.counter.app import Counter
from services.counter.apply import apply as real_apply
from services.counter.batch import Batch
from services.counter.lease import LEASE_MS, FencedError, Lease
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.sites import Site, Sites
from shared.streams import GROUP, Entry, append, ensure_group, events_key
from tests.support.counting import (
    HANOI,
    KOLKATA,
    NEW_YORK,
    SITES,
    counting,
    differences,
    event_id,
    pageview,
    rating,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import RedisServer


async def rows(store: ClickHouse) -> int:
    return int((await store.query("SELECT count() FROM events"))[0][0])


async def test_a_batch_that_was_inserted_but_not_applied_is_counted_once_by_the_next_counter(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserted = asyncio.Event()

    async def dies(*_: Any) -> bool:
        inserted.set()
        raise asyncio.CancelledError

    evening = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)  # 1 March in Hanoi, 2 March in Kiritimati
    views = [pageview(visitor=number, time=evening) for number in range(49)]
    # Times and positions disagree: two ingests, two clocks. The later position is the vote that stands.
    votes = [rating(5, time=evening + 40), rating(2, time=evening)]
    await append(redis, 0, [*views, *votes, pageview("newyork", visitor=1, time=evening)])
    monkeypatch.setattr(consume, "apply", dies)
    async with counting(settings(redis_server.url, dsn)):
        await asyncio.wait_for(inserted.wait(), 20)
    assert await rows(migrated) == 52
    assert (await shown(redis, HANOI))["visits"]["total"] == 0

    # The next counter would compute other rows: the site's zone was changed, another site is gone. What is stored
    # stays as it is.
    moved = Sites([Site(id="hanoi", hostnames=["*"], timezone="Pacific/Kiritimati"), KOLKATA], 1)
    monkeypatch.setattr(consume, "apply", real_apply)
    await append(redis, 0, [pageview(visitor=100)])
    async with counting(settings(redis_server.url, dsn), moved):
        await until_counted(redis)
    assert await rows(migrated) == 53
    assert (await shown(redis, HANOI))["visits"]["total"] == 50
    assert (await shown(redis, HANOI, now=evening))["visits"]["today"] == 49
    assert (await shown(redis, NEW_YORK))["visits"]["total"] == 1
    assert (await redis.hgetall("{0}:votes:hanoi")) == {b"0000000000000001:/tin-tuc/bai-viet": b"2"}
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (53, 0, True)
    assert await differences(redis, migrated) == []


async def test_a_batch_that_a_dead_counter_only_read_comes_before_what_came_later(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await ensure_group(redis, 0)
    await append(redis, 0, [pageview(id=event_id(1))])
    await redis.xreadgroup(GROUP, "counter-dead", {events_key(0): ">"}, count=10)
    await append(redis, 0, [pageview(id=event_id(1), attempt=1), pageview(id=event_id(2))])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.rejected) == (2, {"duplicate": 1})
    consumers: Any = await redis.xinfo_consumers(events_key(0), GROUP)
    assert b"counter-dead" not in [consumer["name"] for consumer in consumers]
    assert await differences(redis, migrated) == []


async def test_entries_whose_read_was_lost_on_the_way_are_counted(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(visitor=1)])
        await until_counted(redis)
        consumers: Any = await redis.xinfo_consumers(events_key(0), GROUP)
        name = consumers[0]["name"]
        # One transaction, so that the counter's own blocked read cannot get there first.
        async with redis.pipeline(transaction=True) as transaction:
            transaction.xadd(events_key(0), {"v": 1, "n": 1, "events": msgspec.msgpack.encode([pageview(visitor=2)])})
            transaction.hincrby("{0}:delivery", "accepted", 1)
            transaction.xreadgroup(GROUP, name, {events_key(0): ">"}, count=10)
            await transaction.execute()
        await append(redis, 0, [pageview(visitor=3)])
        await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == 3
    assert await differences(redis, migrated) == []


async def test_a_counter_that_lost_its_shard_changes_nothing_any_more(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asleep, wake = asyncio.Event(), asyncio.Event()

    async def sleeps(*arguments: Any) -> bool:
        if not asleep.is_set():
            asleep.set()
            await wake.wait()
        return await real_apply(*arguments)

    monkeypatch.setattr(consume, "apply", sleeps)
    await append(redis, 0, [pageview(visitor=number) for number in range(10)])
    async with counting(settings(redis_server.url, dsn)):
        await asyncio.wait_for(asleep.wait(), 20)
        async with counting(settings(redis_server.url, dsn), alone=True):  # takes the shard by force
            await until_counted(redis)
            wake.set()
            await append(redis, 0, [pageview(visitor=100)])
            await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == 11
    assert (await read_delivery(redis, 0)).counted == 11
    assert await differences(redis, migrated) == []


async def test_a_batch_is_applied_once_and_only_by_who_has_the_shard(redis: Redis) -> None:
    await ensure_group(redis, 0)
    entry = await append(redis, 0, [pageview()])
    await redis.xreadgroup(GROUP, "counter-1", {events_key(0): ">"})
    batch = Batch(0, [Entry(entry, {})])
    lease = Lease(redis, 0)
    former, now = await lease.acquire(), await lease.acquire(force=True)
    assert former
    assert now
    with pytest.raises(FencedError):
        await real_apply(redis, batch, former, [("INCR", "{0}:mark")])
    assert await redis.exists("{0}:mark") == 0
    assert await redis.xlen(events_key(0)) == 1
    assert await real_apply(redis, batch, now, [("INCR", "{0}:mark")])
    assert not await real_apply(redis, batch, now, [("INCR", "{0}:mark")])
    assert await redis.get("{0}:mark") == b"1"
    assert await redis.xlen(events_key(0)) == 0


async def test_a_slow_take_over_is_not_taken_over_in_turn(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inserts: list[str] = []

    async def slowly(self: ClickHouse, table: str, *arguments: Any) -> None:
        inserts.append(table)
        await asyncio.sleep(1.5 * LEASE_MS / 1000)
        await real_insert(self, table, *arguments)

    real_insert = ClickHouse.insert
    monkeypatch.setattr(ClickHouse, "insert", slowly)
    await ensure_group(redis, 0)
    await append(redis, 0, [pageview()])
    await redis.xreadgroup(GROUP, "counter-dead", {events_key(0): ">"})
    async with counting(settings(redis_server.url, dsn)), counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert inserts == ["events"]
    assert await differences(redis, migrated) == []


async def test_another_counter_goes_on_where_one_was_stopped(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    first = Counter(settings(redis_server.url, dsn), SITES)
    await first.start()
    async with counting(settings(redis_server.url, dsn)):
        for start in range(0, 100, 10):
            await append(redis, 0, [pageview(visitor=start + number) for number in range(10)])
        await first.stop()
        for start in range(100, 200, 10):
            await append(redis, 0, [pageview(visitor=start + number) for number in range(10)])
        await until_counted(redis)
        assert await redis.get("{0}:epoch") == b"2"
    assert (await shown(redis, HANOI))["visits"]["total"] == 200
    assert await differences(redis, migrated) == []


async def test_a_stopped_counter_gives_its_shard_back_at_once(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    for _ in range(3):
        async with counting(settings(redis_server.url, dsn)):
            await append(redis, 0, [pageview()])
            await until_counted(redis)
        assert not await redis.exists("{0}:lease")
    consumers: Any = await redis.xinfo_consumers(events_key(0), GROUP)
    assert len(consumers) <= 1  # those of earlier starts are forgotten
