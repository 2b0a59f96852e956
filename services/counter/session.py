"""One shard in the hands of this process: take the lease, recover, then count what the subscriber reads.

A session is the time that this process has the shard under one epoch. It ends, and another begins, whenever something
is not as it should be: Redis failed, another counter took over, a read's answer was lost.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from faststream import AckPolicy
from faststream.exceptions import StopConsume
from faststream.redis import RedisBroker
from faststream.redis.message import FAKE_CONSUMER, BatchStreamMessage, RedisBatchStreamMessage
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from services.counter.ahead import AheadSub, look_ahead
from services.counter.batch import Batch
from services.counter.consume import BatchCounter, Turn
from services.counter.expire import Retention
from services.counter.lease import LEASE_MS, FencedError, Lease, RestoringError
from services.counter.overlap import LostReadError, Overlap, hand_over
from services.counter.recover import forget_consumer, pending_batch, pending_consumers
from services.counter.resent import RecentIds
from services.counter.store import PatientStore
from shared import log, metrics
from shared.clickhouse import ClickHouse
from shared.ending import BATCHES_SECONDS, cancelled
from shared.errors import described
from shared.sites import Sites
from shared.streams import GROUP, Entry, EntryId, ensure_group, events_key

SPACING_SECONDS = 0.2
"""Batches that are not full begin at least this far apart: each makes a part in every table, to be merged and, after a
restart, looked at."""
FEW_EVENTS = 50
FEW_SPACING_SECONDS = 0.5
"""The same after a batch of fewer events: its INSERT costs as much as one of thousands."""
HEARTBEAT_SECONDS = 0.5
STUCK_SECONDS = 3.0
"""A session in which entries wait for so long while no batch is under way is ended."""
RETRY_SECONDS = 0.5
_BLOCK_MS = 1000

Own = tuple[str, str]
"""The consumers of a session: who reads, and who has what is written while more is read."""

logger = log.get(__name__)


_PASSING = (FencedError, LostReadError, RestoringError, RedisError, OSError)


class ShardCounter:
    """Counts one shard, for as long as `run` runs.

    ceiling: of dead letters, 0 for none; retention_days: of page views, 0 to keep them for ever.
    """

    def __init__(
        self,
        broker: RedisBroker,
        redis: "Redis",
        store: ClickHouse,
        sites: Sites,
        shard: int,
        *,
        ceiling: int,
        retention_days: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._broker = broker
        self._redis = redis
        self._store = PatientStore(store, shard)
        self._sites = sites
        self._shard = shard
        self._ceiling = ceiling
        self._retention_days = retention_days
        self._now_ms = now_ms
        self._lease = Lease(redis, shard)
        self._log = logger.bind(shard=shard)
        metrics.begin_shard(shard)
        self._counting = asyncio.Lock()
        self._ended = asyncio.Event()
        self._stopping = False
        self.alive_at = time.monotonic()
        """When this shard last counted a batch, had nothing to count, or belonged to another counter."""

    async def run(self, *, force: bool) -> None:
        """Session after session until `stop` is called or something fails that no repetition mends.

        force: at first, take the shard from whoever had it (where this process is known to be the only counter).
        """
        while not self._stopping:
            try:
                epoch = await self._lease.acquire(force=force)
                force = False
                if epoch:
                    await self._session(epoch)
                else:
                    self.alive_at = time.monotonic()
                    await asyncio.sleep(RETRY_SECONDS)
            except _PASSING as error:
                self._log.warning("session ended", error=described(error))
                await asyncio.sleep(RETRY_SECONDS)

    def stop(self) -> None:
        """Finish the batch at hand, release the shard, then let `run` return."""
        self._stopping = True
        self._ended.set()

    async def _session(self, epoch: int) -> None:
        self._ended.clear()
        # The lease is renewed from the first moment on: a recovery can take longer than it lasts.
        beat = asyncio.create_task(self._beat(epoch))
        work = asyncio.create_task(self._work(epoch))
        try:
            await asyncio.wait({beat, work}, return_when=asyncio.FIRST_COMPLETED)
            self._ended.set()
            await asyncio.wait({work}, timeout=BATCHES_SECONDS)
        finally:
            await cancelled(beat, work)
            metrics.DEAD_LEVEL.remove(str(self._shard))  # who has the shard next says it
            with suppress(RedisError, OSError, TimeoutError):
                async with asyncio.timeout(LEASE_MS / 1000):  # after that it has expired
                    await self._lease.release(epoch)
        for error in [task.exception() for task in (work, beat) if not task.cancelled()]:
            if error:
                raise error

    async def _beat(self, epoch: int) -> None:
        while True:
            await self._lease.renew(epoch)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _work(self, epoch: int) -> None:
        if self._stopping:
            return  # told to while the lease was on its way
        consumer = f"counter-{epoch}"
        self._log.info("has the shard", epoch=epoch)
        await ensure_group(self._redis, self._shard)
        recent = await RecentIds.load(self._redis, self._store, self._shard)
        guard = partial(self._lease.renew, epoch)
        retention = Retention(self._store, self._shard, self._retention_days, guard, self._now_ms)
        await retention.load()
        batches = BatchCounter(
            self._redis,
            self._store,
            self._sites,
            ceiling=self._ceiling,
            epoch=epoch,
            recent=recent,
            expired=retention.expired,
            guard=guard,
        )
        failures: list[BaseException] = []

        def failed(error: BaseException) -> None:
            failures.append(error)
            self._ended.set()

        behind = f"{consumer}-behind"
        overlap = Overlap(partial(self._count, batches), partial(hand_over, self._redis, epoch, behind), failed)
        own = consumer, behind
        await self._recover(overlap, own, lambda _: True)
        self._log.info("counts what is new", epoch=epoch)
        subscriber = await self._subscriber(overlap, own, failed)
        try:
            try:
                await subscriber.start()
            except OutOfMemoryError:
                if not await self._make_room(overlap, consumer):
                    await asyncio.sleep(RETRY_SECONDS)
                return
            await self._look_after(batches, overlap, own, retention)
        finally:
            try:
                await subscriber.stop()
            finally:
                await overlap.end()
        if failures:
            raise failures[0]

    async def _subscriber(self, overlap: Overlap, own: Own, failed: Callable[[BaseException], None]) -> Any:
        consumer, _ = own
        stream = AheadSub(self._shard, consumer, polling_interval=_BLOCK_MS)
        ahead = await look_ahead(self._redis, self._shard)
        stream.allow(ahead)
        subscriber = self._broker.subscriber(
            stream=stream,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            parser=_parse,
            decoder=_decode,
            persistent=False,
        )

        @subscriber
        async def count(entries: list[Entry]) -> None:
            nonlocal ahead
            started = time.monotonic()
            batch = Batch(self._shard, entries)
            try:
                async with self._counting:
                    await self._check_read(consumer, entries)
                    await self._recover(overlap, own, lambda first: first < entries[0].id)
                    # After a full batch there is more to read meanwhile.
                    await (overlap.begin if ahead.full else overlap.count)(batch)
                if not ahead.full:
                    spacing = FEW_SPACING_SECONDS if batch.size < FEW_EVENTS else SPACING_SECONDS
                    await asyncio.sleep(max(0.0, started + spacing - time.monotonic()))
                ahead = await look_ahead(self._redis, self._shard)
                stream.allow(ahead)
            except Exception as error:
                # Returning would let the subscriber read more before this batch is applied.
                failed(error)
                raise StopConsume from error

        return subscriber

    async def _look_after(self, batches: BatchCounter, overlap: Overlap, own: Own, retention: Retention) -> None:
        """Count what stray consumers leave, see that counting goes on, let old page views leave; until the session
        ends."""
        counted, since = batches.counted, time.monotonic()
        while not self._ended.is_set():
            if not (self._counting.locked() or overlap.under_way):
                async with self._counting:
                    read = (await pending_consumers(self._redis, self._shard)).get(own[0])
                    if not read:  # what was read comes first; its handler looks for what was before it
                        await self._recover(overlap, own, lambda _: True)
                        if await retention.look():
                            since = time.monotonic()  # entries waited for it
                waiting = await self._redis.xlen(events_key(self._shard))
                if not waiting or batches.counted != counted:
                    counted, since = batches.counted, time.monotonic()
                    self.alive_at = since
                elif time.monotonic() - since > STUCK_SECONDS:
                    raise LostReadError(f"{waiting} entries wait and none comes")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), HEARTBEAT_SECONDS)

    async def _check_read(self, consumer: str, entries: list[Entry]) -> None:
        """Exactly what was read must be pending for us, for the pending entries are the batch."""
        pending = (await pending_consumers(self._redis, self._shard)).get(consumer)
        if pending != len(entries):
            raise LostReadError(f"{pending} entries are pending, {len(entries)} were read")

    async def _recover(self, overlap: Overlap, own: Own, wanted: Callable[[EntryId], bool]) -> None:
        """Count the batches that other consumers left pending, the earliest first; wanted: by their first entry."""
        left: list[tuple[EntryId, str, Batch]] = []
        for consumer, pending in (await pending_consumers(self._redis, self._shard)).items():
            if consumer in own:
                continue
            batch = await pending_batch(self._redis, self._shard, consumer) if pending else None
            if batch is None:
                await forget_consumer(self._redis, self._shard, consumer)
            elif wanted(batch.entries[0].id):
                left.append((batch.entries[0].id, consumer, batch))
        for _, consumer, batch in sorted(left, key=lambda found: found[0]):
            self._log.warning("taking over a batch", consumer=consumer, batch=batch.token, entries=len(batch.entries))
            metrics.RECOVERIES.labels(str(self._shard)).inc()
            await overlap.count(batch)

    async def _make_room(self, overlap: Overlap, consumer: str) -> bool:
        """Count one batch without the subscriber, whose XGROUP CREATE a full Redis refuses: applying frees memory.

        Whether there was one.
        """
        ahead = await look_ahead(self._redis, self._shard)
        read: Any = await self._redis.xreadgroup(GROUP, consumer, {events_key(self._shard): ">"}, count=ahead.entries)
        for _, entries in read:
            batch = [Entry(EntryId.parse(name), fields) for name, fields in entries]
            await overlap.count(Batch(self._shard, batch))
        return bool(read)

    async def _count(self, batches: BatchCounter, batch: Batch, turn: Turn) -> None:
        await batches.count(batch, turn)
        self.alive_at = time.monotonic()


async def _parse(message: BatchStreamMessage) -> RedisBatchStreamMessage:
    """FastStream's batch parser reads every entry as JSON; ours keeps them as they are, one by one."""
    entries = [
        Entry(EntryId.parse(name), fields) for name, fields in zip(message["message_ids"], message["data"], strict=True)
    ]
    return RedisBatchStreamMessage(raw_message=message, body=entries, consumer=FAKE_CONSUMER, group=GROUP)


async def _decode(message: RedisBatchStreamMessage) -> Any:
    return message.body
