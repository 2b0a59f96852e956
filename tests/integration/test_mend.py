"""`truycap rebuild --store` with a real Redis and the real ClickHouse engine."""

import asyncio
from io import StringIO
from typing import Any

import pytest
from redis.asyncio import Redis
from rich.console import Console

from services.commands.care import run_rebuild, run_verify
from services.counter import consume
from services.counter.apply import apply as real_apply
from services.counter.rebuild import DoubledRowsError, LostEventsError
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.streams import append
from tests.support.counting import (
    GOOGLEBOT,
    HANOI,
    SITES,
    counting,
    differences,
    pageview,
    ping,
    rating,
    settings,
    shown,
    until_counted,
)
from tests.support.servers import RedisServer


class Care:
    """The two commands on these stores."""

    def __init__(self, redis: Redis, url: str, store: ClickHouse, dsn: str) -> None:
        self.stores = Stores(settings(url, dsn), SITES, redis, store)

    async def verify(self) -> str:
        """The last line that it prints; empty where all is well."""
        said = StringIO()
        right = await run_verify(self.stores, Console(file=said, width=200))
        return "" if right else said.getvalue().strip().splitlines()[-1]

    async def rebuild(self, *, store: bool = False, accept_loss: bool = False) -> str:
        said = StringIO()
        await run_rebuild(self.stores, Console(file=said, width=200), store=store, accept_loss=accept_loss)
        return said.getvalue()


@pytest.fixture
def care(redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str) -> Care:
    return Care(redis, redis_server.url, migrated, dsn)


async def count_some(redis: Redis, url: str, dsn: str) -> None:
    now = int((await redis.time())[0]) * 1000
    months = [now - number * 20 * 86_400_000 for number in range(4)]
    await append(redis, 0, [pageview(visitor=number, time=months[number % 4]) for number in range(20)])
    await append(
        redis, 0, [pageview("newyork"), pageview(agent=GOOGLEBOT, visitor=50), ping(visitor=30), rating(5), rating(2)]
    )
    async with counting(settings(url, dsn)):
        await until_counted(redis)


async def rows(store: ClickHouse) -> int:
    return int((await store.query("SELECT count() FROM events"))[0][0])


async def test_rows_that_are_there_twice_are_dropped_while_a_counter_runs(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    # In the same partition, and in one that comes later (another time zone).
    await migrated.command("INSERT INTO events SELECT * FROM events WHERE site = 'newyork' OR visitor < 5")
    await migrated.command("INSERT INTO events SELECT * REPLACE(date + 62 AS date) FROM events WHERE visitor = 6")
    await migrated.command("CREATE TABLE items_mending AS items")  # a run that was cut off
    assert "`truycap rebuild --store`" in await care.verify()
    async with counting(settings(redis_server.url, dsn)):
        said = await care.rebuild(store=True)
        assert "rows that stood twice" in said
        assert await care.verify() == ""
        assert await rows(migrated) == 24
        after = await shown(redis, HANOI)
        assert (after["visits"], after["pageviews"]) == (before["visits"], before["pageviews"])
        await append(redis, 0, [pageview(visitor=100)])
        await until_counted(redis)
    assert await rows(migrated) == 25
    assert (await shown(redis, HANOI))["visits"]["total"] == before["visits"]["total"] + 1
    assert await differences(redis, migrated) == []
    assert (
        await migrated.query(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE '%mending'"
        )
        == []
    )


async def test_roll_ups_are_made_again(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care
) -> None:
    await count_some(redis, redis_server.url, dsn)
    await append(redis, 0, [pageview(title="Cao Bằng hôm nay", visitor=7)])
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    await migrated.command("TRUNCATE TABLE items")
    await migrated.command("DELETE FROM breakdown_daily WHERE dimension = 'browser'")
    await migrated.command("INSERT INTO traffic_hourly SELECT * FROM traffic_hourly")
    assert "`truycap rebuild --store`" in await care.verify()
    await care.rebuild(store=True)
    assert await care.verify() == ""
    titles = await migrated.query("SELECT anyLast(title) FROM items WHERE site = 'hanoi' GROUP BY item")
    assert [title for (title,) in titles] == ["Cao Bằng hôm nay"]
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(visitor=100), rating(1, voter=2)])
        await until_counted(redis)
    assert await differences(redis, migrated) == []


