"""One shard's way from the stream to the read model: take the lease, recover, then count batch after batch.

A session is the time that this process has the shard under one epoch. It ends, and another begins, whenever something
is not as it should be: Redis failed, another counter took over, a read's answer was lost.
"""

import asyncio
import time
from contextlib import suppress
from typing import Any

from faststream import AckPolicy
from faststream.exceptions import StopConsume
from faststream.redis import RedisBroker, StreamSub
from faststream.redis.message import FAKE_CONSUMER, BatchStreamMessage, RedisBatchStreamMessage
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, RedisError

from services.counter.apply import apply
from services.counter.batch import Batch
from services.counter.changes import changes
from services.counter.enrich import Outcome, enrich, sort_out
from services.counter.lease import FencedError, Lease
from services.counter.recover import forget_consumer, pending_batch, pending_consumers
from services.counter.resent import find_stored
from services.counter.state import read_state
from services.counter.store import PatientStore
from services.counter.write import write, written
from shared import log, metrics
from shared.clickhouse import ClickHouse
from shared.sites import Sites
from shared.streams import GROUP, Entry, EntryId, ensure_group, events_key

MAX_ENTRIES = 256
"""Entries in a batch; an entry holds at most MAX_ENTRY_EVENTS events."""
SPACING_SECONDS = 0.1
"""Small batches begin at least this far apart, so that single events do not make a part of a table each."""
HEARTBEAT_SECONDS = 1.0
RETRY_SECONDS = 0.5
_BLOCK_MS = 1000

logger = log.get(__name__)


class LostReadError(Exception):
    """Something is pending that this session did not get: an answer of Redis was lost on the way."""


