"""The history of a site, for the statistics page: from ClickHouse's roll-ups, one question a file in queries/."""

from collections.abc import Callable
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response

from services.api.cached import cached
from services.api.live import public_site
from shared.calendar import local
from shared.clickhouse import Queries
from shared.errors import TruycapError
from shared.sites import Site, Sites

_DEFAULT_DAYS = 30
_MOST_DAYS = 3700
_FIRST, _LAST = date(1980, 1, 1), date(2140, 12, 31)
"""Well within ClickHouse's Date, which ends in 2149 and begins in 1970."""
_CACHE = "public, max-age=30, stale-while-revalidate=300"


class Interval(StrEnum):
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"


class Dimension(StrEnum):
    PAGE = "page"
    REFERRER = "referrer"
    BROWSER = "browser"
    SYSTEM = "system"
    COUNTRY = "country"
    BOT = "bot"


class InvalidPeriodError(TruycapError):
    code = "invalid"
    status = 422


def stats(sites: Sites, store: Queries, now_ms: Callable[[], int]) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/v1/sites/{site}/stats", tags=["statistics"])

    @router.get("/timeseries", summary="Visits, page views and bot hits by hour, day, month or year")
    async def timeseries(
        request: Request,
        site: str,
        *,
        interval: Interval = Interval.DAY,
        since: date | None = None,
        until: date | None = None,
    ) -> Response:
        found = public_site(sites, site)
        since, until = _period(found, since, until, now_ms())
        rows = await store.query(_sql(f"timeseries_{interval}"), {"site": found.id, "since": since, "until": until})
        points = [
            {"at": str(at), "visits": visits, "pageviews": views, "bots": bots} for at, visits, views, bots in rows
        ]
        return _answer(request, {**_head(found, since, until), "interval": interval, "points": points})

    @router.get("/top", summary="The most viewed pages, referrers, browsers, systems, countries, bots")
    async def top(
        request: Request,
        site: str,
        *,
        dimension: Dimension = Dimension.PAGE,
        since: date | None = None,
        until: date | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> Response:
        found = public_site(sites, site)
        since, until = _period(found, since, until, now_ms())
        rows = await store.query(
            _sql("top"),
            {"site": found.id, "dimension": dimension.value, "since": since, "until": until, "limit": limit},
        )
        listed = [{"value": value, "visits": visits, "pageviews": views} for value, visits, views in rows]
        return _answer(request, {**_head(found, since, until), "dimension": dimension, "rows": listed})

    return router


def _answer(request: Request, history: dict[str, Any]) -> Response:
    return cached(request, msgspec.json.encode(history), "application/json", _CACHE)


def _period(site: Site, since: date | None, until: date | None, now_ms: int) -> tuple[date, date]:
    until = until or local(now_ms, site.zone).date
    if not all(day is None or _FIRST <= day <= _LAST for day in (since, until)):
        raise InvalidPeriodError(f"since, until: must be from {_FIRST} to {_LAST}.")
    since = since or until - timedelta(days=_DEFAULT_DAYS - 1)
    if since > until:
        raise InvalidPeriodError("since: must not be after until.")
    if (until - since).days > _MOST_DAYS:
        raise InvalidPeriodError(f"since: at most {_MOST_DAYS} days before until.")
    return since, until


def _head(site: Site, since: date, until: date) -> dict[str, Any]:
    return {"site": site.id, "timezone": site.timezone, "since": since.isoformat(), "until": until.isoformat()}


@cache
def _sql(name: str) -> str:
    return resources.files("services.api").joinpath(f"queries/{name}.sql").read_text("utf-8")
