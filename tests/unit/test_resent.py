"""Which ids of the last minutes are known: the same for whoever computes a batch, whatever is in memory beside them."""

from typing import Any

import pytest

from services.counter import resent
from services.counter.columns import of_rows
from services.counter.places import Place
from services.counter.resent import LATE_MS, RECENT_MS, RecentIds
from shared.events import Source, StreamEvent
from tests.support.batches import ACCEPTED, NOW, batch_of, compute, entry_of, ping, rows, view
from tests.support.counting import event_id


def live(number: int, before: int = 1000, **other: Any) -> StreamEvent:
    """A page view with an id of its own that happened so many ms before ACCEPTED."""
    return view(at=ACCEPTED - NOW - before, id=event_id(number), **other)


def count(recent: RecentIds, entries: dict[int, list[StreamEvent]]) -> list[bool]:
    """Count a batch, its entries by how long after ACCEPTED they were written (ms); which of its events are new."""
    batch = batch_of(*(entry_of(at, events) for at, events in entries.items()))
    recent.begin(batch, {})
    return [
        recent.first(Place(event.site, event.source), event.id, entry, number, event.time)
        for (entry, _), events in zip(batch.events, entries.values(), strict=True)
        for number, event in enumerate(events)
    ]


def after(*batches: dict[int, list[StreamEvent]]) -> RecentIds:
    recent = RecentIds()
    for entries in batches:
        count(recent, entries)
    return recent


def test_an_id_is_known_for_two_minutes_of_the_stream() -> None:
    assert count(RecentIds(), {0: [live(1), live(2)]}) == [True, True]
    for late, new in ((RECENT_MS, False), (RECENT_MS + 1, True)):
        assert count(after({0: [live(1)]}), {late: [live(1), live(2)]}) == [new, True]


def test_an_id_is_known_on_its_site_alone() -> None:
    assert count(after({0: [live(1)]}), {1: [live(1, site="kolkata"), live(1)]}) == [True, False]


def test_within_a_batch_an_id_is_known_however_long_it_takes() -> None:
    assert count(RecentIds(), {0: [live(1), live(1)], RECENT_MS + 1: [live(1)]}) == [True, False, False]


def test_what_is_in_memory_beside_it_changes_nothing() -> None:
    """One has just loaded what it needs, one has counted only pings since, one has forgotten early ids."""
    three = {10: [live(3)]}
    memories = [
        after(three),
        after({0: [live(1)]}, {1: [ping()]}, three),
        after({0: [live(1)]}, three, {RECENT_MS + 4: [live(2)]}),
    ]
    found = [count(recent, {RECENT_MS + 5: [live(1), live(3)]}) for recent in memories]
    assert found == [[True, False]] * 3


def test_a_batch_may_begin_before_the_end_of_the_one_before_it() -> None:
    recent = after({0: [live(1)]}, {1: [live(2)], 2 * RECENT_MS: [live(3)]})
    assert count(recent, {2: [live(1)], RECENT_MS: [live(2)]}) == [False, False]


def test_an_id_that_was_counted_again_is_known_from_then_on() -> None:
    again = RECENT_MS + 1
    recent = after({0: [live(1)]}, {again: [live(1)]}, {again + 1: [live(2)]})
    assert count(recent, {again + RECENT_MS: [live(1)]}) == [False]


def test_imported_and_late_events_are_not_remembered() -> None:
    events = [live(1, source=Source.IMPORT), live(2, LATE_MS), live(3, LATE_MS + 1)]
    recent = RecentIds()
    assert count(recent, {0: [*events, *events]}) == [True] * 3 + [False] * 3
    assert count(recent, {1: events}) == [True, False, True]


def test_an_id_that_comes_twice_in_a_batch_is_known_whatever_was_before_it() -> None:
    imported = live(1, source=Source.IMPORT)
    assert count(after({0: [live(1)]}), {RECENT_MS + 1: [imported, imported]}) == [True, False]


def test_a_batch_that_is_counted_once_more_is_no_repetition_of_itself() -> None:
    """Its rows were found in the store, or another counter had stored them."""
    outcome = compute(batch_of(entry_of(0, [live(1)]), entry_of(1, [live(2), live(3, LATE_MS + 9)])))
    recent = RecentIds()
    recent.add(outcome.stored)
    assert count(recent, {0: [live(1)], 1: [live(2), live(2)]}) == [True, True, False]
    recent = RecentIds()
    recent.add(of_rows(rows(outcome)[2:]))
    assert count(recent, {2: [live(3)]}) == [True]


def test_the_earliest_are_forgotten_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resent, "MOST_RECENT", 2)
    recent = after(*({number: [live(2 * number), live(2 * number + 1)]} for number in range(4)))
    assert count(recent, {4: [live(number) for number in range(8)]}) == [True] * 6 + [False] * 2
