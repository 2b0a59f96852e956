"""What of a batch is not counted, for the log: a line for each reason, however many events it concerns."""

import logging
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import NamedTuple
from uuid import UUID

from services.counter.batch import Batch, Position
from services.counter.outcome import Outcome
from services.counter.sort_out import ID_BYTES
from shared.events import StreamEvent
from shared.streams import decode_entry

SHOWN = 5
"""Of so many events a line says which they are."""


class LeftOut(NamedTuple):
    """A line of the log. level: as logging has it."""

    level: int
    what: str
    fields: dict[str, object]


def left_out(batch: Batch, outcome: Outcome) -> Iterator[LeftOut]:
    """The lines of a batch, those of dead letters first."""
    dead = [(letter.reason, letter.position, letter.content.n) for letter in outcome.dead]
    rejected = [(reason, position, 1) for position, reason in outcome.rejected]
    yield from _lines(logging.WARNING, "events are dead-lettered", dead, batch)
    # Every day brings some, and a metric has them by reason.
    yield from _lines(logging.DEBUG, "events are rejected", rejected, batch)


def _lines(level: int, what: str, found: Sequence[tuple[str, Position, int]], batch: Batch) -> Iterator[LeftOut]:
    for reason in sorted({reason for reason, *_ in found}):
        these = [(position, events) for why, position, events in found if why == reason]
        shown = [position for position, _ in these[:SHOWN]]
        yield LeftOut(
            level,
            what,
            {
                "reason": reason,
                "events": sum(events for _, events in these),
                "positions": [f"{entry}/{number}" for entry, number in shown],  # as `dead-letters list` says
                "ids": [given for position in shown if (given := _id(batch, position))],
            },
        )


def _id(batch: Batch, position: Position) -> str | None:
    """The id that the tracker gave an event; pings, leaves and what cannot be decoded have none."""
    entry = batch.entries[bisect_left(batch.entries, position.entry, key=attrgetter("id"))]
    event = decode_entry(entry)[position.number]
    return str(UUID(bytes=event.id)) if isinstance(event, StreamEvent) and len(event.id) == ID_BYTES else None
