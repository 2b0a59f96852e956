"""Dates as a site's visitors see them: days, weeks (Monday first), months and years in the site's time zone."""

from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE_MS = 60 * 1000
_MOST_MINUTES = 4096


class Local(NamedTuple):
    """A site-local date and hour of the day (0 to 23)."""

    date: date
    hour: int


class Clock(dict[int, Local]):
    """What a clock in a zone shows, by the minute (since 1970 UTC); as a dict, for a look-up must cost next to nothing.

    Since 1972 every offset, and every change of one, falls on a whole minute (tz database).
    """

    def __init__(self, zone: ZoneInfo) -> None:
        super().__init__()
        self._zone = zone

    def __missing__(self, minute: int) -> Local:
        there = datetime.fromtimestamp(minute * 60, UTC).astimezone(self._zone)
        if len(self) >= _MOST_MINUTES:
            self.clear()
        self[minute] = shown = Local(there.date(), there.hour)
        return shown


@cache
def clock(zone: ZoneInfo) -> Clock:
    """The clock of a zone."""
    return Clock(zone)


def local(time_ms: int, zone: ZoneInfo) -> Local:
    """The date and hour that a clock in `zone` shows at `time_ms` (milliseconds since 1970 UTC)."""
    return clock(zone)[time_ms // MINUTE_MS]


def month_of(day: date) -> date:
    """The first day of its month."""
    return day.replace(day=1)


def day_key(day: date) -> str:
    return day.isoformat()


def month_key(day: date) -> str:
    return day.isoformat()[:7]


def year_key(day: date) -> str:
    return day.isoformat()[:4]


class Periods(NamedTuple):
    """The period keys that sum up to each number of a block, as of one day."""

    today: str
    yesterday: str
    week: tuple[str, ...]
    month: str
    year: str


def periods(today: date) -> Periods:
    """The periods that a block shows on `today`; the week goes from Monday to today."""
    return Periods(
        today=day_key(today),
        yesterday=day_key(today - timedelta(days=1)),
        week=tuple(day_key(today - timedelta(days=back)) for back in range(today.weekday() + 1)),
        month=month_key(today),
        year=year_key(today),
    )
