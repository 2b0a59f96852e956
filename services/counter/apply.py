"""The last step of a batch: one script changes the read model and acknowledges the batch, or does nothing."""

from collections.abc import Sequence

from redis.asyncio import Redis

from services.counter.batch import Batch
from services.counter.commands import Command, packed, running
from services.counter.lease import FencedError, epoch_key
from shared import metrics, tracing
from shared.streams import GROUP, events_key

_SCRIPT = running("apply.lua")


async def apply(redis: "Redis", batch: Batch, epoch: int, commands: Sequence[Command]) -> bool:
    """Whether this call applied the batch: False where it had been applied before.

    FencedError where the shard has passed to another counter; then nothing was changed.
    """
    words: list[str | int | bytes] = [GROUP, epoch, packed(commands), *(str(entry.id) for entry in batch.entries)]
    with metrics.APPLY_SECONDS.labels(str(batch.shard)).time(), tracing.script("apply"):
        # Not EVALSHA: after a restart Redis would not know the script, on the one path that must work.
        acknowledged = await redis.eval(_SCRIPT, 2, events_key(batch.shard), epoch_key(batch.shard), *words)
    if acknowledged == -1:
        raise FencedError
    return bool(acknowledged)
