"""The lease of a shard."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from services.counter.lease import Lease, lease_key, taken_over
from services.counter.session import ShardCounter
from shared.clickhouse import ClickHouse
from shared.streams import append, events_key
from tests.support.counting import counting, pageview, settings
from tests.support.servers import RedisServer


async def test_who_has_the_shard_keeps_it_from_others_until_it_is_released(redis: Redis) -> None:
    one, other = Lease(redis, 0), Lease(redis, 0)
    epoch = await one.acquire()
    assert epoch
    assert await other.acquire() is None
    await one.release(epoch)
    assert await other.acquire() == epoch + 1


async def test_what_a_session_could_not_release_is_its_own_to_take(redis: Redis) -> None:
    one, other = Lease(redis, 0), Lease(redis, 0)
    assert await one.acquire() == 1
    assert await one.acquire() == 2
    assert await other.acquire() is None
    assert await other.acquire(force=True) == 3
    assert await one.acquire() is None


async def test_a_counter_that_is_stopped_while_it_takes_the_lease_begins_no_session(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(self: ShardCounter, *, force: bool) -> None:
        shards.append(self)
        await real_run(self, force=force)

    async def acquire(self: Lease, *, force: bool = False) -> int | None:
        epoch = await real_acquire(self, force=force)
        shards[0].stop()
        return epoch

    shards: list[ShardCounter] = []
    real_run, real_acquire = ShardCounter.run, Lease.acquire
    monkeypatch.setattr(ShardCounter, "run", run)
    monkeypatch.setattr(Lease, "acquire", acquire)
    await append(redis, 0, [pageview()])
    async with counting(settings(redis_server.url, dsn)) as counter:
        await asyncio.gather(*counter._tasks)
    assert await redis.xlen(events_key(0)) == 1
    assert not await redis.exists(lease_key(0))


async def test_who_had_a_shard_meanwhile_lets_it_go_also_where_a_cancellation_is_lost(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is on its way out of a library, where it meets a time-out."""
    renewing, lost = asyncio.Event(), list[bool]()

    async def renew(*_: Any) -> None:
        renewing.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if lost:
                raise
            lost.append(True)

    monkeypatch.setattr(Lease, "renew", renew)
    async with asyncio.timeout(20) as limit:
        async with taken_over(redis, 0):
            await renewing.wait()
    assert lost
    assert not limit.expired()
    assert not await redis.exists(lease_key(0))
