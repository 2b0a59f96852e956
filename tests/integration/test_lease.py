"""The lease of a shard."""

from redis.asyncio import Redis

from services.counter.lease import Lease


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
