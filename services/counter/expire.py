"""Retention (TRUYCAP_RETENTION_DAYS): page views leave the events by age, whole months of a site at a time.

The line in `expired` is what happens: from then on no question asks for those page views, and the roll-ups speak for
them. That ClickHouse deletes them is a matter of room alone, and is begun again until they are gone. Ratings stay.

A counter lets its own shards' months leave, between two batches, with nothing pending: so whoever computes a batch
again finds the same months gone. A month leaves only while every roll-up says as much of it as the events do.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from services.counter.expired import Month, expired_months, unlike
from services.counter.store import Guard, PatientStore
from services.counter.truth import sql
from shared import log
from shared.calendar import local, month_of
from shared.errors import StoreError

LOOK_MS = 3600 * 1000
QUIET_MS = 24 * 3600 * 1000
"""A month leaves once nothing was counted in it for so long: until then the import of an old log can go on, and be
repeated."""
_LAST_ZONE = ZoneInfo("Etc/GMT+12")
"""Where a day ends last."""

logger = log.get(__name__)


class Retention:
    """What of a shard has expired and what does so next, for one who has the shard. days: 0 to keep all for ever."""

    def __init__(self, store: PatientStore, shard: int, days: int, guard: Guard, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._shard = shard
        self._days = days
        self._guard = guard
        self._now_ms = now_ms
        self._looked_ms = 0
        self._log = logger.bind(shard=shard)
        self.expired: defaultdict[str, set[date]] = defaultdict(set)
        """The months that have left, by site; `look` adds to them."""

    async def load(self) -> None:
        """Find out what has left before; to be done before anything is counted."""
        self._note(await expired_months(self._store, self._shard))

    async def look(self) -> bool:
        """Let leave what is old enough, about hourly; whether it was time for that.

        Only to be called while no batch is begun and not applied.
        """
        now = self._now_ms()
        if not self._days or now - self._looked_ms < LOOK_MS:
            return False
        self._looked_ms = now
        before = leave_before(now, self._days)
        if due := await self._due(before, now):
            columns: dict[str, list[object]] = {
                "shard": [self._shard] * len(due),
                "site": [month.site for month in due],
                "month": [month.first for month in due],
                "rows": list(due.values()),
            }
            await self._store.insert("expired", columns, {"async_insert": 0}, self._guard)
            self._note(due)
            self._log.info("page views leave by age", months=[str(month) for month in due], rows=sum(due.values()))
        await self._delete(before)
        return True

    async def _due(self, before: date, now: int) -> dict[Month, int]:
        parameters = {"shard": self._shard, "before": before, "quiet": now - QUIET_MS}
        due = {Month(site, first): int(rows) for site, first, rows in await self._store.query(sql("due"), parameters)}
        for month, said in (await unlike(self._store, due)).items():
            self._log.error(
                "a month stays, for the roll-ups do not say what its events say: run `truycap verify`",
                month=str(month),
                events=due.pop(month),
                roll_ups=said,
            )
        return due

    async def _delete(self, before: date) -> None:
        """Begin to delete what has left; not while ClickHouse still has such work to do."""
        ((busy,),) = await self._store.query(sql("mutating"))
        for partition, sites in [] if busy else await self._store.query(sql("leftovers"), {"before": before}):
            try:
                await self._store.command_once(
                    f"ALTER TABLE events DELETE IN PARTITION ID '{partition}'"
                    " WHERE type = 'pageview' AND site IN {sites:Array(String)}",
                    {"sites": sites},
                )
            except StoreError as error:  # counting does not depend on it
                self._log.error("page views that have left cannot be deleted", error=error.message)

    def _note(self, months: Iterable[Month]) -> None:
        for site, first in months:
            self.expired[site].add(first)


def leave_before(now_ms: int, days: int) -> date:
    """The first day of the earliest month that stays: the last day of each one before is more than `days` days ago,
    wherever on earth its site is."""
    return month_of(local(now_ms, _LAST_ZONE).date - timedelta(days=days))
