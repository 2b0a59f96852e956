"""The lease of a shard."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from services.counter.lease import Lease, lease_key, taken_over


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
