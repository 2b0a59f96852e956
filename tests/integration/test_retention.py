"""Page views that leave by age, with a real Redis and the real ClickHouse engine: no number may change by it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from rich.console import Console

from services.commands.care import run_rebuild, run_verify
from services.commands.import_access_log import import_access_log
from services.counter.expire import Retention, leave_before
from services.counter.store import PatientStore
from services.stores import Stores
from shared.clickhouse import ClickHouse
from shared.clock import wall_clock_ms
from shared.delivery import read_delivery
from shared.events import Source
from shared.readmodel import counts_key, ratings_key, views_key, votes_key
from shared.schema import migrate
from shared.sites import Site, Sites
from shared.streams import GROUP, append, ensure_group, events_key
from tests.support.counting import (
    GOOGLEBOT,
    HANOI,
    NEW_YORK,
    SITES,
    counting,
    pageview,
    rating,
    settings,
    until,
    until_counted,
)
from tests.support.servers import RedisServer

DAYS = 35
DAY_MS = 86_400_000
NEW_YORK_2015 = int(datetime(2015, 5, 17, 12, tzinfo=UTC).timestamp() * 1000)
_TRAFFIC = "toString(site), toString(date), hour, sum(visits), sum(pageviews), sum(bots) FROM traffic_hourly"
_BREAKDOWN = (
    "toString(site), toString(date), toString(dimension), value, sum(visits), sum(pageviews) FROM breakdown_daily"
)
_ITEMS = (
    "toString(site), item, toString(date), anyLast(title), sum(views),"
    " arraySort(arrayFilter(v -> v.2 != 0, arrayZip((sumMap(votes) AS summed).1, summed.2))) FROM items"
)


def in_two_days() -> int:
    """When nothing of what was counted now was counted within a day."""
    return wall_clock_ms() + 2 * DAY_MS


def ago(days: int) -> int:
    return wall_clock_ms() - days * DAY_MS


class World:
    """A store in which events of several months are counted, and what can be asked of it."""

    def __init__(self, redis: Redis, url: str, store: ClickHouse, dsn: str, sites: Sites = SITES) -> None:
        self.redis, self.store, self.sites = redis, store, sites
        self.settings = settings(url, dsn, retention_days=DAYS)
        self.stores = Stores(self.settings, sites, redis, store)

    async def count(self, *entries: list[Any]) -> None:
        for events in entries:
            await append(self.redis, self.sites.shard(events[0].site), events)
        async with counting(self.settings, self.sites):
            await until_counted(self.redis, self.settings.shards)

    async def expire(self) -> None:
        """A counter runs two days later until all that is old enough is gone."""
        async with counting(self.settings, self.sites, now_ms=in_two_days):
            await until(self.nothing_is_left, "the page views are deleted")

    async def let_leave(self, now_ms: Callable[[], int]) -> None:
        """What a counter does at that time."""

        async def guard() -> None:
            """The shard is ours."""

        await Retention(PatientStore(self.store, 0), 0, DAYS, guard, now_ms).look()

    async def old_page_views(self) -> int:
        ((number,),) = await self.store.query(
            "SELECT count() FROM events WHERE type = 'pageview' AND date < {before:Date}",
            {"before": leave_before(in_two_days(), DAYS)},
        )
        return int(number)

    async def nothing_is_left(self) -> bool:
        return not await self.old_page_views()

    async def numbers(self) -> list[Any]:
        """The read model and the roll-ups, whole."""
        hashes = {
            key: {field: value for field, value in (await self.redis.hgetall(key)).items() if value != b"0"}
            for site in self.sites
            for name in (counts_key, views_key, ratings_key, votes_key)
            for key in [name(self.sites.shard(site), site)]
        }
        roll_ups = [
            [tuple(row) for row in await self.store.query(f"SELECT {said} GROUP BY ALL ORDER BY ALL")]
            for said in (_TRAFFIC, _BREAKDOWN, _ITEMS)
        ]
        return [hashes, *roll_ups]

    async def verify(self) -> str:
        """What it says is wrong, empty where nothing is."""
        said = StringIO()
        return "" if await run_verify(self.stores, Console(file=said, width=300)) else said.getvalue()

    async def rebuild(self, *, store: bool) -> None:
        """Both kinds of it, after a loss of all that it makes again."""
        for site in self.sites:
            await self.redis.delete(counts_key(self.sites.shard(site), site), views_key(self.sites.shard(site), site))
        await run_rebuild(self.stores, Console(file=StringIO()), store=store, accept_loss=False)


@pytest.fixture
def world(redis: Redis, redis_server: RedisServer, migrated: ClickHouse, dsn: str) -> World:
    return World(redis, redis_server.url, migrated, dsn)


async def count_some(world: World) -> None:
    """Page views of people and bots and votes, of today and of two months that may leave."""
    await world.count(
        [pageview(visitor=n, time=ago(80 + n % 40), item=f"/bai/{n % 3}", title=f"Bài {n % 3}") for n in range(20)],
        [pageview("newyork", visitor=n, time=ago(100)) for n in range(5)],
        [
            pageview(visitor=50, agent=GOOGLEBOT, time=ago(100)),
            rating(5, time=ago(100)),
            rating(3, voter=2, time=ago(90)),
        ],
        [pageview(visitor=60), pageview("newyork", visitor=61), rating(2), rating(4, voter=3)],
    )


async def test_months_leave_and_no_number_changes(world: World) -> None:
    await count_some(world)
    await world.count([pageview("kolkata", time=ago(100))])
    world.stores = replace(world.stores, sites=Sites([HANOI, NEW_YORK], 1))  # kolkata was taken out of truycap.toml
    before = await world.numbers()
    await world.let_leave(wall_clock_ms)
    assert await world.old_page_views() == 27  # counted within a day: they stay
    await world.expire()
    assert (await world.store.query("SELECT countIf(type = 'pageview'), countIf(type = 'rating') FROM events"))[0] == (
        2,
        4,
    )
    assert await world.numbers() == before
    assert await world.verify() == ""
    for store in (False, True):
        await world.rebuild(store=store)
        assert await world.numbers() == before
        assert await world.verify() == ""
    await world.count([pageview(visitor=70), rating(1, voter=2)])
    assert await world.verify() == ""


async def test_who_comes_too_late_is_rejected_by_name(world: World, tmp_path: Path) -> None:
    await count_some(world)
    await world.expire()
    log, said = tmp_path / "access.log", StringIO()
    old, new = (datetime.fromtimestamp(ago(days) / 1000, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000") for days in (90, 1))
    line = '203.0.113.7 - - [{}] "GET /bai HTTP/1.1" 200 10 "-" "Mozilla/5.0 Firefox/125.0"\n'
    log.write_text(line.format(old) + line.format(new), "utf-8")
    async with counting(world.settings):
        await import_access_log(world.stores, log, "hanoi", Console(file=said, width=300))
    assert "New: 1 page views in 1 visits" in said.getvalue()
    assert "1  of these are of months whose page views have left by age and were rejected" in said.getvalue()
    delivery = await read_delivery(world.redis, 0)
    assert (delivery.rejected, delivery.balanced) == ({"expired": 1}, True)
    # A month that never had left is taken, however old it is, and leaves when it had its day.
    await world.count([pageview("newyork", time=NEW_YORK_2015, source=Source.IMPORT, attempt=1)])
    assert (await read_delivery(world.redis, 0)).rejected == {"expired": 1}
    assert await world.old_page_views() == 1
    assert await world.verify() == ""
    await world.expire()
    assert await world.verify() == ""


async def test_killed_before_the_deletion_began(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await count_some(world)
    before = await world.numbers()

    async def dies(*_: object) -> None:
        """As a counter that is killed just after its INSERT."""

    with monkeypatch.context() as patch:
        patch.setattr(Retention, "_delete", dies)

        async def left() -> bool:
            return bool((await world.store.query("SELECT count() FROM expired"))[0][0])

        async with counting(world.settings, now_ms=in_two_days):
            await until(left, "months have left")
    assert await world.old_page_views() == 26
    assert await world.verify() == ""
    await world.rebuild(store=True)
    assert await world.numbers() == before
    # Written down twice, by a counter that did not know that it had done so.
    await world.store.command("INSERT INTO expired SELECT * FROM expired")
    assert await world.verify() == ""
    await world.expire()
    assert await world.numbers() == before
    assert await world.verify() == ""


async def test_a_batch_that_is_taken_over_takes_nothing_from_months_that_have_left(world: World) -> None:
    """A recovery levels the days of its batch for all its sites; one of them has nothing but its roll-ups there."""
    await count_some(world)
    await world.expire()
    before = await world.numbers()
    kolkata = pageview("kolkata", time=ago(90), source=Source.IMPORT, attempt=1)
    await ensure_group(world.redis, 0)
    await append(world.redis, 0, [kolkata, pageview(visitor=80, item="/bai/1")])
    await world.redis.xreadgroup(GROUP, "counter-dead", {events_key(0): ">"})
    await world.count([pageview(visitor=81)])
    assert await world.verify() == ""
    old = {row for row in before[1] if row[1] < str(leave_before(wall_clock_ms(), DAYS))}
    assert old <= set((await world.numbers())[1])


async def test_a_month_stays_where_a_roll_up_does_not_say_the_same(world: World) -> None:
    await count_some(world)
    await world.store.command("ALTER TABLE items DELETE WHERE site = 'hanoi' SETTINGS mutations_sync = 1")

    async def newyork_is_gone() -> bool:
        sql = "SELECT count() FROM events WHERE type = 'pageview' AND site = 'newyork'"
        return bool((await world.store.query(sql))[0][0] == 1)

    async with counting(world.settings, now_ms=in_two_days):
        await until(newyork_is_gone, "what is right has left")
    assert await world.old_page_views() == 21
    await world.rebuild(store=True)
    await world.expire()
    assert await world.verify() == ""
    # What is damaged later no event can mend.
    await world.store.command("ALTER TABLE traffic_hourly DELETE WHERE site = 'newyork' SETTINGS mutations_sync = 1")
    said = await world.verify()
    assert "5 page views of newyork " in said
    assert "`truycap restore` a backup" in said


async def test_every_shard_lets_its_own_leave(
    redis: Redis, redis_server: RedisServer, store: ClickHouse, dsn: str
) -> None:
    await migrate(store, 2)
    sites = Sites([HANOI, Site(id="hue", hostnames=["*"])], shards=2)
    assert {sites.shard(site) for site in sites} == {0, 1}
    world = World(redis, redis_server.url, store, dsn, sites)
    world.settings = settings(redis_server.url, dsn, shards=2, retention_days=DAYS)
    world.stores = Stores(world.settings, sites, redis, store)
    for site in sites:
        await world.count([pageview(site, time=ago(100)), pageview(site, time=ago(70)), pageview(site)])
    before = await world.numbers()
    async with counting(world.settings, sites, now_ms=in_two_days):

        async def all_left() -> bool:
            rows = await store.query("SELECT shard, sum(rows) FROM expired FINAL GROUP BY shard ORDER BY shard")
            return [tuple(row) for row in rows] == [(0, 2), (1, 2)]

        await until(all_left, "the months of both shards have left")
    await world.rebuild(store=True)
    assert await world.numbers() == before
    assert await world.verify() == ""


def test_a_month_leaves_when_its_last_day_is_old_enough_everywhere() -> None:
    noon_in_utc = int(datetime(2026, 3, 8, 12, tzinfo=UTC).timestamp() * 1000)
    assert leave_before(noon_in_utc, 35) == date(2026, 2, 1)  # it is 8 March everywhere: 31 January is 36 days ago
    assert leave_before(noon_in_utc - 1, 35) == date(2026, 1, 1)
    assert leave_before(noon_in_utc, 365) == date(2025, 3, 1)
