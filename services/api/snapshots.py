"""The read model as the api has it in memory: read again once it has changed, kept while Redis does not answer."""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.api import counts as numbers
from services.api.counts import SHOWN, Online
from shared import log, metrics
from shared.errors import TruycapError, described
from shared.readmodel import (
    ONLINE_MS,
    counts_key,
    presence_key,
    presence_since,
    ratings_field,
    ratings_key,
    readers_key,
    views_key,
)
from shared.sites import Site, Sites
from shared.streams import delivery_key

LOOK_SECONDS = 0.05
"""How often is asked how far a counter has applied its shard: one field, and where it has moved, the sites are read."""
REFRESH_SECONDS = 1.0
"""How often they are read anyhow: with time who was online is not any more."""
_AT_ONCE = 20
"""So many sites are read in one go: a few milliseconds in which no request is answered."""
LOOKED_AT_SECONDS = 60.0
"""A site that nobody has asked for in this time is not read."""

logger = log.get(__name__)


class ReadModelUnavailableError(TruycapError):
    """Redis does not answer and nothing was read before."""

    code = "unavailable"
    status = 503
    retry_after = 2
    public_message = "The numbers cannot be read now; try again."


@dataclass(frozen=True)
class Snapshot:
    """A site's counts at one moment. body: the JSON; etag: the same for the same numbers, whenever they were read."""

    counts: dict[str, Any]
    body: bytes
    etag: str


class Snapshots:
    """The counts of all sites that somebody looks at."""

    def __init__(self, redis: "Redis", sites: Sites, now_ms: Callable[[], int]) -> None:
        self._redis = redis
        self._sites = sites
        self._now_ms = now_ms
        self._by_site: dict[str, Snapshot] = {}
        self._applied: dict[int, bytes | None] = {}
        self._refreshed_at = -math.inf
        self._asked: dict[str, float] = {}
        self._first = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.read_at = time.monotonic()
        """When Redis last answered."""

    async def start(self) -> None:
        self._task = asyncio.create_task(self._keep_reading(), name="snapshots")

    async def stop(self) -> None:
        if self._task:
            self._task.cancel()

    async def counts(self, site: Site) -> Snapshot:
        """The site's counts as they were last read, and where they are yet to be, now."""
        if snapshot := self.latest(site):
            return snapshot
        async with self._first:  # one reading for all who come at once
            if site.id not in self._by_site:
                try:
                    await self._read([site])
                except (RedisError, OSError) as error:
                    raise ReadModelUnavailableError(f"The counts cannot be read now ({error}).") from error
            return self._by_site[site.id]

    def latest(self, site: Site) -> Snapshot | None:
        """The site's counts as they were last read, None where they are yet to be."""
        self._asked[site.id] = time.monotonic()
        return self._by_site.get(site.id)

    async def item(self, site: Site, item: str) -> dict[str, Any]:
        """Views, readers and rating of an item, read now."""
        shard = self._sites.shard(site.id)
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.hget(views_key(shard, site.id), item)
                pipe.zcount(readers_key(shard, site.id, item), self._now_ms() - ONLINE_MS, "+inf")
                pipe.hmget(ratings_key(shard, site.id), [ratings_field(item, score) for score in range(1, 6)])
                views, online, scores = await pipe.execute()
        except (RedisError, OSError) as error:
            raise ReadModelUnavailableError(f"The item cannot be read now ({error}).") from error
        return {
            "views": int(views or 0),
            "online": int(online),
            "rating": numbers.rating({score: int(number or 0) for score, number in enumerate(scores, 1)}),
        }

    async def _keep_reading(self) -> None:
        outage = log.Outage(
            logger, "the read model cannot be read; the last numbers stay", "the read model is read again"
        )
        while True:
            since = time.monotonic() - LOOKED_AT_SECONDS
            self._asked = {site: asked for site, asked in self._asked.items() if asked > since and site in self._sites}
            self._by_site = {site: snapshot for site, snapshot in self._by_site.items() if site in self._asked}
            try:
                await self._look([self._sites[site] for site in self._asked])
            except Exception as error:  # of whatever kind: the next reading may succeed
                outage.failed(described(error))
            else:
                outage.over()
            metrics.READ_MODEL_AGE.set(time.monotonic() - self.read_at)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self, sites: list[Site]) -> None:
        """Read what has changed of these sites."""
        shards = sorted({self._sites.shard(site.id) for site in sites})
        async with self._redis.pipeline(transaction=False) as pipe:
            for shard in shards:
                pipe.hget(delivery_key(shard), "applied")
            pipe.ping()
            answers: list[Any] = await pipe.execute()
        self.read_at = time.monotonic()
        applied = dict(zip(shards, answers[:-1], strict=True))
        if self.read_at - self._refreshed_at >= REFRESH_SECONDS:
            self._refreshed_at = self.read_at
        else:
            sites = [site for site in sites if applied[shard := self._sites.shard(site.id)] != self._applied.get(shard)]
        for start in range(0, len(sites), _AT_ONCE):
            await self._read(sites[start : start + _AT_ONCE])
        self._applied = applied

    async def _read(self, sites: list[Site]) -> None:
        now = self._now_ms()
        async with self._redis.pipeline(transaction=False) as pipe:
            for site in sites:
                shard = self._sites.shard(site.id)
                pipe.hmget(counts_key(shard, site.id), numbers.fields(site, now))
                for presence in SHOWN:
                    pipe.zcount(presence_key(shard, site.id), *presence_since(presence, now - ONLINE_MS))
            answers: list[Any] = await pipe.execute()
        width = 1 + len(SHOWN)
        for number, site in enumerate(sites):
            values, *online = answers[number * width : (number + 1) * width]
            counted = [int(value or 0) for value in values]
            self._by_site[site.id] = _snapshot(site, now, counted, Online(*map(int, online)))


def _snapshot(site: Site, now: int, values: list[int], online: Online) -> Snapshot:
    counts = numbers.counts(site, now, values, online)
    said = {key: value for key, value in counts.items() if key != "as_of"}
    etag = f'W/"{blake2b(msgspec.json.encode(said), digest_size=8).hexdigest()}"'
    return Snapshot(counts, msgspec.json.encode(counts), etag)
