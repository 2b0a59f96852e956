"""Who counts a shard: a lease that expires, and a fence that does not.

The lease only keeps two counters from taking a shard from each other for no reason. What makes the counting right is
the epoch: a number that grows with every take-over, checked by Redis in the same script that changes anything. A
counter that was stopped and wakes up late holds an old epoch, and its writes change nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis

from shared.streams import shard_key

LEASE_MS = 2000
"""How long a shard stays with a counter that no longer answers."""
_RENEW_SECONDS = 0.5

# allow-oom: a full Redis is emptied by counting, and for that the shard must be held.
_ACQUIRE = """#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[2] and ARGV[3] == '0' then return 0 end
local epoch = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], epoch, 'PX', ARGV[1])
return epoch
"""
_RENEW = """#!lua flags=allow-oom
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return 1
"""
_RELEASE = """
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class FencedError(Exception):
    """Another counter has taken the shard over."""


def lease_key(shard: int) -> str:
    """A string that expires: the epoch of the counter that has the shard."""
    return shard_key(shard, "lease")


def epoch_key(shard: int) -> str:
    """A number: how often the shard was taken."""
    return shard_key(shard, "epoch")


class Lease:
    """The lease of one shard, for one who has it for one session at a time."""

    def __init__(self, redis: "Redis", shard: int) -> None:
        self._redis = redis
        self._keys = [lease_key(shard), epoch_key(shard)]
        self._epoch = 0

    async def acquire(self, *, force: bool = False) -> int | None:
        """A new epoch, or None while another counter has the shard. force: take it over all the same.

        What an earlier session of this one could not release, because Redis was away, is its own to take.
        """
        self._epoch = int(await self._redis.eval(_ACQUIRE, 2, *self._keys, LEASE_MS, self._epoch, int(force)))
        return self._epoch or None

    async def renew(self, epoch: int) -> None:
        """Keep the shard. FencedError where another counter has taken it."""
        if not await self._redis.eval(_RENEW, 2, *self._keys, LEASE_MS, epoch):
            raise FencedError

    async def release(self, epoch: int) -> None:
        """Let the next counter have the shard at once."""
        await self._redis.eval(_RELEASE, 2, *self._keys, 0, epoch)


@asynccontextmanager
async def taken_over(redis: "Redis", shard: int) -> AsyncIterator[int]:
    """Have the shard alone meanwhile, whoever had it."""
    lease = Lease(redis, shard)
    epoch = await lease.acquire(force=True)
    assert epoch  # noqa: S101 - forced

    async def keep() -> None:
        while True:
            await lease.renew(epoch)
            await asyncio.sleep(_RENEW_SECONDS)

    keeping = asyncio.create_task(keep())
    try:
        yield epoch
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError, FencedError):
            await keeping
        await lease.release(epoch)
