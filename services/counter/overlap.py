"""Two batches at once: while one is written and applied, the next is read and computed.

What is pending for a consumer is a batch (recover.py). So a batch that is written while the subscriber reads on is
handed over to another consumer: as a whole, and not before that one has nothing any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.asyncio import Redis

from services.counter.batch import Batch
from services.counter.consume import Turn
from services.counter.lease import FencedError, epoch_key
from shared.ending import cancelled
from shared.redis import script
from shared.streams import GROUP, events_key

_SCRIPT = script("services.counter", "hand_over.lua")


class LostReadError(Exception):
    """Something is pending that this session did not get: an answer of Redis was lost on the way."""


async def hand_over(redis: "Redis", epoch: int, consumer: str, batch: Batch) -> None:
    """Let the batch be that of another consumer, which has nothing pending.

    FencedError where the shard has passed to another counter; then nothing was changed. LostReadError where not all of
    it was pending.
    """
    words: list[str | int] = [GROUP, epoch, consumer, *(str(entry.id) for entry in batch.entries)]
    handed_over = await redis.eval(_SCRIPT, 2, events_key(batch.shard), epoch_key(batch.shard), *words)
    if handed_over == -1:
        raise FencedError
    if handed_over != len(batch.entries):
        raise LostReadError(f"{handed_over} of {len(batch.entries)} entries are pending")


class Overlap:
    """Counts batches one after the other, of which one may be written behind.

    count: counts a batch, at its turn; hand_over: lets a batch be written behind; failed: told what became of one that
    was, as soon as it fails.
    """

    def __init__(
        self,
        count: Callable[[Batch, Turn], Awaitable[None]],
        hand_over: Callable[[Batch], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._count = count
        self._hand_over = hand_over
        self._failed = failed
        self._behind: asyncio.Task[None] | None = None

    @property
    def under_way(self) -> bool:
        """Whether a batch is written behind."""
        return self._behind is not None and not self._behind.done()

    async def count(self, batch: Batch) -> None:
        """Count the batch; returns when it is applied. Raises what it, or the one before it, fails by."""
        await self._count(batch, self._applied)

    async def begin(self, batch: Batch) -> None:
        """The same, but returns when the batch is computed, all before it are applied, and it is written behind."""
        handed_over = asyncio.get_running_loop().create_future()

        async def turn() -> None:
            await self._applied()
            await self._hand_over(batch)
            handed_over.set_result(None)

        behind = asyncio.ensure_future(self._count(batch, turn))
        try:
            await asyncio.wait({behind, handed_over}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await cancelled(behind)
            raise
        if not handed_over.done():
            return behind.result()
        self._behind = behind
        behind.add_done_callback(self._ended)
        return None

    async def end(self) -> None:
        """Wait for what is written behind; who stops waiting cancels it."""
        if self._behind:
            with suppress(Exception):  # `failed` knows
                await self._behind

    async def _applied(self) -> None:
        """Wait until what is written behind is applied."""
        if self._behind:
            await asyncio.wait({self._behind})
            self._behind.result()

    def _ended(self, behind: asyncio.Task[None]) -> None:
        if not behind.cancelled() and (error := behind.exception()):
            self._failed(error)
