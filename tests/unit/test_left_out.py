"""What is said of events that are not counted: a line for each reason, however many there are."""

import logging
from uuid import UUID

import pytest

from services.counter.left_out import SHOWN, left_out
from shared.streams import Content, Entry
from tests.support.batches import as_read, batch_of, compute, ping, position, view
from tests.support.counting import event_id


def test_a_line_for_each_reason_names_the_first_events() -> None:
    strangers = [view(number, site="nowhere", id=event_id(number)) for number in range(SHOWN + 2)]
    twice = view(id=event_id(100))
    broken = Entry(position(1).entry, as_read(Content(b"1", 40, b"\xc1")))
    batch = batch_of([*strangers, twice, twice], broken)
    lines = list(left_out(batch, compute(batch)))
    assert [(line.level, line.fields["reason"], line.fields["events"]) for line in lines] == [
        (logging.WARNING, "undecodable", 40),
        (logging.WARNING, "unknown_site", SHOWN + 2),
        (logging.DEBUG, "duplicate", 1),
    ]
    undecodable, unknown, duplicate = (line.fields for line in lines)
    assert (undecodable["positions"], undecodable["ids"]) == ([f"{position(1).entry}/0"], [])
    assert unknown["ids"] == [str(UUID(int=number)) for number in range(SHOWN)]
    assert unknown["positions"] == [f"{position(0).entry}/{number}" for number in range(SHOWN)]
    assert duplicate["ids"] == [str(UUID(int=100))]


def test_ids_are_made_only_of_events_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def made_of(*, bytes: bytes) -> UUID:  # noqa: A002 - as UUID has it
        made.append(bytes)
        return UUID(bytes=bytes)

    monkeypatch.setattr("services.counter.left_out.UUID", made_of)
    batch = batch_of([view(number, id=event_id(number)) for number in range(50)], [view(id=event_id(7)), ping()])
    (line,) = left_out(batch, compute(batch))
    assert (line.fields["positions"], line.fields["ids"]) == ([f"{position(1).entry}/0"], [str(UUID(int=7))])
    assert made == [event_id(7)]


def test_of_a_batch_that_is_counted_nothing_is_said() -> None:
    batch = batch_of([view()])
    assert list(left_out(batch, compute(batch))) == []
