"""What of a batch may be counted; all else gets its reason. A pure function of the batch and the sites."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from services.counter.batch import Batch, Position
from services.counter.expired import Expired
from services.counter.outcome import DeadLetter, Outcome, Rejected, VoteKey
from services.counter.places import Place, Places
from shared.calendar import MINUTE_MS, Local, clock, month_of
from shared.events import Kind, Source, StreamEvent
from shared.remembered import Remembered
from shared.sites import Sites
from shared.streams import EntryId, Malformed, encode_entry

ID_BYTES = 16
OLDEST_MS = 946_684_800_000
"""2000-01-01: no event is older, not even an imported one."""
FUTURE_MS = 10 * 60 * 1000
"""How far an ingest's clock may be ahead of Redis's."""
UNKNOWN_SITE = "unknown_site"
_AT_ONCE = 256
"""So few events that all of them are still in the processor's cache when their columns are made."""

# Until Python 3.12 an enum's member is found by a function: here once, not for every event.
_PAGEVIEW, _RATING = Kind.PAGEVIEW, Kind.RATING
_FIELDS = StreamEvent.__struct_fields__
_SAME = {name: Remembered[str, str](str) for name in ("item", "referrer", "title", "agent", "country")}
"""One string for all that are equal: a batch has thousands of events and hundreds of pages."""


@dataclass
class Arrivals:
    """The events of a batch that may be counted, in the order of the stream.

    All lists but the last two have a value for each event. events: by the field of a StreamEvent; there: when each was,
    at its site. votes: those who vote; again: what may have been counted before, and has an id to be looked up by.
    """

    places: Places = field(default_factory=dict)
    entry: list[EntryId] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    place: list[Place] = field(default_factory=list)
    there: list[Local] = field(default_factory=list)
    events: dict[str, list[Any]] = field(default_factory=lambda: {name: [] for name in _FIELDS})
    votes: list[VoteKey] = field(default_factory=list)
    again: list[StreamEvent] = field(default_factory=list)

    def extend(self, events: list[StreamEvent]) -> None:
        """Take the fields of events, which are not needed any more."""
        for (name, column), values in zip(self.events.items(), zip(*map(astuple, events), strict=True), strict=True):
            column.extend(map(_SAME[name].__getitem__, values) if name in _SAME else values)


class _Gate(Struct, frozen=True):
    """What a place's events pass. closed: why none may, empty where they may; clock: the site's; expired: its months
    that have left."""

    place: Place
    seen: dict[int, int]
    closed: str
    clock: Mapping[int, Local] = {}
    expired: Collection[date] = ()


def sort_out(batch: Batch, sites: Sites, expired: Expired, outcome: Outcome) -> Arrivals:
    """The events that may be counted; all others go to the outcome with their reason."""
    found = Arrivals()
    gates: dict[tuple[str, Source], _Gate] = {}
    passed: list[StreamEvent] = []
    add_number, add_place, add_there = found.number.append, found.place.append, found.there.append
    for entry, events in batch.events:
        latest = entry.ms + FUTURE_MS
        for number, event in enumerate(events):
            if isinstance(event, Malformed):
                outcome.dead.append(DeadLetter(Position(entry, number), event.reason, event.content))
                continue
            key, time = (event.site, event.source), event.time
            if (gate := gates.get(key)) is None:
                gate = gates[key] = _gate(Place(*key), batch.shard, sites, expired)
            if (
                gate.closed
                or (len(event.id) != ID_BYTES and (event.id or event.kind in (_PAGEVIEW, _RATING)))
                or (event.kind is _RATING and not event.score)
            ):
                reason = gate.closed or "undecodable"
                outcome.dead.append(DeadLetter(Position(entry, number), reason, encode_entry([event])))
                continue
            there = gate.clock[time // MINUTE_MS] if OLDEST_MS <= time <= latest else None
            if there is None or (gate.expired and month_of(there.date) in gate.expired):
                reason = "expired" if there else "too_old" if time < OLDEST_MS else "in_the_future"
                outcome.rejected.append(Rejected(Position(entry, number), reason))
                continue
            passed.append(event)
            add_number(number)
            add_place(gate.place)
            add_there(there)
            if event.kind is _RATING:
                found.votes.append((event.site, event.item, event.visitor))
            else:
                gate.seen[event.visitor] = 0
            if event.attempt and event.id:
                found.again.append(event)
        found.entry += [entry] * (len(found.number) - len(found.entry))
        if len(passed) >= _AT_ONCE:
            found.extend(passed)
            passed = []
    if passed:
        found.extend(passed)
    found.places = {key: gate.place for key, gate in gates.items()}
    return found


def _gate(place: Place, shard: int, sites: Sites, expired: Expired) -> _Gate:
    site = sites.once_known(place.site)
    if site is None:
        return _Gate(place, place.seen, UNKNOWN_SITE)
    closed = "" if sites.shard(site.id) == shard else "wrong_shard"
    return _Gate(place, place.seen, closed, clock(site.zone), expired.get(site.id, ()))
