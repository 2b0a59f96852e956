"""What tests of the counter share: sites, events, and a counter that runs meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

from redis.asyncio import Redis

from services.api.snapshots import Snapshots
from services.counter.app import Counter
from services.counter.verify import verify
from shared.clickhouse import Queries
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.events import Kind, Source, StreamEvent
from shared.settings import Settings
from shared.sites import Site, Sites

PERSON = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
WAIT_SECONDS = 20.0

HANOI = Site(id="hanoi", hostnames=["*"], timezone="Asia/Ho_Chi_Minh")
NEW_YORK = Site(id="newyork", hostnames=["*"], timezone="America/New_York")
KOLKATA = Site(id="kolkata", hostnames=["*"], timezone="Asia/Kolkata")
SITES = Sites([HANOI, NEW_YORK, KOLKATA], shards=1)


def pageview(site: str = "hanoi", *, visitor: int = 1, time: int | None = None, **other: Any) -> StreamEvent:
    """A page view as ingest would have written it."""
    values: dict[str, Any] = {
        "kind": Kind.PAGEVIEW,
        "source": Source.LIVE,
        "site": site,
        "time": wall_clock_ms() if time is None else time,
        "id": uuid4().bytes,
        "visitor": visitor,
        "item": "/tin-tuc/bai-viet",
        "agent": PERSON,
    }
    return StreamEvent(**{**values, **other})


def rating(score: int, *, voter: int = 1, item: str = "/tin-tuc/bai-viet", **other: Any) -> StreamEvent:
    """A vote."""
    return pageview(visitor=voter, kind=Kind.RATING, score=score, item=item, **other)


def ping(*, visitor: int = 1, **other: Any) -> StreamEvent:
    return pageview(visitor=visitor, kind=Kind.PING, id=b"", **other)


def settings(redis_url: str, dsn: str, **other: Any) -> Settings:
    return Settings(redis_url=redis_url, clickhouse_dsn=dsn, **other)


@asynccontextmanager
async def counting(settings: Settings, sites: Sites = SITES, **options: Any) -> AsyncIterator[Counter]:
    """A counter that runs meanwhile and is stopped in good order."""
    counter = Counter(settings, sites, **options)
    try:
        await counter.start()
        yield counter
    finally:
        await counter.stop()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until an async condition holds."""
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not await condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"waited {WAIT_SECONDS:.0f} s in vain until {what}") from None


async def until_counted(redis: "Redis", shards: int = 1) -> None:
    """Wait until nothing waits on any stream."""

    async def done() -> bool:
        return not any([(await read_delivery(redis, shard)).waiting for shard in range(shards)])

    await until(done, "all events are counted")


async def shown(redis: "Redis", site: Site, now: int | None = None) -> dict[str, Any]:
    """What the api says of a site."""
    snapshots = Snapshots(redis, SITES, lambda: wall_clock_ms() if now is None else now)
    return (await snapshots.counts(site)).counts


async def differences(redis: "Redis", store: Queries, sites: Sites = SITES) -> list[str]:
    """What `truycap verify` would find, with one shard."""
    return [line async for finding in verify(redis, store, sites, 1) for line in finding.differences]


def event_id(number: int) -> bytes:
    return UUID(int=number).bytes
