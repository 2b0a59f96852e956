"""Days and hours as a site's clock shows them, and the periods of a block."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import Local, day_key, local, month_key, periods, year_key

HANOI, NEW_YORK, KOLKATA = map(ZoneInfo, ("Asia/Ho_Chi_Minh", "America/New_York", "Asia/Kolkata"))
ZONES = [
    *(HANOI, NEW_YORK, KOLKATA, ZoneInfo("UTC")),
    *map(ZoneInfo, ("Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia", "Pacific/Chatham")),
]


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("instant", "zone", "day", "hour"),
    [
        ("2026-11-22T16:59:59.999Z", HANOI, "2026-11-22", 23),
        ("2026-11-22T17:00:00Z", HANOI, "2026-11-23", 0),
        ("2026-12-31T17:00:00Z", HANOI, "2027-01-01", 0),
        ("2026-11-22T18:29:59.999Z", KOLKATA, "2026-11-22", 23),
        ("2026-11-22T18:30:00Z", KOLKATA, "2026-11-23", 0),
        ("2026-11-22T00:29:59Z", KOLKATA, "2026-11-22", 5),
        ("2026-11-22T00:30:00Z", KOLKATA, "2026-11-22", 6),
        ("2027-01-01T04:59:59.999Z", NEW_YORK, "2026-12-31", 23),
        ("2027-01-01T05:00:00Z", NEW_YORK, "2027-01-01", 0),
        # clocks go forward: 02:00 does not exist
        ("2026-03-08T04:59:59Z", NEW_YORK, "2026-03-07", 23),
        ("2026-03-08T06:59:59Z", NEW_YORK, "2026-03-08", 1),
        ("2026-03-08T07:00:00Z", NEW_YORK, "2026-03-08", 3),
        ("2026-03-09T04:00:00Z", NEW_YORK, "2026-03-09", 0),
        # clocks go back: 01:00 comes twice
        ("2026-11-01T03:59:59Z", NEW_YORK, "2026-10-31", 23),
        ("2026-11-01T05:30:00Z", NEW_YORK, "2026-11-01", 1),
        ("2026-11-01T06:30:00Z", NEW_YORK, "2026-11-01", 1),
        ("2026-11-02T04:59:59Z", NEW_YORK, "2026-11-01", 23),
    ],
)
def test_an_instant_falls_on_the_day_and_hour_of_the_zone(instant: str, zone: ZoneInfo, day: str, hour: int) -> None:
    assert local(ms(instant), zone) == Local(date.fromisoformat(day), hour)


@given(st.integers(ms("1972-02-01T00:00:00Z"), ms("2100-01-01T00:00:00Z")), st.sampled_from(ZONES))
def test_any_instant_falls_where_the_standard_library_puts_it(instant: int, zone: ZoneInfo) -> None:
    there = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant)).astimezone(zone)
    assert local(instant, zone) == (there.date(), there.hour)


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_every_minute_around_a_change_of_clocks_falls_right(zone: ZoneInfo) -> None:
    """2011: in its last nights Apia left out a whole day; St. John's changed its clocks at one minute past midnight."""
    hours = [datetime(2011, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(365 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    changes = [hour for hour, before, after in zip(hours, offsets, offsets[1:], strict=False) if before != after]
    for instant in (change + timedelta(minutes=minute) for change in changes for minute in range(-60, 120)):
        there = instant.astimezone(zone)
        assert local(round(instant.timestamp() * 1000), zone) == (there.date(), there.hour)


def test_a_day_has_a_key_for_itself_its_month_and_its_year() -> None:
    day = date(2026, 3, 1)
    assert (day_key(day), month_key(day), year_key(day)) == ("2026-03-01", "2026-03", "2026")


@pytest.mark.parametrize(
    ("today", "yesterday", "week", "month", "year"),
    [
        ("2026-11-23", "2026-11-22", ["2026-11-23"], "2026-11", "2026"),  # a Monday
        ("2026-11-22", "2026-11-21", [f"2026-11-{day}" for day in range(22, 15, -1)], "2026-11", "2026"),  # a Sunday
        ("2026-12-01", "2026-11-30", ["2026-12-01", "2026-11-30"], "2026-12", "2026"),
        (
            "2027-01-01",
            "2026-12-31",
            ["2027-01-01", *(f"2026-12-{day}" for day in (31, 30, 29, 28))],
            "2027-01",
            "2027",
        ),
        ("2028-03-01", "2028-02-29", ["2028-03-01", "2028-02-29", "2028-02-28"], "2028-03", "2028"),
    ],
)
def test_a_week_goes_from_monday_to_today(today: str, yesterday: str, week: list[str], month: str, year: str) -> None:
    shown = periods(date.fromisoformat(today))
    assert (shown.today, shown.yesterday, list(shown.week), shown.month, shown.year) == (
        today,
        yesterday,
        week,
        month,
        year,
    )