async def test_a_store_without_events_is_left_empty(redis: Redis, migrated: ClickHouse, care: Care) -> None:
    await migrated.command("INSERT INTO traffic_hourly VALUES ('hanoi', '2026-03-01', 1, 1, 1, 0)")
    assert "`truycap rebuild --store`" in await care.verify()
    await care.rebuild(store=True)
    assert await care.verify() == ""


async def test_a_batch_that_was_inserted_but_not_applied_is_counted_once_afterwards(
    redis: Redis,
    redis_server: RedisServer,
    migrated: ClickHouse,
    dsn: str,
    care: Care,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The roll-ups lacked it when its insert was cut off, and know nothing of its token once they were made again."""
    inserted = asyncio.Event()

    async def dies(*_: Any) -> bool:
        inserted.set()
        raise asyncio.CancelledError

    await append(redis, 0, [pageview(visitor=number) for number in range(10)])
    monkeypatch.setattr(consume, "apply", dies)
    async with counting(settings(redis_server.url, dsn)):
        await asyncio.wait_for(inserted.wait(), 20)
    await migrated.command("TRUNCATE TABLE traffic_hourly")
    await care.rebuild(store=True)
    assert (await read_delivery(redis, 0)).waiting == 10
    monkeypatch.setattr(consume, "apply", real_apply)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert await rows(migrated) == 10
    delivery = await read_delivery(redis, 0)
    assert (delivery.counted, delivery.dead, delivery.balanced) == (10, 0, True)
    assert (await shown(redis, HANOI))["visits"]["total"] == 10
    assert await care.verify() == ""


async def test_verify_says_which_command_mends_what_it_found(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care
) -> None:
    await count_some(redis, redis_server.url, dsn)
    await redis.delete("{0}:counts:hanoi")
    assert "`truycap rebuild` makes" in await care.verify()
    await care.rebuild()
    assert await care.verify() == ""
    await redis.hincrby("{0}:delivery", "accepted", 1)
    assert await care.verify() == "1 difference. What Redis has lost no command brings back."


@pytest.mark.parametrize("mend_store", [False, True])
async def test_rebuild_leaves_the_last_copy_alone_where_clickhouse_lost_events(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care, mend_store: bool
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    await migrated.command("TRUNCATE TABLE events")
    assert "`truycap restore` a backup" in await care.verify()
    with pytest.raises(LostEventsError, match=r"lacks .* of shard 0.*--accept-loss"):
        await care.rebuild(store=mend_store)
    assert (await shown(redis, HANOI))["visits"] == before["visits"]
    assert (await migrated.query("SELECT sum(pageviews) > 0 FROM traffic_hourly"))[0][0]
    for accepted in (True, False):  # once is enough
        await care.rebuild(store=True, accept_loss=accepted)
        assert (await shown(redis, HANOI))["pageviews"]["total"] == 0
        assert await care.verify() == ""
    async with counting(settings(redis_server.url, dsn)):
        await append(redis, 0, [pageview(visitor=99)])
        await until_counted(redis)
    assert await care.verify() == ""
    await migrated.command("TRUNCATE TABLE events")
    with pytest.raises(LostEventsError, match="lacks 1 events"):
        await care.rebuild(store=mend_store)


async def test_rebuild_refuses_to_count_rows_twice(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    await migrated.command("INSERT INTO events SELECT * FROM events LIMIT 4")
    with pytest.raises(DoubledRowsError, match=r"4 rows .*--store"):
        await care.rebuild()
    assert (await shown(redis, HANOI))["visits"] == before["visits"]
    await care.rebuild(store=True)
    assert await care.verify() == ""


async def test_a_backup_that_came_after_all_takes_back_what_was_given_up(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, care: Care
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    await migrated.command("CREATE TABLE backup AS events ENGINE = MergeTree ORDER BY time")
    await migrated.command("INSERT INTO backup SELECT * FROM events")
    await migrated.command("TRUNCATE TABLE events")
    await care.rebuild(store=True, accept_loss=True)
    await migrated.command("INSERT INTO events SELECT * FROM backup")
    assert "truycap rebuild" in await care.verify()
    await care.rebuild(store=True)
    assert (await shown(redis, HANOI))["visits"] == before["visits"]
    assert await care.verify() == ""
