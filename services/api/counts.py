"""The numbers of a block, from what the read model holds. Pure: the date and the sums are computed here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.calendar import Periods, local, periods
from shared.readmodel import TOTAL, Measure, Presence, counts_field
from shared.sites import Site

SHOWN = (Presence.GUEST, Presence.MEMBER, Presence.BOT)
"""Who is online, in the order of `Online`."""


@dataclass(frozen=True)
class Online:
    """Distinct visitors seen in the last five minutes."""

    guests: int
    members: int
    bots: int

    def as_json(self) -> dict[str, int]:
        total = self.guests + self.members + self.bots
        return {"total": total, "guests": self.guests, "members": self.members, "bots": self.bots}


def fields(site: Site, now_ms: int) -> list[str]:
    """The fields of the read model's counts that a block shows at `now_ms`, in the order `counts` takes them."""
    shown = periods(local(now_ms, site.zone).date)
    return [counts_field(measure, period) for measure in Measure for period in _keys(shown)]


def counts(site: Site, now_ms: int, values: list[int], online: Online) -> dict[str, Any]:
    """The JSON of /counts. values: those of `fields(site, now_ms)`, 0 where there is none."""
    shown = periods(local(now_ms, site.zone).date)
    keys = _keys(shown)
    visits = dict(zip(keys, values[: len(keys)], strict=True))
    pageviews = dict(zip(keys, values[len(keys) :], strict=True))
    return {
        "site": site.id,
        "timezone": site.timezone,
        "as_of": rfc3339(now_ms, site),
        "online": online.as_json(),
        "visits": _block(shown, visits, site.opening.visits),
        "pageviews": _block(shown, pageviews, site.opening.pageviews),
    }


def rating(scores: Mapping[int, int]) -> dict[str, Any]:
    """Points, votes, average (two decimals, None without votes) and distribution of an item; scores: votes by score."""
    votes = sum(scores.values())
    points = sum(score * number for score, number in scores.items())
    return {
        "points": points,
        "votes": votes,
        "average": round(points / votes, 2) if votes else None,
        "distribution": {str(score): scores.get(score, 0) for score in range(1, 6)},
    }


def rfc3339(time_ms: int, site: Site) -> str:
    """A time in the site's zone, to the second."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).astimezone(site.zone).isoformat()


def _keys(shown: Periods) -> list[str]:
    days = dict.fromkeys((*shown.week, shown.yesterday))
    return [*days, shown.month, shown.year, TOTAL]


def _block(shown: Periods, numbers: Mapping[str, int], opening: int) -> dict[str, int]:
    return {
        "today": numbers[shown.today],
        "yesterday": numbers[shown.yesterday],
        "week": sum(numbers[day] for day in shown.week),
        "month": numbers[shown.month],
        "year": numbers[shown.year],
        "total": numbers[TOTAL] + opening,
    }