class ShardCounter:
    """Counts one shard, for as long as `run` runs."""

    def __init__(self, broker: RedisBroker, redis: "Redis", store: ClickHouse, sites: Sites, shard: int) -> None:
        self._broker = broker
        self._redis = redis
        self._store = PatientStore(store, shard)
        self._sites = sites
        self._shard = shard
        self._lease = Lease(redis, shard)
        self._log = logger.bind(shard=shard)
        self._counting = asyncio.Lock()
        self._ended = asyncio.Event()
        self._stopping = False
        self._batches = 0
        self.failure: Exception | None = None
        self.alive_at = time.monotonic()
        """When this shard last made progress or was seen to have nothing to do, or to belong to another counter."""

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
            except (FencedError, LostReadError, RedisError, OSError) as error:
                self._log.warning("session ended", error=str(error) or type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)

    def stop(self) -> None:
        """Finish the batch at hand, release the shard, then let `run` return."""
        self._stopping = True
        self._ended.set()

    async def _session(self, epoch: int) -> None:
        consumer = f"counter-{epoch}"
        try:
            await ensure_group(self._redis, self._shard)
            await self._recover(epoch)
            await self._subscribe(epoch, consumer)
        finally:
            with suppress(RedisError, OSError):
                await self._lease.release(epoch)

    async def _subscribe(self, epoch: int, consumer: str) -> None:
        self._ended.clear()
        if self._stopping:
            return
        stream = StreamSub(
            events_key(self._shard),
            group=GROUP,
            consumer=consumer,
            batch=True,
            max_records=MAX_ENTRIES,
            polling_interval=_BLOCK_MS,
        )
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
            started = time.monotonic()
            try:
                async with self._counting:
                    await self._recover(epoch, before=entries)
                    await self._count(Batch(self._shard, entries), epoch)
            except (FencedError, LostReadError, RedisError, OSError) as error:
                self._log.warning("batch left pending", error=str(error) or type(error).__name__)
                self._ended.set()
                raise StopConsume from error
            except Exception as error:
                self.failure = error
                self._ended.set()
                raise StopConsume from error
            if len(entries) < MAX_ENTRIES:
                await asyncio.sleep(max(0.0, started + SPACING_SECONDS - time.monotonic()))

        try:
            await subscriber.start()
            await self._keep(epoch, consumer)
        except OutOfMemoryError:
            await self._make_room(epoch, consumer)
        finally:
            await subscriber.stop()
        if self.failure:
            raise self.failure

    async def _make_room(self, epoch: int, consumer: str) -> None:
        """Count one batch without the subscriber, whose XGROUP CREATE a full Redis refuses: applying frees memory."""
        read: Any = await self._redis.xreadgroup(GROUP, consumer, {events_key(self._shard): ">"}, count=MAX_ENTRIES)
        for _, entries in read:
            batch = Batch(self._shard, [Entry(EntryId.parse(name), fields) for name, fields in entries])
            await self._count(batch, epoch)

    async def _keep(self, epoch: int, consumer: str) -> None:
        """Renew the lease and look after what lies about, until the session ends."""
        suspected = -1
        while not self._ended.is_set():
            await self._lease.renew(epoch)
            if not self._counting.locked():
                async with self._counting:
                    await self._recover(epoch, own=consumer)
                    unread = (await pending_consumers(self._redis, self._shard)).get(consumer, 0)
                self.alive_at = time.monotonic()
                if unread and suspected == self._batches:
                    raise LostReadError("entries are pending that were never read")
                suspected = self._batches if unread else -1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), HEARTBEAT_SECONDS)

    async def _recover(self, epoch: int, *, own: str = "", before: list[Entry] | None = None) -> None:
        """Count what other consumers left pending, the earliest first; before: only what comes before these entries."""
        own = own or f"counter-{epoch}"
        consumers = await pending_consumers(self._redis, self._shard)
        if before is not None and consumers.get(own) != len(before):
            raise LostReadError("more is pending than was read")
        batches: list[tuple[EntryId, str, Batch]] = []
        for consumer, pending in consumers.items():
            if consumer == own:
                continue
            batch = await pending_batch(self._redis, self._shard, consumer) if pending else None
            if batch is None:
                await forget_consumer(self._redis, self._shard, consumer)
            else:
                batches.append((batch.entries[0].id, consumer, batch))
        for first, consumer, batch in sorted(batches, key=lambda found: found[0]):
            if before is not None and first > before[0].id:
                continue
            self._log.warning("taking over a batch", consumer=consumer, batch=batch.token, entries=len(batch.entries))
            metrics.RECOVERIES.labels(str(self._shard)).inc()
            await self._count(batch, epoch)

    async def _count(self, batch: Batch, epoch: int) -> None:
        """The way of a batch: sort out, read the state, look up what was resent, enrich, write, apply."""
        self._batches += 1
        outcome = Outcome()
        arrivals = sort_out(batch, self._sites, outcome)
        state = await read_state(self._redis, self._shard, epoch, arrivals)
        stored = await find_stored(self._store, self._shard, arrivals)
        enrich(batch, arrivals, state, stored, outcome)
        if batch.recovered:
            outcome.keep(await written(self._store, batch, arrivals))
        await write(self._store, batch, outcome.rows)
        if await apply(self._redis, batch, epoch, changes(batch, outcome.rows, outcome, state)):
            _measure(batch, outcome)
        self.alive_at = time.monotonic()


def _measure(batch: Batch, outcome: Outcome) -> None:
    shard = str(batch.shard)
    metrics.BATCH_EVENTS.observe(len(batch.events))
    metrics.COUNTED.labels(shard).inc(len(outcome.rows) + outcome.presence_only)
    for _, reason in outcome.rejected:
        metrics.REJECTED.labels(shard, reason).inc()
    for letter in outcome.dead:
        metrics.DEAD.labels(shard, letter.reason).inc(letter.content.n)
    metrics.VISIBLE_SECONDS.observe(max(0.0, time.time() - batch.entries[0].id.ms / 1000))


async def _parse(message: BatchStreamMessage) -> RedisBatchStreamMessage:
    """FastStream's batch parser reads every entry as JSON; ours keeps them as they are, one by one."""
    entries = [
        Entry(EntryId.parse(name), fields) for name, fields in zip(message["message_ids"], message["data"], strict=True)
    ]
    return RedisBatchStreamMessage(raw_message=message, body=entries, consumer=FAKE_CONSUMER, group=GROUP)


async def _decode(message: RedisBatchStreamMessage) -> Any:
    return message.body
