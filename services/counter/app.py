"""The counter service: a FastStream application with one subscriber for each shard that it has the lease of."""

import asyncio
import logging
import time

from faststream import FastStream
from faststream.redis import RedisBroker
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from services.counter.consume import ShardCounter
from shared import redis as shared_redis
from shared.clickhouse import ClickHouse
from shared.settings import Settings
from shared.sites import Sites

STALLED_SECONDS = 15.0
"""A shard without progress for longer is not ready."""
_DRAIN_SECONDS = 6.0
_REDIS_SECONDS = 30.0


class Counter:
    """The running service. alone: no other counter can be at work on this store (`truycap up`)."""

    def __init__(self, settings: Settings, sites: Sites, *, alone: bool = False) -> None:
        self._settings = settings
        self._sites = sites
        self._alone = alone
        self._redis = shared_redis.client(settings.redis_url, timeout=_REDIS_SECONDS)
        # A read that is repeated behind our back would make more pending than we were given.
        self._broker = RedisBroker(
            settings.redis_url,
            retry=Retry(NoBackoff(), 0),
            apply_types=False,
            graceful_timeout=_DRAIN_SECONDS,
            logger=logging.getLogger(f"{__name__}.faststream"),
        )
        self.application = FastStream(
            self._broker, logger=None, after_startup=[self._start_shards], on_shutdown=[self._stop_shards]
        )
        self._store: ClickHouse | None = None
        self._shards: list[ShardCounter] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await shared_redis.check_server(self._redis, self._settings.redis_url)
        self._store = await ClickHouse.connect(self._settings.clickhouse_dsn)
        await self.application.start()

    async def stop(self) -> None:
        """Finish the batches at hand, release the shards, close."""
        await self.application.stop()
        await self._redis.aclose()
        if self._store:
            await self._store.close()

    async def failed(self) -> None:
        """Returns never; raises what ended the counting of a shard."""
        await asyncio.gather(*self._tasks)
        await asyncio.Event().wait()

    async def ready(self) -> str | None:
        """Which shards make no progress, None where all do."""
        now = time.monotonic()
        stalled = [str(number) for number, shard in enumerate(self._shards) if now - shard.alive_at > STALLED_SECONDS]
        if not self._shards:
            return "not started"
        return f"no progress on shard {', '.join(stalled)} for {STALLED_SECONDS:.0f} s" if stalled else None

    async def _start_shards(self) -> None:
        assert self._store  # noqa: S101 - opened by start
        for number in range(self._settings.shards):
            shard = ShardCounter(self._broker, self._redis, self._store, self._sites, number)
            self._shards.append(shard)
            self._tasks.append(asyncio.create_task(shard.run(force=self._alone), name=f"shard-{number}"))

    async def _stop_shards(self) -> None:
        for shard in self._shards:
            shard.stop()
        waiting = set(self._tasks)
        timeout = _DRAIN_SECONDS
        while waiting:
            _, waiting = await asyncio.wait(waiting, timeout=timeout)
            for task in waiting:  # more than once: on its way out a cancellation can be lost in a library's time-out
                task.cancel()
            timeout = 0.5
