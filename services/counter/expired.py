"""The months whose page views have left the events by age: which they are, and what the roll-ups say of them."""

from collections.abc import Collection, Mapping
from datetime import date
from typing import NamedTuple

from services.counter.truth import sql
from shared.clickhouse import Queries

Expired = Mapping[str, Collection[date]]
"""The months of a shard that have left: their first days, by site."""


class Month(NamedTuple):
    """A month of a site. first: its first day, as the site's visitors see days."""

    site: str
    first: date

    def __str__(self) -> str:
        return f"{self.site} {self.first:%Y-%m}"


async def expired_months(store: Queries, shard: int) -> dict[Month, int]:
    """The months of a shard that have left, and how many page views (bots' too) each had."""
    found = await store.query(sql("expired"), {"shard": shard})
    return {Month(site, date.fromisoformat(first)): int(rows) for site, first, rows in found}


async def unlike(store: Queries, months: Mapping[Month, int]) -> dict[Month, tuple[int, ...]]:
    """Those months of which a roll-up does not say as many page views, with what traffic_hourly, breakdown_daily and
    items say."""
    if not months:
        return {}
    parameters = {
        "sites": sorted({month.site for month in months}),
        "months": sorted({month.first.isoformat() for month in months}),
    }
    said: dict[Month, tuple[int, ...]] = dict.fromkeys(months, (0, 0, 0))
    for site, first, *totals in await store.query(sql("rolled_up"), parameters):
        month = Month(site, date.fromisoformat(first))
        if month in said:
            said[month] = tuple(map(int, totals))
    return {month: totals for month, totals in said.items() if set(totals) != {months[month]}}
