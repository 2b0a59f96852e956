"""How far apart batches begin, with a real Redis and the real ClickHouse engine."""

import asyncio

import pytest
from redis.asyncio import Redis

from services.counter import session
from services.counter.session import FEW_EVENTS
from shared.clickhouse import ClickHouse
from shared.delivery import read_delivery
from shared.streams import append, events_key
from tests.support.counting import counting, pageview, settings, until_counted
from tests.support.servers import RedisServer

LONG_SECONDS = 60.0
"""Longer than anything that is waited for."""


async def test_after_a_batch_of_few_events_the_next_begins_later(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "SPACING_SECONDS", 0.0)
    monkeypatch.setattr(session, "FEW_SPACING_SECONDS", LONG_SECONDS)
    monkeypatch.setattr(session, "STUCK_SECONDS", LONG_SECONDS)
    async with counting(settings(redis_server.url, dsn)):
        for _ in range(2):
            await append(redis, 0, [pageview() for _ in range(FEW_EVENTS)])
            await until_counted(redis)
        await append(redis, 0, [pageview() for _ in range(FEW_EVENTS - 1)])
        await until_counted(redis)
        await append(redis, 0, [pageview()])
        await asyncio.sleep(1.0)
        assert await redis.xlen(events_key(0)) == 1
    assert (await read_delivery(redis, 0)).counted == 3 * FEW_EVENTS - 1
