"""Who counts a shard: a lease that expires, and a fence that does not.

The lease only keeps two counters from taking a shard from each other for no reason. What makes the counting right is
the epoch: a number that grows with every take-over, checked by Redis in the same script that changes anything. A
counter that was stopped and wakes up late holds an old epoch, and its writes change nothing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis.asyncio import Redis

from shared.ending import cancelled
from shared.errors import TruycapError
from shared.streams import shard_key

LEASE_MS = 2000
"""How long a shard stays with a counter that no longer answers."""
_RENEW_SECONDS = 0.5

# allow-oom: a full Redis is emptied by counting, and for that the shard must be held.
_ACQUIRE = """#!lua flags=allow-oom
if redis.call('EXISTS', KEYS[3]) == 1 and ARGV[4] == '0' then return -1 end
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


# What `truycap restore` puts back were pending entries of earlier epochs: none of those may come again.
_RAISE = """#!lua flags=allow-oom
if tonumber(redis.call('GET', KEYS[1]) or 0) < tonumber(ARGV[1]) then redis.call('SET', KEYS[1], ARGV[1]) end
"""


class FencedError(Exception):
    """Another counter has taken the shard over."""


class RestoringError(TruycapError):
    """What the stores hold is half of a backup and half of what was there before: nothing may be counted on it."""

    code = "restoring"
    exit_code = 2

    def __init__(self) -> None:
        super().__init__(
            "A backup is being restored, and counting waits for the end of it. If that was cut off, run "
            "`truycap restore` again."
        )


def lease_key(shard: int) -> str:
    """A string that expires: the epoch of the counter that has the shard."""
    return shard_key(shard, "lease")


def epoch_key(shard: int) -> str:
    """A number: how often the shard was taken."""
    return shard_key(shard, "epoch")


def restoring_key(shard: int) -> str:
    """A string that is there from the moment in which a restore changes the first thing until the last is done."""
    return shard_key(shard, "restoring")


async def raise_epoch(redis: "Redis", shard: int, least: int) -> None:
    """Let the next epoch be higher than this one."""
    await redis.eval(_RAISE, 1, epoch_key(shard), least)


class Lease:
    """The lease of one shard, for one who has it for one session at a time. restoring: also for one who restores it."""

    def __init__(self, redis: "Redis", shard: int, *, restoring: bool = False) -> None:
        self._redis = redis
        self._keys = [lease_key(shard), epoch_key(shard)]
        self._acquire_keys = [*self._keys, restoring_key(shard)]
        self._restoring = restoring
        self._epoch = 0

    async def acquire(self, *, force: bool = False) -> int | None:
        """A new epoch, or None while another counter has the shard. force: take it over all the same.

        What an earlier session of this one could not release, because Redis was away, is its own to take.
        RestoringError where a restore has begun and not ended.
        """
        words = LEASE_MS, self._epoch, int(force), int(self._restoring)
        epoch = int(await self._redis.eval(_ACQUIRE, 3, *self._acquire_keys, *words))
        if epoch == -1:
            raise RestoringError
        self._epoch = epoch
        return epoch or None

    async def renew(self, epoch: int) -> None:
        """Keep the shard. FencedError where another counter has taken it."""
        if not await self._redis.eval(_RENEW, 2, *self._keys, LEASE_MS, epoch):
            raise FencedError

    async def release(self, epoch: int) -> None:
        """Let the next counter have the shard at once."""
        await self._redis.eval(_RELEASE, 2, *self._keys, 0, epoch)


@asynccontextmanager
async def taken_over(redis: "Redis", shard: int, *, restoring: bool = False) -> AsyncIterator[int]:
    """Have the shard alone meanwhile, whoever had it; restoring: also where a restore was cut off."""
    lease = Lease(redis, shard, restoring=restoring)
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
        await cancelled(keeping)
        with suppress(asyncio.CancelledError, FencedError):
            keeping.result()
        await lease.release(epoch)
