"""What happens while a server is away. The servers are the tests' own, for they are killed."""

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import OutOfMemoryError

import shared.clickhouse
import shared.errors
import shared.redis
from services.api import app as api_app
from services.api.app import Api
from services.counter import app
from services.counter.app import Counter
from shared import metrics
from shared.clickhouse import ClickHouse
from shared.schema import migrate
from shared.streams import append, ensure_group
from tests.support.counting import HANOI, SITES, counting, differences, pageview, settings, shown, until, until_counted
from tests.support.servers import ClickHouseServer, RedisServer
from tests.support.stack import hanging


async def ready(service: Counter | Api) -> bool:
    return await service.ready() is None


async def not_ready(service: Counter | Api) -> bool:
    return await service.ready() is not None


async def truth(value: bool) -> bool:
    return value


async def test_a_clickhouse_outage_is_waited_for_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STALLED_SECONDS", 1.0)
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        async with counting(settings(redis_server.url, clickhouse.dsn)) as counter:
            await append(redis, 0, [pageview(visitor=1)])
            await until_counted(redis)
            clickhouse.kill()
            await append(redis, 0, [pageview(visitor=2)])

            async def stalled() -> bool:
                return await counter.ready() is not None

            await until(stalled, "the counter is not ready")
            assert (await shown(redis, HANOI))["visits"]["total"] == 1  # the widgets keep the last numbers
            await asyncio.to_thread(clickhouse.start)
            await until_counted(redis)
            assert (await shown(redis, HANOI))["visits"]["total"] == 2
            assert await differences(redis, store) == []
        await store.close()
        await redis.aclose()


async def test_a_clickhouse_that_hangs_is_given_up_and_tried_again_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STALLED_SECONDS", 1.0)
    monkeypatch.setattr(shared.clickhouse, "_HANGS_SECONDS", 1)
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        retries = metrics.RETRIES.labels("0")
        async with counting(settings(redis_server.url, clickhouse.dsn)) as counter:
            await append(redis, 0, [pageview(visitor=1)])
            await until_counted(redis)
            before = retries._value.get()
            with hanging(clickhouse):
                await append(redis, 0, [pageview(visitor=2)])
                await until(lambda: not_ready(counter), "the counter is not ready")
                # Each attempt reaches the server, which will do all of them later: the same token.
                await until(lambda: truth(retries._value.get() >= before + 3), "three attempts were given up")
            await until_counted(redis)
            await until(lambda: ready(counter), "the counter is ready again")
        assert (await shown(redis, HANOI))["visits"]["total"] == 2
        assert await differences(redis, store) == []
        await store.close()
        await redis.aclose()


async def test_a_redis_that_hangs_is_seen_in_the_readiness_of_counter_and_api(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "STALLED_SECONDS", 2.0)
    monkeypatch.setattr(api_app, "STALE_SECONDS", 2.0)
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        chosen = settings(redis_server.url, clickhouse.dsn)
        api = Api(chosen, SITES)
        async with counting(chosen) as counter:
            await api.start()
            with hanging(redis_server):
                await until(lambda: not_ready(counter), "the counter is not ready")
                await until(lambda: not_ready(api), "the api is not ready")
            await until(lambda: ready(counter), "the counter is ready again")
            await until(lambda: ready(api), "the api is ready again")
            await api.stop()
        await store.close()


async def test_counting_goes_on_after_redis_was_killed(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        async with counting(settings(redis_server.url, clickhouse.dsn)):
            for visitor in range(3):
                await append(redis, 0, [pageview(visitor=visitor)])
                await asyncio.to_thread(redis_server.kill)
                await asyncio.to_thread(redis_server.start)
                await until_counted(redis)
        assert (await shown(redis, HANOI))["visits"]["total"] == 3
        assert await differences(redis, store) == []
        await store.close()
        await redis.aclose()


async def test_a_counter_does_not_start_on_a_store_without_its_tables(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        counter = Counter(settings(redis_server.url, clickhouse.dsn), SITES)
        with pytest.raises(shared.errors.SetupError, match="Run `truycap migrate` first"):
            await counter.start()
        await counter.stop()


async def test_a_store_that_loses_its_tables_ends_the_counter_loudly(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        async with counting(settings(redis_server.url, clickhouse.dsn)) as counter:
            await store.command("DROP TABLE events SYNC")
            await append(redis, 0, [pageview()])
            with pytest.raises(shared.errors.StoreError, match="events"):
                await counter.failed()
        assert await redis.xlen("{0}:events") == 1
        await store.close()
        await redis.aclose()


async def test_a_full_redis_is_emptied_by_a_counter_that_starts_then(tmp_path: Path) -> None:
    with RedisServer(tmp_path / "redis") as redis_server, ClickHouseServer(tmp_path / "clickhouse") as clickhouse:
        redis = shared.redis.client(redis_server.url)
        store = await ClickHouse.connect(clickhouse.dsn)
        await migrate(store, 1)
        await ensure_group(redis, 0)
        for start in range(0, 300 * 20, 20):  # more entries than one batch takes
            await append(redis, 0, [pageview(visitor=start + number) for number in range(20)])
        await redis.config_set("maxmemory", "1mb")
        with pytest.raises(OutOfMemoryError):
            await append(redis, 0, [pageview()])
        async with counting(settings(redis_server.url, clickhouse.dsn)):
            await until_counted(redis)
        assert (await shown(redis, HANOI))["visits"]["total"] == 6000
        await store.close()
        await redis.aclose()
