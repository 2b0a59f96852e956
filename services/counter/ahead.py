"""How many entries make the next batch: of small ones many, for every batch has its price; of large ones few, for it
must fit into memory.

An entry is what one commit of ingest holds: one or two events where they come by the thousand a second, 500 of an
import.
"""

import time
from collections.abc import Callable
from typing import Literal, NamedTuple, Self

from faststream.redis import StreamSub
from redis.asyncio import Redis

from shared.redis import script
from shared.streams import GROUP, MAX_ENTRY_EVENTS, events_key

MOST_EVENTS = 20_000
"""Events in a batch, where they stand in LEAST_ENTRIES or more."""
LEAST_ENTRIES = 100
"""So many may be read unseen. So a batch has at most LEAST_ENTRIES * MAX_ENTRY_EVENTS events, where that is more."""
MOST_ENTRIES = 5_000
"""hand_over.lua unpacks all ids of a batch, and Lua fewer than 8,000 words."""
FRESH_SECONDS = 1.0
"""Whoever reads later than that after looking (a process may be stopped in between) may find other entries."""

_SCRIPT = script("services.counter", "ahead.lua")


class Ahead(NamedTuple):
    """The next batch: how many entries it may have; full: whether others wait behind it."""

    entries: int
    full: bool


async def look_ahead(redis: "Redis", shard: int) -> Ahead:
    """What may be read next. The group must be there."""
    limits = MOST_EVENTS, LEAST_ENTRIES, MOST_ENTRIES, MAX_ENTRY_EVENTS
    entries, more = await redis.eval(_SCRIPT, 1, events_key(shard), GROUP, *limits)
    return Ahead(max(entries, LEAST_ENTRIES), bool(more))


class AheadSub(StreamSub[Literal[True]]):
    """A shard's stream, of which each read takes what was looked at: once, and soon; else LEAST_ENTRIES.

    clock: in seconds.
    """

    __slots__ = ("_clock", "_looked")

    def __init__(
        self, shard: int, consumer: str, *, polling_interval: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        self._looked = LEAST_ENTRIES, 0.0
        super().__init__(
            events_key(shard), group=GROUP, consumer=consumer, batch=True, polling_interval=polling_interval
        )

    def allow(self, ahead: Ahead) -> None:
        """The next read may take so much."""
        self._looked = ahead.entries, self._clock() + FRESH_SECONDS

    def add_prefix(self, prefix: str) -> Self:
        """Itself: FastStream would read by a copy, and know nothing of what is allowed later."""
        return self

    @property
    def max_records(self) -> int:
        """Asked by FastStream for every read."""
        (entries, until), self._looked = self._looked, (LEAST_ENTRIES, 0.0)
        return entries if self._clock() < until else LEAST_ENTRIES

    @max_records.setter
    def max_records(self, value: int | None) -> None:
        """FastStream's constructor sets one number for good."""
