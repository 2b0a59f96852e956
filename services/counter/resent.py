"""Events that come more than once: which of them were counted already.

A tracker that got no answer sends its event again with the same id and a higher `attempt`, within a day; an import
sends every event with attempt 1. Those are looked up in the store. Without any attempt being counted up, a browser may
repeat a request by itself, and a first sending may arrive after its resend; that happens within seconds, and so the ids
of the last minutes are kept in memory.
"""

from collections.abc import Iterable, Sequence
from importlib import resources
from uuid import UUID

from redis.asyncio import Redis

from services.counter.batch import Position
from services.counter.enrich import FUTURE_MS, Arrival
from services.counter.rows import Row
from shared.clickhouse import Queries, format_time
from shared.events import Source
from shared.streams import EntryId, delivery_key

KEPT_MS = 25 * 3600 * 1000
"""A tracker keeps an event that was not acknowledged for a day at most."""
RECENT_MS = 2 * 60 * 1000
MOST_RECENT = 200_000
_IDS_PER_QUERY = 1000
_QUERIES = resources.files("services.counter").joinpath("queries")
_STORED = _QUERIES.joinpath("resent.sql").read_text("utf-8")
_RECENT = _QUERIES.joinpath("recent.sql").read_text("utf-8")

Positions = dict[tuple[str, bytes], Position]
"""Where events were counted, by (site, id)."""


class RecentIds:
    """The ids of the live events that were counted in the last RECENT_MS, at most MOST_RECENT."""

    def __init__(self) -> None:
        self._positions: Positions = {}

    @classmethod
    async def load(cls, redis: "Redis", store: Queries, shard: int) -> "RecentIds":
        """Those of the last minutes before the position that the shard has reached, and all since."""
        recent = cls()
        applied = await redis.hget(delivery_key(shard), "applied")
        if applied:
            since = max(0, EntryId.parse(applied).ms - RECENT_MS)
            parameters = {"shard": shard, "since": since, "most": MOST_RECENT}
            for site, event_id, ms, seq, number in await store.query(_RECENT, parameters):
                recent._positions[str(site), event_id.bytes] = Position(EntryId(int(ms), int(seq)), int(number))
        return recent

    def positions(self, arrivals: Iterable[Arrival]) -> Positions:
        """Where those of the arrivals that are known were counted."""
        keys = ((event.site, event.id) for _, event, _ in arrivals if event.id)
        return {key: self._positions[key] for key in keys if key in self._positions}

    def add(self, rows: Sequence[Row]) -> None:
        """Note what was counted, and forget what is older than RECENT_MS before it."""
        for row in rows:
            if row.source == Source.LIVE:
                self._positions[row.site, row.id.bytes] = row.position
        oldest = rows[-1].entry_ms - RECENT_MS if rows else 0
        while self._positions:
            key = next(iter(self._positions))
            if self._positions[key].entry.ms >= oldest and len(self._positions) <= MOST_RECENT:
                break
            del self._positions[key]


async def find_stored(store: Queries, shard: int, arrivals: Sequence[Arrival]) -> Positions:
    """Where the resent events among the arrivals stand in the store, if they are there: the earliest position."""
    resent = [event for _, event, _ in arrivals if event.attempt and event.id]
    stored: Positions = {}
    for start in range(0, len(resent), _IDS_PER_QUERY):
        part = resent[start : start + _IDS_PER_QUERY]
        live = any(event.source is Source.LIVE for event in part)
        parameters = {
            "shard": shard,
            "sites": sorted({event.site for event in part}),
            "ids": [str(UUID(bytes=event.id)) for event in part],
            "from": format_time(min(event.time for event in part) - (KEPT_MS if live else 0)),
            # The clock of the ingest that took the first sending may have been ahead.
            "to": format_time(max(event.time for event in part) + (FUTURE_MS if live else 0)),
        }
        for site, event_id, ms, seq, number in await store.query(_STORED, parameters):
            key, position = (str(site), event_id.bytes), Position(EntryId(int(ms), int(seq)), int(number))
            stored[key] = min(stored.get(key, position), position)
    return stored
