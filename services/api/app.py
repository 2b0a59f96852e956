"""The api service: its parts put together."""

import asyncio
import time
from collections.abc import Callable

from fastapi import APIRouter

from services.api.blocks import blocks
from services.api.live import Live
from services.api.pages import pages
from services.api.snapshots import Snapshots
from services.api.stats import stats
from services.api.watch import watch
from shared import redis as shared_redis
from shared.clickhouse import ClickHouse, LazyStore
from shared.clock import wall_clock_ms
from shared.ending import CLOSING_SECONDS, failed, within
from shared.http import Routes
from shared.settings import Settings
from shared.sites import Sites

STALE_SECONDS = 10.0
_REDIS_SECONDS = 2.0


class Api:
    """The running service. demo_site: the site that /demo counts for, None for no demo."""

    def __init__(
        self,
        settings: Settings,
        sites: Sites,
        now_ms: Callable[[], int] = wall_clock_ms,
        demo_site: str | None = None,
    ) -> None:
        self._settings = settings
        self._redis = shared_redis.client(settings.redis_url, timeout=_REDIS_SECONDS)
        self._store = LazyStore(lambda: ClickHouse.connect(settings.clickhouse_dsn))
        self._snapshots = Snapshots(self._redis, sites, now_ms)
        self._now_ms = now_ms
        self._tasks: list[asyncio.Task[None]] = []
        self._live = Live(sites, self._snapshots, settings.live_streams)
        self.routers: list[APIRouter] = [
            blocks(sites, self._snapshots),
            stats(sites, self._store, now_ms),
            pages(sites, demo_site),
        ]

    @property
    def routes(self) -> Routes:
        return self._live.routes

    async def start(self) -> None:
        await shared_redis.check_server(self._redis, self._settings.redis_url)
        await self._snapshots.start()
        self._tasks = [
            asyncio.create_task(self._live.run(), name="streams"),
            asyncio.create_task(watch(self._redis, self._settings.shards, self._now_ms), name="watch"),
        ]

    async def drain(self) -> None:
        """End the open streams, so that the server can stop."""
        await self._live.close()

    async def stop(self) -> None:
        await self._snapshots.stop()
        for task in self._tasks:
            task.cancel()
        await within(CLOSING_SECONDS, self._redis.aclose(), self._store.close())

    async def failed(self) -> None:
        """Returns never; raises what ended the serving of the streams, or the watch."""
        await failed(self._tasks)

    async def ready(self) -> str | None:
        """Whether the read model is being read, None where it is."""
        age = time.monotonic() - self._snapshots.read_at
        return f"the read model was last read {age:.0f} s ago" if age > STALE_SECONDS else None
