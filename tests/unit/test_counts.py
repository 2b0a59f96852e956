"""The numbers of a block, from the fields of the read model."""

from datetime import date, datetime
from typing import Any

import pytest

from services.api.counts import Online, counts, fields, rating
from shared.sites import Opening, Site

SITE = Site(
    id="caobang", hostnames=["*"], opening=Opening(visits=1_000_000, pageviews=2_000_000, as_of=date(2019, 7, 25))
)
NOBODY = Online(guests=0, members=0, bots=0)


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def shown(now: str, read_model: dict[str, int], site: Site = SITE) -> dict[str, Any]:
    """The counts where the read model holds these fields and no others."""
    values = [read_model.get(field, 0) for field in fields(site, ms(now))]
    return counts(site, ms(now), values, NOBODY)


def test_every_period_shows_its_own_field() -> None:
    model = {
        "visits:2026-11-26": 1,  # today, a Thursday
        "visits:2026-11-25": 20,
        "visits:2026-11-23": 300,  # Monday
        "visits:2026-11-22": 4000,  # in last week
        "visits:2026-11": 50_000,
        "visits:2026": 600_000,
        "visits:total": 7_000_000,
        "pageviews:2026-11-26": 2,
        "pageviews:total": 5,
    }
    block = shown("2026-11-26T12:00:00+07:00", model)
    assert block["visits"] == {
        "today": 1,
        "yesterday": 20,
        "week": 321,
        "month": 50_000,
        "year": 600_000,
        "total": 8_000_000,
    }
    assert block["pageviews"] == {"today": 2, "yesterday": 0, "week": 2, "month": 0, "year": 0, "total": 2_000_005}


def test_the_opening_balance_is_in_the_totals_alone() -> None:
    block = shown("2026-11-26T12:00:00+07:00", {})
    assert block["visits"] == {"today": 0, "yesterday": 0, "week": 0, "month": 0, "year": 0, "total": 1_000_000}
    assert block["pageviews"]["total"] == 2_000_000


def test_a_week_goes_on_across_the_end_of_a_month_and_of_a_year() -> None:
    model = {"visits:2026-12-28": 1, "visits:2026-12-31": 20, "visits:2027-01-01": 300, "visits:2027-01": 300}
    block = shown("2027-01-01T08:00:00+07:00", model)["visits"]
    assert (block["today"], block["yesterday"], block["week"], block["month"], block["year"]) == (300, 20, 321, 300, 0)


def test_on_a_monday_yesterday_is_not_in_the_week() -> None:
    block = shown("2026-11-23T08:00:00+07:00", {"visits:2026-11-22": 5, "visits:2026-11-23": 1})["visits"]
    assert (block["yesterday"], block["week"]) == (5, 1)


@pytest.mark.parametrize(
    ("zone", "day", "as_of"),
    [
        ("Asia/Ho_Chi_Minh", "2026-11-26", "2026-11-26T01:30:59+07:00"),
        ("Asia/Kolkata", "2026-11-26", "2026-11-26T00:00:59+05:30"),
        ("America/New_York", "2026-11-25", "2026-11-25T13:30:59-05:00"),
    ],
)
def test_today_is_the_sites_own_and_the_time_is_told_in_its_zone(zone: str, day: str, as_of: str) -> None:
    site = Site(id="a", hostnames=["*"], timezone=zone)
    block = shown("2026-11-25T18:30:59.999Z", {f"visits:{day}": 1}, site)
    assert block["visits"]["today"] == 1
    assert (block["as_of"], block["timezone"], block["site"]) == (as_of, zone, "a")


def test_online_is_the_sum_of_all_three() -> None:
    now = ms("2026-11-26T12:00:00Z")
    block = counts(SITE, now, [0] * len(fields(SITE, now)), Online(guests=3, members=2, bots=1))
    assert block["online"] == {"total": 6, "guests": 3, "members": 2, "bots": 1}


def test_no_field_is_read_twice() -> None:
    read = fields(SITE, ms("2026-11-26T12:00:00Z"))
    assert len(set(read)) == len(read)


@pytest.mark.parametrize(
    ("scores", "points", "votes", "average"),
    [
        ({}, 0, 0, None),
        ({5: 0}, 0, 0, None),
        ({4: 1}, 4, 1, 4.0),
        ({1: 1, 2: 1, 5: 1}, 8, 3, 2.67),
        ({5: 1, 1: 3}, 8, 4, 2.0),
    ],
)
def test_a_rating_is_the_average_of_its_votes(
    scores: dict[int, int], points: int, votes: int, average: float | None
) -> None:
    found = rating(scores)
    assert (found["points"], found["votes"], found["average"]) == (points, votes, average)
    assert found["distribution"] == {str(score): scores.get(score, 0) for score in range(1, 6)}
