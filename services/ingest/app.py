"""The ingest service: its parts put together."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

from services.ingest.collect import Addresses, Collect
from services.ingest.pipeline import Pipeline, RateLimit
from services.ingest.publish import COMMIT_SECONDS, Publisher
from services.ingest.visitor import Salts
from shared import redis as shared_redis
from shared.clock import wall_clock_ms
from shared.ending import BATCHES_SECONDS, CLOSING_SECONDS, failed, within
from shared.http import Routes
from shared.settings import Settings
from shared.sites import Sites
from shared.streams import check_shards

READY_KEY = "ingest:ready"
"""Written to find out whether Redis takes writes; nobody reads it."""
_READY_SECONDS = 10


class Ingest:
    """The running service. Everything it holds is opened by `start` and closed by `stop`."""

    def __init__(
        self,
        settings: Settings,
        sites: Sites,
        now_ms: Callable[[], int] = wall_clock_ms,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._settings = settings
        self._redis = shared_redis.client(settings.redis_url, timeout=COMMIT_SECONDS)
        self._salts = Salts(self._redis, now_ms)
        self._publishers: list[Publisher] = []
        self._collect = Collect(
            pipeline=Pipeline(sites, RateLimit(settings.rate_limit), self._salts.today),
            publishers=self._publishers,
            sites=sites,
            addresses=Addresses(settings.trusted_proxies),
            max_body_bytes=settings.max_body_bytes,
            now_ms=now_ms,
            new_id=new_id,
        )

    @property
    def routes(self) -> Routes:
        return self._collect.routes

    async def start(self) -> None:
        await shared_redis.check_server(self._redis, self._settings.redis_url)
        with shared_redis.must_answer(self._settings.redis_url):
            await check_shards(self._redis, self._settings.shards)
        await shared_redis.check_durability(self._redis, self._settings.redis_url)
        await self._salts.start()
        self._publishers.extend(Publisher(self._redis, shard) for shard in range(self._settings.shards))

    async def stop(self) -> None:
        await self._salts.stop()
        await within(BATCHES_SECONDS, *(publisher.stop() for publisher in self._publishers))
        await within(CLOSING_SECONDS, self._redis.aclose())

    async def failed(self) -> None:
        """Returns never; raises what ended the way onto a shard's stream."""
        await failed([publisher.task for publisher in self._publishers])

    async def ready(self) -> str | None:
        """What keeps events from being accepted, None where nothing does.

        Found out by a write that reaches the disk: a Redis that is full, a replica, or whose disk fails answers PING.
        """
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._redis.set(READY_KEY, 1, ex=_READY_SECONDS)
        except TimeoutError:
            return f"Redis takes no write within {COMMIT_SECONDS} s"
        except Exception as error:  # of whatever kind: events would fail in the same way
            return f"Redis takes no write: {' '.join(str(error).split()) or type(error).__name__}"
        return None
