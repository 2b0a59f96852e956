"""The counter with a real Redis and the real ClickHouse engine, in-process and over HTTP."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from services.counter import consume, resent
from services.counter.app import Counter
from services.counter.apply import apply as real_apply
from services.counter.batch import Batch
from services.counter.lease import LEASE_MS, FencedError, Lease
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.sites import Site, Sites
from shared.streams import GROUP, Entry, append, dead_key, ensure_group, events_key
from shared.watch import WatchedSites
from tests.support.counting import (
    GOOGLEBOT,
    HANOI,
    KOLKATA,
    NEW_YORK,
    SITES,
    counting,
    differences,
    event_id,
    pageview,
    ping,
    rating,
    settings,
    shown,
    until,
    until_counted,
)
from tests.support.servers import RedisServer


async def rows(store: ClickHouse) -> int:
    return int((await store.query("SELECT count() FROM events"))[0][0])


async def test_events_accepted_before_the_first_start_are_counted(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await append(redis, 0, [pageview(visitor=1), pageview(visitor=2), pageview(visitor=9, agent=GOOGLEBOT)])
    await append(redis, 0, [pageview(visitor=1), rating(4), ping(visitor=3)])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    counts = await shown(redis, HANOI)
    assert counts["visits"] == {"today": 2, "yesterday": 0, "week": 2, "month": 2, "year": 2, "total": 2}
    assert counts["pageviews"]["today"] == 3
    assert counts["online"] == {"total": 4, "guests": 3, "members": 0, "bots": 1}
    delivery = await read_delivery(redis, 0)
    assert (delivery.accepted, delivery.counted, delivery.presence, delivery.waiting) == (6, 6, 1, 0)
    assert await redis.xlen(events_key(0)) == 0
    assert await differences(redis, migrated) == []


async def test_one_instant_falls_on_each_sites_own_day(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    instant = int(datetime(2026, 3, 1, 18, 45, tzinfo=UTC).timestamp() * 1000)
    await append(redis, 0, [pageview(site, time=instant) for site in ("hanoi", "newyork", "kolkata")])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    stored = await migrated.query("SELECT site, toString(date), hour FROM traffic_hourly ORDER BY site")
    assert [tuple(row) for row in stored] == [
        ("hanoi", "2026-03-02", 1),
        ("kolkata", "2026-03-02", 0),
        ("newyork", "2026-03-01", 13),
    ]
    for site, month in ((HANOI, 1), (KOLKATA, 1), (NEW_YORK, 1)):
        counts = await shown(redis, site, now=instant)
        assert (counts["visits"]["today"], counts["visits"]["month"]) == (1, month)
    next_morning = instant + 12 * 3600 * 1000
    assert (await shown(redis, HANOI, now=next_morning))["visits"]["yesterday"] == 0
    assert (await shown(redis, NEW_YORK, now=next_morning))["visits"]["yesterday"] == 1


async def test_a_resent_event_is_counted_once_wherever_its_first_sending_got_to(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(id=event_id(1))])
        await until_counted(redis)
        await append(redis, 0, [pageview(id=event_id(1), attempt=1)])  # it had arrived
        await append(redis, 0, [pageview(id=event_id(2), attempt=1)])  # it had not
        await until_counted(redis)
        await append(redis, 0, [pageview(id=event_id(3)), pageview(id=event_id(3), attempt=1)])  # in one batch
        await append(redis, 0, [pageview(id=event_id(2), attempt=2)])
        await until_counted(redis)
    stored = await migrated.query("SELECT id, count() FROM events GROUP BY id ORDER BY id")
    assert [(row[0].int, row[1]) for row in stored] == [(1, 1), (2, 1), (3, 1)]
    delivery = await read_delivery(redis, 0)
    assert delivery.rejected == {"duplicate": 3}
    assert await differences(redis, migrated) == []


async def test_an_event_that_comes_again_unchanged_is_counted_once(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    """A browser repeats a request by itself where its connection died, and a first sending may overtake nothing."""
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(id=event_id(1))])
        await append(redis, 0, [pageview(id=event_id(2), attempt=1)])
        await until_counted(redis)
        await append(redis, 0, [pageview(id=event_id(1))])
        await append(redis, 0, [pageview(id=event_id(2))])
        await until_counted(redis)
    async with counting(settings(redis_server.url, dsn)):  # another counter finds them in the store
        await append(redis, 0, [pageview(id=event_id(1)), pageview(id=event_id(3))])
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.rejected) == (3, {"duplicate": 3})
    assert await differences(redis, migrated) == []


async def test_a_resend_through_an_ingest_whose_clock_is_behind_is_counted_once(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resent, "MOST_RECENT", 0)
    now = wall_clock_ms()
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(id=event_id(1), time=now + 5000)])
        await until_counted(redis)
        await append(redis, 0, [pageview(id=event_id(1), time=now, attempt=1)])
        await until_counted(redis)
    assert (await read_delivery(redis, 0)).rejected == {"duplicate": 1}


async def test_what_cannot_be_counted_is_dead_lettered_with_its_reason_beside_good_events(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    good: list[Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(pageview()))
    mixed = msgspec.msgpack.encode([good, ["not", "an", "event"], [*good[:4], b"short", *good[5:]], good])
    await redis.xadd(events_key(0), {"v": 1, "n": 4, "events": mixed})
    await redis.xadd(events_key(0), {"v": 2, "n": 7, "events": b"x"})
    await redis.xadd(events_key(0), {"v": 1, "n": 3, "events": b"\xc1"})
    await redis.hincrby("{0}:delivery", "accepted", 14)
    await append(redis, 0, [pageview("nowhere"), pageview(time=0), pageview(time=4_000_000_000_000), pageview()])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert delivery.balanced
    assert (delivery.counted, delivery.dead) == (2, 13)
    assert delivery.rejected == {"too_old": 1, "in_the_future": 1, "duplicate": 1}
    letters: Any = await redis.xrange(dead_key(0))
    assert [(fields[b"reason"], int(fields[b"n"])) for _, fields in letters] == [
        (b"undecodable", 1),
        (b"undecodable", 1),
        (b"unknown_version", 7),
        (b"undecodable", 3),
        (b"unknown_site", 1),
    ]


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


async def test_a_changed_vote_moves(redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str) -> None:
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [rating(5, voter=1), rating(1, voter=2), rating(2, voter=1)])
        await until_counted(redis)
        await append(redis, 0, [rating(3, voter=1)])
        await until_counted(redis)
    assert await redis.hgetall("{0}:ratings:hanoi") == {
        b"5:/tin-tuc/bai-viet": b"0",
        b"2:/tin-tuc/bai-viet": b"0",
        b"1:/tin-tuc/bai-viet": b"1",
        b"3:/tin-tuc/bai-viet": b"1",
    }
    assert await differences(redis, migrated) == []


async def test_a_lost_stream_is_made_again_and_counting_goes_on(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    async with counting(settings(redis_server.url, dsn)) as counter:
        await append(redis, 0, [pageview()])
        await until_counted(redis)
        await redis.delete(events_key(0))
        await append(redis, 0, [pageview(visitor=2)])
        await until_counted(redis)

        async def ready() -> bool:
            return await counter.ready() is None

        await until(ready, "the counter is ready again")
    assert (await shown(redis, HANOI))["visits"]["total"] == 2


async def test_a_site_that_ingest_saw_first_is_looked_for_before_its_event_is_called_unknown(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, tmp_path: Path
) -> None:
    config = tmp_path / "truycap.toml"
    config.write_text('[[site]]\nid = "hue"\nhostnames = ["*"]\n', "utf-8")
    sites = WatchedSites(config, 1)
    async with counting(settings(redis_server.url, dsn), sites):  # nobody watches the file
        config.write_text('[[site]]\nid = "hanoi"\nhostnames = ["*"]\n', "utf-8")
        # And what was accepted for a site just before it was taken out is counted.
        await append(redis, 0, [pageview("hanoi"), pageview("hue"), pageview("never")])
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead) == (2, 1)
    assert await differences(redis, migrated, sites) == []
