"""The real access log through the real stream and counter, against an independent count."""

from io import StringIO
from pathlib import Path

import pytest
from redis.asyncio import Redis
from rich.console import Console

from services.commands.import_access_log import import_access_log
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.sites import Site, Sites
from tests.support.counting import counting, differences, settings
from tests.support.independent_count import count
from tests.support.servers import RedisServer

SAMPLE = Path(__file__).parents[1] / "data" / "access_log_sample.gz"
REAL = Path(__file__).parents[3] / "shared" / "data" / "apache_logs.gz"
UTC = Site(id="utc", hostnames=["*"], timezone="UTC")
HANOI = Site(id="hanoi", hostnames=["*"], timezone="Asia/Ho_Chi_Minh")
SITES = Sites([UTC, HANOI], shards=1)
_PER_DAY = (
    "SELECT toString(date), sum(pageviews), sum(bots) FROM traffic_hourly WHERE site = {site:String} GROUP BY date"
)


@pytest.mark.parametrize("site", [UTC, HANOI], ids=["utc", "hanoi"])
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(SAMPLE, id="sample"),
        pytest.param(REAL, id="real", marks=pytest.mark.skipif(not REAL.exists(), reason="the real log is not here")),
    ],
)
async def test_page_views_and_bot_hits_by_day_are_those_of_an_independent_count(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str, file: Path, site: Site
) -> None:
    configured = settings(redis_server.url, dsn)
    stores = Stores(configured, SITES, redis, migrated)
    async with counting(configured, SITES):
        await import_access_log(stores, file, site.id, Console(file=StringIO()))
        once = await migrated.query(_PER_DAY, {"site": site.id})
        said = StringIO()
        await import_access_log(stores, file, site.id, Console(file=said, width=200))
        twice = await migrated.query(_PER_DAY, {"site": site.id})
    assert {day: (pageviews, bots) for day, pageviews, bots in once} == count(file, site.timezone)
    assert {tuple(row) for row in twice} == {tuple(row) for row in once}
    assert "New: 0 page views in 0 visits, 0 bot hits" in said.getvalue()
    assert await differences(redis, migrated, SITES) == []
    assert not [key async for key in redis.scan_iter("{0}:presence:*")]  # nobody of 2015 is online now
