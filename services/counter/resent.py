"""Resent events: which of them the store has already.

A tracker that got no answer sends its event again with the same id and a higher `attempt`; an import sends every event
with attempt 1. Only such events are looked up: those sent for the first time cannot be there.
"""

from collections.abc import Sequence
from importlib import resources
from uuid import UUID

from services.counter.batch import Position
from services.counter.enrich import Arrival
from shared.clickhouse import Queries, format_time
from shared.events import Source
from shared.streams import EntryId

KEPT_MS = 25 * 3600 * 1000
"""A tracker keeps an event that was not acknowledged for a day at most."""
_IDS_PER_QUERY = 1000
_SQL = resources.files("services.counter").joinpath("queries/resent.sql").read_text("utf-8")


async def find_stored(store: Queries, shard: int, arrivals: Sequence[Arrival]) -> dict[tuple[str, bytes], Position]:
    """The earliest position of each resent event that the store has, by (site, id)."""
    resent = [event for _, event, _ in arrivals if event.attempt and event.id]
    stored: dict[tuple[str, bytes], Position] = {}
    for start in range(0, len(resent), _IDS_PER_QUERY):
        part = resent[start : start + _IDS_PER_QUERY]
        earliest = min(event.time - (KEPT_MS if event.source is Source.LIVE else 0) for event in part)
        parameters = {
            "shard": shard,
            "sites": sorted({event.site for event in part}),
            "ids": [str(UUID(bytes=event.id)) for event in part],
            "from": format_time(earliest),
            "to": format_time(max(event.time for event in part)),
        }
        for site, event_id, ms, seq, index in await store.query(_SQL, parameters):
            key, position = (str(site), event_id.bytes), Position(EntryId(int(ms), int(seq)), int(index))
            stored[key] = min(stored.get(key, position), position)
    return stored
