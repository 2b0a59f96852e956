"""verify and rebuild with a real Redis and the real ClickHouse engine."""

import asyncio
import time
from io import StringIO
from typing import Any

import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from rich.console import Console

from services.commands.dead_letters import list_letters, replay_letters
from services.counter import replace, truth
from services.counter.lease import LEASE_MS, FencedError, lease_key
from services.counter.rebuild import Rebuilder
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.sites import Sites
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


async def count_some(redis: Redis, url: str, dsn: str) -> None:
    await append(redis, 0, [pageview(visitor=number, item=f"/bai/{number % 3}") for number in range(20)])
    await append(
        redis, 0, [pageview("newyork"), pageview(agent=GOOGLEBOT, visitor=50), ping(visitor=30), rating(5), rating(2)]
    )
    async with counting(settings(url, dsn)):
        await until_counted(redis)


async def test_verify_names_a_row_that_was_deleted_behind_its_back(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    assert await differences(redis, migrated) == []
    await migrated.command("DELETE FROM events WHERE site = 'hanoi' AND visitor = 7")
    found = await differences(redis, migrated)
    assert "counts:hanoi pageviews:total: the read model says 20, ClickHouse 19" in found
    assert "views:hanoi /bai/1: the read model says 7, ClickHouse 6" in found
    assert "shard 0: 24 events were counted, ClickHouse has 23 rows" in found
    assert any(line.startswith("traffic_hourly hanoi ") for line in found)
    assert any(line.startswith("items hanoi /bai/1:") for line in found)


async def test_verify_names_a_number_that_was_changed_in_redis(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    await redis.hincrby("{0}:ratings:hanoi", "5:/tin-tuc/bai-viet", 3)
    await redis.hincrby("{0}:delivery", "accepted", 1)
    found = await differences(redis, migrated)
    assert found[1:] == ["ratings:hanoi 5:/tin-tuc/bai-viet: the read model says 3, ClickHouse 0"]
    assert found[0].startswith("delivery of shard 0: accepted 26 ≠ counted 25 + rejected 0")


async def test_verify_sees_rows_that_are_there_twice(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    await migrated.command("INSERT INTO events SELECT * FROM events WHERE site = 'newyork'")
    assert "shard 0: 1 rows stand at a position that another row has" in await differences(redis, migrated)


async def test_rebuild_makes_a_damaged_read_model_right_while_a_counter_runs(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    async with counting(settings(redis_server.url, dsn)):
        await redis.delete("{0}:counts:hanoi", "{0}:votes:hanoi")
        await redis.hset("{0}:views:hanoi", "/made-up", "9")
        rebuilt = await Rebuilder(redis, migrated, SITES, wall_clock_ms()).rebuild(0)
        assert (rebuilt.rows, rebuilt.correction) == (24, 0)
        assert await differences(redis, migrated) == []
        after = await shown(redis, HANOI)
        assert (after["visits"], after["online"]) == (before["visits"], before["online"])
        await append(redis, 0, [pageview(visitor=100)])
        await until_counted(redis)
    assert (await shown(redis, HANOI))["visits"]["total"] == before["visits"]["total"] + 1
    assert await differences(redis, migrated) == []


async def test_a_long_rebuild_is_not_interrupted_by_the_counter_and_replaces_all_at_once(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*arguments: Any) -> Any:
        time.sleep(1.5 * LEASE_MS / 1000)
        with SyncRedis.from_url(redis_server.url) as other:
            held.append(other.exists(lease_key(0)))
        return real_hashes(*arguments)

    async def look() -> None:
        while True:
            seen.add(await redis.hget("{0}:counts:hanoi", "visits:total"))
            await asyncio.sleep(0)

    real_hashes = truth._hashes
    monkeypatch.setattr(truth, "_hashes", slow)
    monkeypatch.setattr(replace, "_WORDS_AT_ONCE", 3)
    held: list[Any] = []
    seen: set[Any] = set()
    await count_some(redis, redis_server.url, dsn)
    names = {name for name in await redis.keys() if b":readers:" not in name}
    async with counting(settings(redis_server.url, dsn)):
        await redis.hset("{0}:counts:hanoi", "visits:total", "9")
        looking = asyncio.create_task(look())
        await Rebuilder(redis, migrated, SITES, wall_clock_ms()).rebuild(0)
        looking.cancel()
        monkeypatch.setattr(truth, "_hashes", real_hashes)
        assert await differences(redis, migrated) == []
    assert held == [1]
    assert seen - {b"20"} == {b"9"}
    assert {name for name in await redis.keys() if b":readers:" not in name} == names
    assert await redis.pttl("{0}:counts:hanoi") == -1


async def test_a_rebuild_that_fails_leaves_nothing_in_redis(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fenced(*_: Any, **__: Any) -> None:
        assert [name for name in await redis.keys() if b":of-" in name]
        raise FencedError

    monkeypatch.setattr(replace, "_swap", fenced)
    await count_some(redis, redis_server.url, dsn)
    with pytest.raises(FencedError):
        await Rebuilder(redis, migrated, SITES, wall_clock_ms()).rebuild(0)
    assert not [name for name in await redis.keys() if b":of-" in name]
    assert await differences(redis, migrated) == []


async def test_rebuild_after_the_loss_of_redis(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    before = await shown(redis, HANOI)
    await redis.flushall()
    assert "counts:hanoi visits:total: the read model says 0, ClickHouse 20" in await differences(redis, migrated)
    await append(redis, 0, [pageview(visitor=100)])  # accepted before anybody noticed
    rebuilt = await Rebuilder(redis, migrated, SITES, wall_clock_ms()).rebuild(0)
    assert rebuilt.correction == 24
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    after = await shown(redis, HANOI)
    assert after["visits"]["total"] == before["visits"]["total"] + 1
    assert after["online"]["bots"] == 1
    assert (await read_delivery(redis, 0)).balanced
    assert await differences(redis, migrated) == []


async def test_rebuild_leaves_what_waits_to_the_counter(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await count_some(redis, redis_server.url, dsn)
    await append(redis, 0, [pageview(visitor=200)])
    await Rebuilder(redis, migrated, SITES, wall_clock_ms()).rebuild(0)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 20
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    assert (await shown(redis, HANOI))["pageviews"]["total"] == 21
    assert await differences(redis, migrated) == []


async def test_dead_letters_come_back_once_their_cause_is_mended(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    early = Sites([SITES["newyork"]], 1)
    await append(redis, 0, [pageview("hanoi"), pageview("newyork"), pageview("hanoi", visitor=2)])
    async with counting(settings(redis_server.url, dsn), early):
        await until_counted(redis)
    said = StringIO()
    stores = Stores(settings(redis_server.url, dsn), SITES, redis, migrated)
    await list_letters(stores, Console(file=said, width=200))
    assert "unknown_site: 2 events" in said.getvalue()
    assert (await read_delivery(redis, 0)).dead == 2
    await replay_letters(stores, Console(file=said, width=200), "undecodable")
    assert (await read_delivery(redis, 0)).dead == 2
    await replay_letters(stores, Console(file=said, width=200), None)
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    delivery = await read_delivery(redis, 0)
    assert (delivery.dead, delivery.counted, delivery.balanced) == (0, 3, True)
    assert (await shown(redis, HANOI))["visits"]["total"] == 2
    assert await differences(redis, migrated) == []
