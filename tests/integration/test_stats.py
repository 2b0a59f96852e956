"""The history, from the roll-ups of the real ClickHouse engine."""

from datetime import UTC, datetime

import httpx
from redis.asyncio import Redis

from services.api.stats import stats
from shared.clickhouse import ClickHouse
from shared.streams import append
from shared.web import create_web
from tests.support.counting import GOOGLEBOT, SITES, counting, pageview, settings, until_counted
from tests.support.servers import RedisServer

NOON = int(datetime(2026, 3, 1, 5, tzinfo=UTC).timestamp() * 1000)  # 12:00 in Hanoi
DAY = 86_400_000


async def test_history_by_interval_and_by_dimension(
    redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str
) -> None:
    await append(
        redis,
        0,
        [
            pageview(visitor=1, time=NOON, item="/a", referrer="google.com", country="VN"),
            pageview(visitor=1, time=NOON + 60_000, item="/b"),
            pageview(visitor=2, time=NOON + DAY, item="/a"),
            pageview(visitor=3, time=NOON, agent=GOOGLEBOT),
            pageview(visitor=4, time=NOON + 40 * DAY, item="/c"),
        ],
    )
    async with counting(settings(redis_server.url, dsn)):
        await until_counted(redis)
    web = create_web("test", [stats(SITES, migrated, lambda: NOON + DAY)], {})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://test") as client:
        path = "/v1/sites/hanoi/stats"
        series = await client.get(f"{path}/timeseries")
        assert series.json()["points"] == [
            {"at": "2026-03-01", "visits": 1, "pageviews": 2, "bots": 1},
            {"at": "2026-03-02", "visits": 1, "pageviews": 1, "bots": 0},
        ]
        assert (series.json()["since"], series.json()["until"]) == ("2026-02-01", "2026-03-02")
        again = await client.get(f"{path}/timeseries", headers={"if-none-match": series.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        for interval, found in (
            ("hour", ["2026-03-01T12:00", "2026-03-02T12:00", "2026-04-10T12:00"]),
            ("month", ["2026-03", "2026-04"]),
            ("year", ["2026"]),
        ):
            answer = await client.get(f"{path}/timeseries?interval={interval}&until=2026-12-31&since=2026-01-01")
            assert [point["at"] for point in answer.json()["points"]] == found
        for dimension, rows in (
            ("page", [("/a", 2, 2), ("/b", 0, 1)]),
            ("bot", [("Googlebot", 0, 1)]),
            ("browser", [("Chrome", 2, 3)]),
            ("country", [("", 1, 2), ("VN", 1, 1)]),
            ("referrer", [("", 1, 2), ("google.com", 1, 1)]),
        ):
            answer = await client.get(f"{path}/top?dimension={dimension}")
            assert [(row["value"], row["visits"], row["pageviews"]) for row in answer.json()["rows"]] == rows
        assert [row["value"] for row in (await client.get(f"{path}/top?limit=1")).json()["rows"]] == ["/a"]
        for last in ("1980-01-30", "2140-12-31"):
            assert (await client.get(f"{path}/timeseries?until={last}")).json()["points"] == []
        for wrong, word in (
            ("since=2027-01-01", "since"),
            ("since=x", "since"),
            ("interval=week", "interval"),
            ("until=0001-01-01", "until"),
            ("until=9999-12-31", "until"),
            ("since=1900-01-01&until=1900-01-02", "since"),
        ):
            refused = await client.get(f"{path}/timeseries?{wrong}")
            assert refused.status_code == 422
            assert word in refused.json()["error"]["message"]
        assert (await client.get("/v1/sites/nowhere/stats/top")).status_code == 404
