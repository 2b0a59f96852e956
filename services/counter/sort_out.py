"""What of a batch may be counted; all else gets its reason. A pure function of the batch and the sites."""

from collections.abc import Collection, Mapping
from datetime import date

from msgspec import Struct

from services.counter.agents import recognise
from services.counter.batch import Batch, Position
from services.counter.expired import Expired
from services.counter.outcome import Arrivals, DeadLetter, Outcome, Rejected
from services.counter.places import Place
from services.counter.rows import Row
from shared.calendar import MINUTE_MS, Local, clock, month_of
from shared.events import Kind, Source
from shared.sites import Sites
from shared.streams import Malformed, encode_entry

ID_BYTES = 16
OLDEST_MS = 946_684_800_000
"""2000-01-01: no event is older, not even an imported one."""
FUTURE_MS = 10 * 60 * 1000
"""How far an ingest's clock may be ahead of Redis's."""
UNKNOWN_SITE = "unknown_site"

# Until Python 3.12 an enum's member is found by a function: here once, not for every event.
_PAGEVIEW, _RATING = Kind.PAGEVIEW, Kind.RATING


class _Gate(Struct, frozen=True):
    """What a place's events pass. closed: why none may, empty where they may; clock: the site's; expired: its months
    that have left."""

    place: Place
    closed: str
    clock: Mapping[int, Local] = {}
    expired: Collection[date] = ()


def sort_out(batch: Batch, sites: Sites, expired: Expired, outcome: Outcome) -> Arrivals:
    """The events that may be counted; all others go to the outcome with their reason."""
    gates: dict[tuple[str, Source], _Gate] = {}
    rows: list[Row] = []
    votes: list[Row] = []
    again: list[Row] = []
    for entry, events in batch.events:
        latest = entry.ms + FUTURE_MS
        for number, event in enumerate(events):
            if isinstance(event, Malformed):
                outcome.dead.append(DeadLetter(Position(entry, number), event.reason, event.content))
                continue
            key = event.site, event.source
            if (gate := gates.get(key)) is None:
                gate = gates[key] = _gate(Place(*key), batch.shard, sites, expired)
            kind, time = event.kind, event.time
            if gate.closed:
                outcome.dead.append(DeadLetter(Position(entry, number), gate.closed, encode_entry([event])))
            elif len(event.id) != ID_BYTES and (kind is _PAGEVIEW or kind is _RATING):
                outcome.dead.append(DeadLetter(Position(entry, number), "undecodable", encode_entry([event])))
            elif time < OLDEST_MS:
                outcome.rejected.append(Rejected(Position(entry, number), "too_old"))
            elif time > latest:
                outcome.rejected.append(Rejected(Position(entry, number), "in_the_future"))
            elif gate.expired and month_of(gate.clock[time // MINUTE_MS].date) in gate.expired:
                outcome.rejected.append(Rejected(Position(entry, number), "expired"))
            else:
                there = gate.clock[time // MINUTE_MS]
                row = Row(entry, number, event, gate.place, recognise(event.agent), there)
                rows.append(row)
                if kind is _RATING:
                    votes.append(row)
                else:
                    gate.place.seen[event.visitor] = 0
                if event.attempt:
                    again.append(row)
    return Arrivals(rows, votes, again, {key: gate.place for key, gate in gates.items()})


def _gate(place: Place, shard: int, sites: Sites, expired: Expired) -> _Gate:
    site = sites.once_known(place.site)
    if site is None:
        return _Gate(place, UNKNOWN_SITE)
    closed = "" if sites.shard(site.id) == shard else "wrong_shard"
    return _Gate(place, closed, clock(site.zone), expired.get(site.id, ()))
