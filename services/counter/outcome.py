"""What a batch needs to know of what was before it, and what it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.counter.batch import Batch, Position
from services.counter.places import Place
from services.counter.rows import Row
from shared.events import Source
from shared.streams import Content

VoteKey = tuple[str, str, int]
"""(site, item, voter)"""


class Arrivals(NamedTuple):
    """The events of a batch that may be counted, in the order of the stream.

    votes: those of them that are ratings; again: those that may have been counted before; places: by site and source.
    """

    rows: list[Row]
    votes: list[Row]
    again: list[Row]
    places: dict[tuple[str, Source], Place]


@dataclass
class State:
    """What earlier batches left behind, as far as this batch needs it; moved on while the batch is computed.

    places: the batch's, with who was seen there. votes: the voter's score now. dead_level: see ceiling.py, in points.
    """

    places: dict[tuple[str, Source], Place] = field(default_factory=dict)
    votes: dict[VoteKey, int] = field(default_factory=dict)
    dead_level: int = 0


class DeadLetter(NamedTuple):
    """What cannot be counted as it is. reason: from a closed list; content: the entry that would bring it back."""

    position: Position
    reason: str
    content: Content


class Rejected(NamedTuple):
    """An event that is not counted. reason: from a closed list."""

    position: Position
    reason: str


@dataclass
class Outcome:
    """What a batch comes to.

    rows: to be stored; rejected: what is not counted, and why; dead: to be dead-lettered; presence_only: how many
    pings and leaves there were; level_change: of the dead letters' level, see ceiling.py.
    """

    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    presence_only: int = 0
    level_change: int = 0

    def keep(self, written: Mapping[Position, Row]) -> None:
        """Let the rows that are stored already stand, whatever this computation says of their events."""
        computed = (row for row in self.rows if row.position not in written)
        self.rows = sorted([*computed, *written.values()], key=lambda row: row.position)
        self.rejected = [rejected for rejected in self.rejected if rejected.position not in written]
        self.dead = [letter for letter in self.dead if letter.position not in written]


class Computed(NamedTuple):
    """A batch that is computed. state: as it leaves it behind."""

    batch: Batch
    state: State
    outcome: Outcome
