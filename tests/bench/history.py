"""The history of a portal for benchmarks of the store: a real log's page views, repeated in SQL.

The rows of the log are what the counter computes of its events. Each copy of the log has ids, times and visitors of its
own; items, agents and referrers keep their shares. (All requests of that log fell into the same minute of their hours:
in a copy each visitor comes some part of an hour later.) The more rows, the more copies share a day: the history covers
the same days whatever its size, as that of a busier portal does. The roll-ups are filled by their views.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from uuid import UUID

from services.counter.columns import Columns, size
from shared.clickhouse import ClickHouse
from shared.events import MAX_EVENTS, Kind, Source, StreamEvent, item_of
from shared.schema import migrate
from shared.sites import Site, Sites
from tests.bench.traffic import page_views
from tests.support.batches import batch_of, compute

SITE = Site(id="portal", hostnames=["*"], timezone="Asia/Ho_Chi_Minh")
TABLES = ("events", "traffic_hourly", "breakdown_daily", "items")
FIRST = datetime(2022, 1, 1, tzinfo=UTC)
"""The history's first day; long ago, so that everything is settled."""
_LOG_DAYS = 4
_INSERT_ROWS = 400_000
_COUNTRIES = ("VN",) * 17 + ("US", "TW", "")
"""The log does not tell; a portal's readers are mostly in one country."""

_COPY = """
INSERT INTO events
SELECT shard, entry AS entry_ms, {step:UInt32} AS entry_seq, row_number() OVER (PARTITION BY entry) - 1 AS entry_index,
       generateUUIDv4() AS id, type, source, site, moved AS time, toDate(moved, {zone:String}) AS date,
       toHour(moved, {zone:String}) AS hour, item, title, cityHash64(visitor, copy) AS visitor, kind, visit, bot,
       browser, system, country, referrer, score, previous, agent
FROM
(
    SELECT *, time + toIntervalDay({days:UInt32} * (copy % {places:UInt32}))
                   + toIntervalMillisecond(cityHash64(visitor, copy) % 3600000 + cityHash64(id, copy) % 1000) AS moved,
           toUnixTimestamp64Milli(moved) + 1 + cityHash64(id, copy, 'linger') % 4 AS entry
    FROM base
    CROSS JOIN
    (
        SELECT number AS copy
        FROM numbers({from:UInt32}, {to:UInt32} - {from:UInt32})
        WHERE number % {places:UInt32} >= {begin:UInt32} AND number % {places:UInt32} < {end:UInt32}
    ) AS copies
)
ORDER BY entry
SETTINGS max_partitions_per_insert_block = 0"""


class History:
    """The portal's page views in a store that was empty. days: how long the history is."""

    def __init__(self, store: ClickHouse, days: int) -> None:
        self._store = store
        self._places = days // _LOG_DAYS
        self._copies = 0
        self._steps = 0

    @property
    def rows(self) -> int:
        return self._copies * size(base_rows())

    async def begin(self) -> None:
        """The schema, and the log's own rows beside it."""
        await migrate(self._store, 1)
        await self._store.command("CREATE TABLE base AS events ENGINE = Memory")
        await self._store.insert("base", base_rows(), {})

    async def grow(self, rows: int) -> None:
        """Add page views until there are `rows`, rounded to whole copies of the log."""
        copies = max(self._places, round(rows / size(base_rows())))
        each = max(1, _INSERT_ROWS * self._places // ((copies - self._copies) * size(base_rows())))
        for begin in range(0, self._places, each):
            await self._store.command(
                _COPY,
                {
                    "step": self._steps,
                    "zone": SITE.timezone,
                    "days": _LOG_DAYS,
                    "places": self._places,
                    "from": self._copies,
                    "to": copies,
                    "begin": begin,
                    "end": begin + each,
                },
            )
        self._copies = copies
        self._steps += 1

    async def merge(self, *tables: str) -> None:
        """Merge what there is, as the store does by itself in time."""
        for table in tables:
            await self._store.command(f"OPTIMIZE TABLE {table} FINAL")


@cache
def base_rows() -> Columns:
    """The rows of the log's page views, as the counter would insert them."""
    found = list(_events())
    entries = [found[start : start + MAX_EVENTS] for start in range(0, len(found), MAX_EVENTS)]
    return compute(batch_of(*entries), sites=Sites([SITE], 1)).stored


def _events() -> Iterator[StreamEvent]:
    for number, view in enumerate(page_views()):
        yield StreamEvent(
            kind=Kind.PAGEVIEW,
            source=Source.LIVE,
            site=SITE.id,
            time=int(FIRST.timestamp() + view.at) * 1000,
            id=UUID(int=number + 1).bytes,
            visitor=view.visitor,
            item=item_of(view.path),
            referrer=view.referrer,
            title=view.title,
            agent=view.agent,
            country=_COUNTRIES[view.visitor % len(_COUNTRIES)],
        )
