"""Which ids of the last minutes are known: the same for whoever computes a batch, whatever is in memory beside them."""

from typing import Any

from services.counter.batch import Position
from services.counter.enrich import Arrival
from services.counter.resent import LATE_MS, RECENT_MS, RecentIds
from services.counter.rows import Row
from shared.events import Source, StreamEvent
from shared.streams import EntryId
from tests.support.batches import ACCEPTED, NOW, batch_of, compute, entry_of, view
from tests.support.counting import HANOI, event_id

ONE = ("hanoi", event_id(1))


def rows_of(number: int, *events: StreamEvent) -> list[Row]:
    """The rows of a batch of one entry, `number` ms after the first."""
    return compute(batch_of(entry_of(number, events))).rows


def live(number: int, before: int = 1000, **other: Any) -> StreamEvent:
    """A page view with an id of its own that happened so many ms before ACCEPTED."""
    return view(at=ACCEPTED - NOW - before, id=event_id(number), **other)


def arrival(at: int, number: int = 1) -> Arrival:
    return Arrival(EntryId(ACCEPTED + at, 0), 0, live(number), HANOI)


def counted(*batches: list[Row]) -> RecentIds:
    recent = RecentIds()
    for rows in batches:
        recent.add(rows)
    return recent


def test_an_id_is_known_for_two_minutes_of_the_stream() -> None:
    recent = counted(rows_of(0, live(1)))
    assert recent.positions([arrival(RECENT_MS)]) == {ONE: Position(EntryId(ACCEPTED, 0), 0)}
    assert recent.positions([arrival(RECENT_MS + 1)]) == {}  # though it is in memory still
    assert recent.positions([arrival(1, number=2)]) == {}


def test_what_is_in_memory_beside_it_changes_nothing() -> None:
    """One has just loaded what it needs, one has counted only pings since, one has forgotten early ids."""
    needed, pings, forgetful = RecentIds(), counted(rows_of(0, live(1)), []), counted(rows_of(0, live(1)))
    for recent in (needed, pings, forgetful):
        recent.add(rows_of(10, live(3)))
    forgetful.add(rows_of(RECENT_MS + 5, live(2)))
    later = [arrival(RECENT_MS + 5, number) for number in (1, 3)]
    assert [list(recent.positions(later)) for recent in (needed, pings, forgetful)] == [[("hanoi", event_id(3))]] * 3


def test_a_batch_may_begin_before_the_end_of_the_one_before_it() -> None:
    recent = counted(rows_of(0, live(1)))
    recent.add([*rows_of(1, live(2)), *rows_of(2 * RECENT_MS, live(3))])
    assert ONE in recent.positions([arrival(2)])


def test_an_id_that_was_counted_again_is_known_from_then_on() -> None:
    again = RECENT_MS + 1
    recent = counted(rows_of(0, live(1)), rows_of(again, live(1)), rows_of(again + 1, live(2)))
    assert recent.positions([arrival(again + RECENT_MS)]) == {ONE: Position(EntryId(ACCEPTED + again, 0), 0)}


def test_imported_and_late_events_are_not_remembered() -> None:
    recent = counted(rows_of(0, live(1, source=Source.IMPORT), live(2, LATE_MS), live(3, LATE_MS + 1)))
    found = recent.positions([arrival(1, number) for number in (1, 2, 3)])
    assert list(found) == [("hanoi", event_id(2))]
