"""The counter with a real Redis and the real ClickHouse engine, in-process and over HTTP."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from services.api.snapshots import Snapshots
from services.counter import resent
from services.counter.changes import BATCHES_A_TRIM
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.readmodel import ONLINE_MS, readers_key
from shared.streams import append, dead_key, events_key
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
    monkeypatch.setattr(resent, "RECENT_MS", -1)
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


async def test_who_reads_an_item_no_more_is_not_counted_while_redis_still_knows_them(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    now = wall_clock_ms() // BATCHES_A_TRIM * BATCHES_A_TRIM - 1  # a batch whose last event is then trims nothing
    times = [now - ONLINE_MS - 1, now - ONLINE_MS, now]
    await append(redis, 0, [pageview(visitor=number, time=time, item="/a") for number, time in enumerate(times)])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert await redis.zcard(readers_key(0, "hanoi", "/a")) == 3
    assert (await Snapshots(redis, SITES, lambda: now).item(HANOI, "/a"))["online"] == 2


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
