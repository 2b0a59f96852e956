"""Events that come more than once: which of them were counted already.

A tracker that got no answer sends its event again with the same id and a higher `attempt`, within a day; an import
sends every event with attempt 1. Those are looked up in the store. Without any attempt being counted up, a browser may
repeat a request by itself, and a first sending may arrive after its resend; that happens within seconds, and so the ids
of the last minutes are kept in memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any
from uuid import UUID

from redis.asyncio import Redis

from services.counter.batch import Batch, Position
from services.counter.columns import Columns, positions
from services.counter.places import Place
from shared.clickhouse import Queries, format_time
from shared.events import Source, StreamEvent
from shared.streams import EntryId, delivery_key, events_key

KEPT_MS = 25 * 3600 * 1000
"""A tracker keeps an event that was not acknowledged for a day at most."""
RECENT_MS = 2 * 60 * 1000
LATE_MS = 24 * 3600 * 1000
"""What happened so long before it was accepted is a replayed dead letter; such are looked up, not remembered."""
MOST_RECENT = 200_000
_ID_BYTES = 16
_IDS_PER_QUERY = 1000
_QUERIES = resources.files("services.counter").joinpath("queries")
_STORED = _QUERIES.joinpath("resent.sql").read_text("utf-8")
_RECENT = _QUERIES.joinpath("recent.sql").read_text("utf-8")


Positions = dict[tuple[str, bytes], Position]
"""Where events were counted, by (site, id)."""
_Entries = dict[str, dict[bytes, EntryId]]
"""In which entry they were counted, by site, then id: no object of their own, for there are up to twice MOST_RECENT."""


class RecentIds:
    """The ids of the live events that were counted in the last RECENT_MS, of more than MOST_RECENT the latest.

    Whoever computes a batch again must decide the same, though what is in memory depends on when the session began. So
    `first` looks back from an event's own entry, never further than `load` does for whatever is not applied yet. Beyond
    MOST_RECENT ids in RECENT_MS, two counters may differ about the earlier ones.
    """

    def __init__(self) -> None:
        self._new: _Entries = defaultdict(dict)
        self._old: _Entries = defaultdict(dict)
        self._once: _Entries = defaultdict(dict)
        self._stored: Positions = {}
        self._old_until = 0
        """No entry of the old ones was written later, in ms."""
        self._until = self._begin = 0
        """When the batch's last and first entry were written."""

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
            for site, event_id, ms, seq in await store.query(_RECENT, parameters):
                recent._new[site][event_id] = EntryId(ms, seq)
                recent._until = ms
        return recent

    def begin(self, batch: Batch, stored: Positions) -> None:
        """A batch comes. stored: where those of its events that may have been counted before stand, as far as they do.

        No batch begins earlier than the one before it, but it may begin before that one's end.
        """
        self._begin = batch.entries[0].id.ms
        if self._old_until < self._begin - RECENT_MS or sum(map(len, self._new.values())) >= MOST_RECENT:
            self._old, self._old_until, self._new = self._new, self._until, defaultdict(dict)
        self._until = max(self._until, batch.entries[-1].id.ms)
        self._stored = stored
        self._once.clear()

    def first(self, place: Place, given: bytes, entry: EntryId, number: int, time: int) -> bool:
        """Whether an event of the batch was not counted before; then it is now. given: its id; time: its own, in ms."""
        site = place.site
        ids = self._new[site]
        known = self._once[site].get(given) if self._once else None  # these are of this batch
        known = known or ids.get(given) or self._old[site].get(given)
        if known is not None and self._is_before(known, entry):
            return False
        if self._stored and (there := self._stored.get((site, given))) and there < (entry, number):
            return False
        if not _is_kept(place.source, entry.ms, time):
            ids = self._once[site]
        ids[given] = entry
        return True

    def _is_before(self, known: EntryId, entry: EntryId) -> bool:
        """Whether what was counted from an entry makes the same in this one a repetition."""
        if known.ms < self._begin and entry.ms - known.ms > RECENT_MS:
            return False
        # What stands in the same entry is this very event where it was loaded, and another where it was noted here.
        return known < entry or known is entry

    def add(self, rows: Columns) -> None:
        """Note rows that somebody else has counted."""
        names = ("site", "id", "source", "entry_ms", "entry_seq", "time")
        for site, given, source, ms, seq, time in zip(*(rows[name] for name in names), strict=True):
            if _is_kept(source, ms, time):
                self._new[site][int(given).to_bytes(_ID_BYTES)] = EntryId(ms, seq)


def _is_kept(source: Source, entry_ms: int, time: int) -> bool:
    return source == Source.LIVE and entry_ms - time <= LATE_MS


def positions_among(rows: Columns, again: Iterable[StreamEvent]) -> Positions:
    """Where these events stand among rows that the store may not have yet."""
    keys = {(event.site, int.from_bytes(event.id)): event.id for event in again}
    if not keys:
        return {}
    where = zip(zip(rows["site"], rows["id"], strict=True), positions(rows), strict=True)
    return {(key[0], keys[key]): position for key, position in where if key in keys}


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


async def find_stored(store: Queries, shard: int, again: Sequence[StreamEvent]) -> Positions:
    """Where these events stand in the store, if they are there: the earliest position."""
    stored: Positions = {}
    for start in range(0, len(again), _IDS_PER_QUERY):
        part = again[start : start + _IDS_PER_QUERY]
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
