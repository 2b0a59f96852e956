"""Events that come more than once: which of them were counted already.

A tracker that got no answer sends its event again with the same id and a higher `attempt`, within a day; an import
sends every event with attempt 1. Those are looked up in the store. Without any attempt being counted up, a browser may
repeat a request by itself, and a first sending may arrive after its resend; that happens within seconds, and so the ids
of the last minutes are kept in memory.
"""

from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from services.counter.batch import Position
from services.counter.enrich import Arrival
from services.counter.rows import Row
from shared.clickhouse import Queries, format_time
from shared.events import Source, StreamEvent
from shared.streams import EntryId, delivery_key, events_key

KEPT_MS = 25 * 3600 * 1000
"""A tracker keeps an event that was not acknowledged for a day at most."""
RECENT_MS = 2 * 60 * 1000
LATE_MS = 24 * 3600 * 1000
"""What happened so long before it was accepted is a replayed dead letter; such are looked up, not remembered."""
MOST_RECENT = 200_000
_IDS_PER_QUERY = 1000
_QUERIES = resources.files("services.counter").joinpath("queries")
_STORED = _QUERIES.joinpath("resent.sql").read_text("utf-8")
_RECENT = _QUERIES.joinpath("recent.sql").read_text("utf-8")

Positions = dict[tuple[str, bytes], Position]
"""Where events were counted, by (site, id)."""


class RecentIds:
    """The ids of the live events that were counted in the last RECENT_MS, at most MOST_RECENT.

    Whoever computes a batch again must decide the same, though what is in memory depends on when the session began. So
    `positions` looks back from an event's own entry, never further than `load` does for whatever is not applied yet.
    Beyond MOST_RECENT ids in RECENT_MS the earliest are forgotten, and then two counters may differ about them.
    """

    def __init__(self) -> None:
        # As plain tuples, which take less time than positions, and there are as many as 200,000.
        self._positions: dict[tuple[str, bytes], tuple[EntryId, int]] = {}

    @classmethod
    async def load(cls, redis: "Redis", store: Queries, shard: int) -> "RecentIds":
        """Those of the last minutes before what is to be counted next, and all since."""
        recent = cls()
        begin = await _next_entry(redis, shard)
        if begin:
            parameters = {
                "shard": shard,
                "since": max(0, begin.ms - RECENT_MS),
                "most": MOST_RECENT,
                "late": LATE_MS,
            }
            for site, event_id, ms, seq, number in await store.query(_RECENT, parameters):
                recent._positions[site, event_id] = EntryId(ms, seq), number
        return recent

    def positions(self, arrivals: Iterable[Arrival]) -> Positions:
        """Where those of the arrivals were counted that are known from an entry at most RECENT_MS before their own."""
        found: Positions = {}
        for arrival in arrivals:
            key = (arrival.event.site, arrival.event.id)
            known = self._positions.get(key)
            if known and arrival.entry.ms - known[0].ms <= RECENT_MS:
                found[key] = Position(*known)
        return found

    def add(self, rows: Sequence[Row]) -> None:
        """Note a batch's rows, and forget what is older than RECENT_MS before the first of them.

        No batch begins earlier than the one before it, but it may begin before that one's end.
        """
        live = Source.LIVE
        new = {
            (row.site, event.id): (row.entry, row.number)
            for row in rows
            if (event := row.event).source is live and row.entry.ms - event.time <= LATE_MS
        }
        for key in self._positions.keys() & new.keys():
            del self._positions[key]  # the order is that of the positions
        self._positions |= new
        oldest = rows[0].entry.ms - RECENT_MS if rows else 0
        surplus = len(self._positions) - MOST_RECENT
        old = []  # found in one go: to look for the first one again and again would walk over those that were deleted
        for number, (key, position) in enumerate(self._positions.items()):
            if position[0].ms >= oldest and number >= surplus:
                break
            old.append(key)
        for key in old:
            del self._positions[key]


def resent(arrivals: Iterable[Arrival]) -> list[StreamEvent]:
    """The events among the arrivals that may have been counted before."""
    return [event for arrival in arrivals if (event := arrival.event).attempt and event.id]


def positions_among(rows: Iterable[Row], resent: Iterable[StreamEvent]) -> Positions:
    """Where these events stand among rows that the store may not have yet."""
    keys = {(event.site, event.id) for event in resent}
    return {key: row.position for row in rows if (key := (row.site, row.event.id)) in keys} if keys else {}


async def _next_entry(redis: "Redis", shard: int) -> EntryId | None:
    """A position before which nothing is left to count: of the stream's first entry (what was applied is deleted), of
    the last applied one where the stream is empty; None where there never was any.

    In this order: what another counter applies meanwhile was on the stream before.
    """
    first: Any = await redis.xrange(events_key(shard), count=1)
    if first:
        return EntryId.parse(first[0][0])
    applied = await redis.hget(delivery_key(shard), "applied")
    return EntryId.parse(applied) if applied else None


async def find_stored(store: Queries, shard: int, resent: Sequence[StreamEvent]) -> Positions:
    """Where these events stand in the store, if they are there: the earliest position."""
    stored: Positions = {}
    for start in range(0, len(resent), _IDS_PER_QUERY):
        part = resent[start : start + _IDS_PER_QUERY]
        live = any(event.source is Source.LIVE for event in part)
        parameters = {
            "shard": shard,
            "sites": sorted({event.site for event in part}),
            "ids": [str(UUID(bytes=event.id)) for event in part],
            "from": format_time(min(event.time for event in part) - (KEPT_MS if live else 0)),
            # A dead letter is replayed whenever: its event may have been sent again, and counted, after it. And the
            # clock of the ingest that took the first sending may have been ahead.
            "to": format_time(max(event.time for event in part) + (KEPT_MS if live else 0)),
        }
        for site, event_id, ms, seq, number in await store.query(_STORED, parameters):
            key, position = (str(site), event_id.bytes), Position(EntryId(int(ms), int(seq)), int(number))
            stored[key] = min(stored.get(key, position), position)
    return stored
