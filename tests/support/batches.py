"""Batches for tests of what is computed from them: no server is involved."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from services.counter.batch import Batch, Position
from services.counter.enrich import enrich
from services.counter.expired import Expired
from services.counter.outcome import Outcome, State
from services.counter.sort_out import sort_out
from shared.events import Kind, StreamEvent
from shared.sites import Sites
from shared.streams import Content, Entry, EntryId, encode_entry
from tests.support.counting import SITES, pageview

NOW = 1_795_420_800_000
"""2026-11-23T08:00:00Z, the time that the events of these batches begin from."""
ACCEPTED = NOW + 86_400_000
"""When their entries were written: long after, so that no event comes from the future."""


def view(visitor: int = 1, at: int = 0, **other: Any) -> StreamEvent:
    """A page view `at` ms after NOW."""
    return pageview(visitor=visitor, time=NOW + at, **other)


def ping(visitor: int = 1, at: int = 0, **other: Any) -> StreamEvent:
    return view(visitor, at, **{"kind": Kind.PING, "id": b"", **other})


def leave(visitor: int = 1, at: int = 0, **other: Any) -> StreamEvent:
    return ping(visitor, at, kind=Kind.LEAVE, **other)


def vote(score: int, voter: int = 1, at: int = 0, **other: Any) -> StreamEvent:
    return view(voter, at, **{"kind": Kind.RATING, "score": score, **other})


def position(entry: int, number: int = 0) -> Position:
    """Where event `number` of a batch's entry `entry` stands."""
    return Position(EntryId(ACCEPTED + entry, 0), number)


def as_read(content: Content) -> dict[bytes, bytes]:
    """An entry's fields as Redis gives them back."""
    return {b"v": content.v, b"n": b"%d" % content.n, b"events": content.events}


def entry_of(number: int, events: Sequence[StreamEvent]) -> Entry:
    return Entry(position(number).entry, as_read(encode_entry(events)))


def batch_of(*entries: Entry | Sequence[StreamEvent], shard: int = 0) -> Batch:
    """A batch of entries, one a millisecond."""
    made = [entry if isinstance(entry, Entry) else entry_of(number, entry) for number, entry in enumerate(entries)]
    return Batch(shard, made)


def compute(
    batch: Batch | Sequence[StreamEvent],
    state: State | None = None,
    stored: Mapping[tuple[str, bytes], Position] | None = None,
    sites: Sites = SITES,
    expired: Expired = MappingProxyType({}),
) -> Outcome:
    """The outcome of a batch, or of events in one entry; the state moves on."""
    if not isinstance(batch, Batch):
        batch = batch_of(batch)
    outcome = Outcome()
    arrivals = sort_out(batch, sites, expired, outcome)
    enrich(arrivals, State() if state is None else state, stored or {}, outcome)
    return outcome
