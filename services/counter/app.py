"""The counter service: a FastStream application with one subscriber for each shard that it has the lease of."""

import asyncio
import logging
import time
from collections.abc import Callable

from faststream import FastStream
from faststream.redis import RedisBroker

from services.counter.room import watch_room
from services.counter.session import ShardCounter
from shared import log, metrics
from shared import redis as shared_redis
from shared.clickhouse import ClickHouse, LazyStore
from shared.clock import wall_clock_ms
from shared.ending import BATCHES_SECONDS, CLOSING_SECONDS, GIVING_UP_SECONDS, failed, within
from shared.schema import check_migrated
from shared.settings import Settings
from shared.sites import Sites
from shared.streams import check_shards

STALLED_SECONDS = 15.0
"""A shard without progress for longer is not ready."""
_REDIS_SECONDS = 30.0


class Counter:
    """The running service. alone: no other counter can be at work on this store (`truycap up`)."""

    def __init__(
        self, settings: Settings, sites: Sites, now_ms: Callable[[], int] = wall_clock_ms, *, alone: bool = False
    ) -> None:
        self._settings = settings
        self._sites = sites
        self._now_ms = now_ms
        self._alone = alone
        self._redis = shared_redis.client(settings.redis_url, timeout=_REDIS_SECONDS)
        library = logging.getLogger(f"{__name__}.faststream")
        library.addFilter(log.without_traceback)
        self._broker = RedisBroker(
            settings.redis_url,
            apply_types=False,
            graceful_timeout=BATCHES_SECONDS - GIVING_UP_SECONDS,  # so that a shard is released within its share
            logger=library,
            **shared_redis.PLAIN,
        )
        self.application = FastStream(self._broker, logger=None, after_startup=[self._start_shards])
        self._stores: list[ClickHouse] = []
        # A connection of its own: what it asks must not keep a shard waiting.
        self._room = LazyStore(lambda: ClickHouse.connect(settings.clickhouse_dsn))
        self._watching: asyncio.Task[None] | None = None
        self._shards: list[ShardCounter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await shared_redis.check_server(self._redis, self._settings.redis_url)
        with shared_redis.must_answer(self._settings.redis_url):
            await check_shards(self._redis, self._settings.shards)
        await self.application.start()

    async def stop(self) -> None:
        """Finish the batches at hand, release the shards, close."""
        if self._watching:
            self._watching.cancel()
        for shard in self._shards:
            shard.stop()
        # What ended by an error has been raised by `failed` already.
        await within(BATCHES_SECONDS, *(task for task in self._tasks if not task.done()))
        stores = [self._room.close(), *(store.close() for store in self._stores)]
        await within(CLOSING_SECONDS, self.application.stop(), self._redis.aclose(), *stores)

    async def failed(self) -> None:
        """Returns never; raises what ended the counting of a shard."""
        await failed(self._tasks)

    async def ready(self) -> str | None:
        """Which shards make no progress, None where all do."""
        now = time.monotonic()
        stalled = [str(number) for number, shard in enumerate(self._shards) if now - shard.alive_at > STALLED_SECONDS]
        if not self._shards:
            return "not started"
        return f"no progress on shard {', '.join(stalled)} for {STALLED_SECONDS:.0f} s" if stalled else None

    async def _start_shards(self) -> None:
        metrics.DEAD_CEILING.set(self._settings.dead_letter_ceiling)
        for number in range(self._settings.shards):
            # A connection each, so that a shard whose store hangs does not keep the others waiting.
            store = await ClickHouse.connect(self._settings.clickhouse_dsn)
            self._stores.append(store)
            if number == 0:
                await check_migrated(store)
            shard = ShardCounter(
                self._broker,
                self._redis,
                store,
                self._sites,
                number,
                ceiling=self._settings.dead_letter_ceiling,
                retention_days=self._settings.retention_days,
                now_ms=self._now_ms,
            )
            self._shards.append(shard)
            self._tasks.append(asyncio.create_task(shard.run(force=self._alone), name=f"shard-{number}"))
        self._watching = asyncio.create_task(watch_room(self._room), name="room")
