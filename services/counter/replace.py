"""Keys of a shard replaced by new ones, all at one moment, however large they are.

The new ones are written beside the old first, a little at a time: Redis answers others in between, and the loop renews
the lease. Then they take their places in one transaction.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError, WatchError

from services.counter.commands import Command
from services.counter.lease import FencedError, epoch_key

_WORDS_AT_ONCE = 10_000
"""Some 20 ms, for redis-py and for Redis."""
_BESIDE_SECONDS = 3600
"""So long stays what was written beside by one who was killed then."""


async def replace(
    redis: "Redis", shard: int, epoch: int, *, old: Collection[str], new: Iterable[Command], also: Iterable[Command]
) -> None:
    """Let keys hold what commands make of them. FencedError where the shard was taken from us; then none has changed.

    old: the keys that go; new: commands that fill keys, each with its key as the second word; also: what else happens
    at that moment.
    """
    filled: dict[str, str] = {}
    try:
        await _write_beside(redis, epoch, new, filled)
        await _swap(redis, shard, epoch, old=old, filled=filled, also=also)
    except BaseException:  # in a full Redis nothing would be accepted until it expired
        with suppress(RedisError):
            async with redis.pipeline(transaction=False) as pipe:
                for beside in filled.values():
                    pipe.unlink(beside)
                await pipe.execute()
        raise


async def _write_beside(redis: "Redis", epoch: int, new: Iterable[Command], filled: dict[str, str]) -> None:
    for some in _few_at_once(new):
        async with redis.pipeline(transaction=False) as pipe:
            for name, word, *words in some:
                key = str(word)
                beside = filled[key] = f"{key}:of-{epoch}"  # whoever has lost the shard may be writing still
                pipe.execute_command(name, beside, *words)
                pipe.expire(beside, _BESIDE_SECONDS)
            await pipe.execute()


async def _swap(
    redis: "Redis", shard: int, epoch: int, *, old: Collection[str], filled: dict[str, str], also: Iterable[Command]
) -> None:
    async with redis.pipeline(transaction=True) as transaction:
        await transaction.watch(epoch_key(shard))
        if await transaction.get(epoch_key(shard)) != b"%d" % epoch:
            raise FencedError
        transaction.multi()  # type: ignore[no-untyped-call]
        for key in old:
            transaction.unlink(key)  # not left to RENAME, which frees in Redis's one thread
        for key, beside in filled.items():
            transaction.rename(beside, key)
            transaction.persist(key)
        for command in also:
            transaction.execute_command(*command)
        try:
            await transaction.execute()
        except WatchError:
            raise FencedError from None


def _few_at_once(commands: Iterable[Command]) -> Iterator[list[Command]]:
    some: list[Command] = []
    words = 0
    for command in commands:
        some.append(command)
        words += len(command)
        if words >= _WORDS_AT_ONCE:
            yield some
            some, words = [], 0
    if some:
        yield some
