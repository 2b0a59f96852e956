"""What of a batch is not counted, for the log: a line for each reason, however many events it concerns."""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from services.counter.batch import Batch, Position
from services.counter.enrich import ID_BYTES, Outcome
from shared.events import StreamEvent

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
    yield from _lines(batch, logging.WARNING, "events are dead-lettered", dead)
    yield from _lines(batch, logging.DEBUG, "events are rejected", rejected)  # day in, day out: the metric has it


def _lines(batch: Batch, level: int, what: str, found: Sequence[tuple[str, Position, int]]) -> Iterator[LeftOut]:
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
                "ids": _ids(batch, shown),
            },
        )


def _ids(batch: Batch, positions: Sequence[Position]) -> list[str]:
    """The ids that trackers gave the events there; pings, leaves and what cannot be decoded have none."""
    return [
        str(UUID(bytes=event.id))
        for position, event in batch.events
        if position in positions and isinstance(event, StreamEvent) and len(event.id) == ID_BYTES
    ]
