"""The read model: what the widgets show, in Redis. The names of its keys and fields stand here and nowhere else.

All of it can be made again from ClickHouse. Only the counter changes it (and `truycap rebuild`), only the api reads it.
"""

from collections.abc import Collection
from datetime import date
from enum import IntEnum, StrEnum
from struct import pack

from shared.calendar import day_key, month_key, year_key
from shared.events import Source
from shared.streams import shard_key

ONLINE_MS = 5 * 60 * 1000
"""Online is who was seen in the last 5 minutes."""
VISIT_MS = 30 * 60 * 1000
"""A page view starts a visit where its visitor was not seen in the 30 minutes before it."""
TOTAL = "total"
SCORES_APART = 10**13
"""From a score of presence to that of the next presence at the same time: above every time in ms until the year 2286.
Scores are doubles, exact up to 9 * 10**15."""


class Presence(IntEnum):
    """Who somebody is, in the order in which the scores of a set of presence have them."""

    GUEST = 0
    MEMBER = 1
    BOT = 2
    LEFT = 3


class Measure(StrEnum):
    """What is counted by day, month, year and in total; bots are in neither."""

    VISITS = "visits"
    PAGEVIEWS = "pageviews"


def counts_key(shard: int, site: str) -> str:
    """A hash of `counts_field` -> number."""
    return shard_key(shard, f"counts:{site}")


def counts_field(measure: Measure, period: str) -> str:
    """`visits:2026-11-23`, `visits:2026-11`, `visits:2026` or `visits:total`."""
    return f"{measure}:{period}"


def counted_periods(day: date) -> tuple[str, str, str, str]:
    """The periods that something on this day adds to."""
    return day_key(day), month_key(day), year_key(day), TOTAL


def views_key(shard: int, site: str) -> str:
    """A hash of item -> page views (without bots)."""
    return shard_key(shard, f"views:{site}")


def ratings_key(shard: int, site: str) -> str:
    """A hash of `ratings_field` -> how many votes of that score the item has now."""
    return shard_key(shard, f"ratings:{site}")


def ratings_field(item: str, score: int) -> str:
    return f"{score}:{item}"


def votes_key(shard: int, site: str) -> str:
    """A hash of `votes_field` -> the voter's score now."""
    return shard_key(shard, f"votes:{site}")


def votes_field(item: str, voter: int) -> str:
    return f"{voter:016x}:{item}"


def presence_key(shard: int, site: str, source: Source = Source.LIVE) -> str:
    """A sorted set of visitors (`visitor_member`), by `presence_score`.

    Imported events have sets of their own: they start visits in their own time and make nobody present now.
    """
    prefix = "presence" if source is Source.LIVE else "presence-imported"
    return shard_key(shard, f"{prefix}:{site}")


def presence_score(presence: Presence, at: int) -> int:
    """Somebody last seen at a time (ms) as what. So one set says both, and who is what in a time is a range of it."""
    return presence * SCORES_APART + at


def presence_since(presence: Presence, at: int) -> tuple[int, int]:
    """The least and the greatest score of who was seen as that at a time (ms) or later."""
    return presence_score(presence, at), presence_score(presence, SCORES_APART - 1)


def readers_key(shard: int, site: str, item: str) -> str:
    """A sorted set of who has the item open, and some who had: ask by score, which is when they were last seen (ms)."""
    return f"{readers_prefix(shard)}{site}:{item}"


def readers_prefix(shard: int) -> str:
    """What the keys of readers begin with: there are many, and minutes later they say nothing any more."""
    return shard_key(shard, "readers:")


def visitor_member(visitor: int) -> str:
    """A visitor in the sets of presence and readers."""
    return visitor.to_bytes(8).hex()


def visitor_members(visitors: Collection[int]) -> list[str]:
    """Many of them at once, in a quarter of the time."""
    return pack(f">{len(visitors)}Q", *visitors).hex(" ", 8).split()
