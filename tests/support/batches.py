"""Batches for tests of what is computed from them: no server is involved."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from services.counter.batch import Batch, Position
from services.counter.columns import COLUMNS, rows_of
from services.counter.enrich import enrich
from services.counter.expired import Expired
from services.counter.outcome import Outcome, State
from services.counter.resent import Positions, RecentIds
from services.counter.sort_out import sort_out
from shared.events import Kind, StreamEvent
from shared.sites import Sites
from shared.streams import Content, Entry, EntryId, encode_entry
from tests.support.counting import SITES, pageview

NOW = 1_795_420_800_000
"""2026-11-23T08:00:00Z, the time that the events of these batches begin from."""
ACCEPTED = NOW + 86_400_000
"""When their entries were written: long after, so that no event comes from the future."""
MINUTE = 60_000


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


class Row(tuple[Any, ...]):
    """A row of an outcome, with the values that the table has, by the names of its columns."""

    def __getattr__(self, column: str) -> Any:
        if column not in COLUMNS:
            raise AttributeError(column)
        return self[COLUMNS.index(column)]

    @property
    def position(self) -> Position:
        return Position(EntryId(self.entry_ms, self.entry_seq), self.entry_index)

    @property
    def values(self) -> dict[str, Any]:
        return dict(zip(COLUMNS, self, strict=True))

    def but(self, **values: Any) -> "Row":
        """The row with some other values."""
        return Row((self.values | values).values())


def rows(outcome: Outcome) -> list[Row]:
    """The rows that a batch comes to, in the order of the stream."""
    return [Row(row) for _, row in rows_of(outcome.stored)]


def compute(
    batch: Batch | Sequence[StreamEvent],
    state: State | None = None,
    stored: Positions | None = None,
    sites: Sites = SITES,
    expired: Expired = MappingProxyType({}),
    seen: Mapping[int, int] = MappingProxyType({}),
) -> Outcome:
    """The outcome of a batch, or of events in one entry; the state moves on.

    seen: visitors of each place as they were seen before (`presence_score`), as far as the batch has events of theirs.
    """
    if not isinstance(batch, Batch):
        batch = batch_of(batch)
    state, recent, outcome = State() if state is None else state, RecentIds(), Outcome()
    arrivals = sort_out(batch, sites, expired, outcome)
    state.places = arrivals.places
    for place in state.places.values():
        place.seen |= {visitor: score for visitor, score in seen.items() if visitor in place.seen}
    recent.begin(batch, stored or {})
    enrich(batch.shard, arrivals, state, recent, outcome)
    return outcome


def reasons(outcome: Outcome) -> list[tuple[int, str]]:
    """The rejected events' numbers within their entries, and why they are."""
    return [(rejected.position.number, rejected.reason) for rejected in outcome.rejected]
