"""The read model: what the widgets show, in Redis. The names of its keys and fields stand here and nowhere else.

All of it can be made again from ClickHouse. Only the counter changes it (and `truycap rebuild`), only the api reads it.
"""

from datetime import date
from enum import StrEnum

from shared.calendar import day_key, month_key, year_key
from shared.events import Source
from shared.streams import shard_key

ONLINE_MS = 5 * 60 * 1000
"""Online is who was seen in the last 5 minutes."""
VISIT_MS = 30 * 60 * 1000
"""A page view starts a visit where its visitor was not seen in the 30 minutes before it."""
TOTAL = "total"


class Presence(StrEnum):
    """Who somebody is. One sorted set each; a visitor (16 hex digits) is in one of them, scored by last seen (ms)."""

    GUEST = "guests"
    MEMBER = "members"
    BOT = "bots"
    LEFT = "left"

    __hash__ = str.__hash__  # an Enum's own is in Python


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


def presence_key(shard: int, site: str, presence: Presence, source: Source = Source.LIVE) -> str:
    """Imported events have sets of their own: they start visits in their own time and make nobody present now."""
    prefix = "presence" if source is Source.LIVE else "presence-imported"
    return shard_key(shard, f"{prefix}:{site}:{presence}")


def readers_key(shard: int, site: str, item: str) -> str:
    """A sorted set of the visitors who have the item open, scored by last seen (ms)."""
    return f"{readers_prefix(shard)}{site}:{item}"


def readers_prefix(shard: int) -> str:
    """What the keys of readers begin with: there are many, and minutes later they say nothing any more."""
    return shard_key(shard, "readers:")


def visitor_member(visitor: int) -> str:
    return visitor.to_bytes(8).hex()
