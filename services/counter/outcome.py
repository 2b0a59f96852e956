"""What a batch needs to know of what was before it, and what it comes to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.counter.batch import Batch, Position
from services.counter.columns import Columns, Row, of_rows, rows_of, size
from services.counter.places import Places
from shared.streams import Content

VoteKey = tuple[str, str, int]
"""(site, item, voter)"""


@dataclass
class State:
    """What earlier batches left behind, as far as this batch needs it; moved on while the batch is computed.

    places: the batch's, with who was seen there. votes: the voter's score now. dead_level: see ceiling.py, in points.
    """

    places: Places = field(default_factory=dict)
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

    stored: the rows; rejected: what is not counted, and why; dead: to be dead-lettered; presence_only: how many pings
    and leaves there were; level_change: of the dead letters' level, see ceiling.py.
    """

    stored: Columns = field(default_factory=lambda: of_rows(()))
    rejected: list[Rejected] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    presence_only: int = 0
    level_change: int = 0

    @property
    def counted(self) -> int:
        """How many events are counted."""
        return size(self.stored) + self.presence_only

    def keep(self, written: Mapping[Position, Row]) -> None:
        """Let the rows that are stored already stand, whatever this computation says of their events."""
        rows = {**dict(rows_of(self.stored)), **written}
        self.stored = of_rows(rows[position] for position in sorted(rows))
        self.rejected = [rejected for rejected in self.rejected if rejected.position not in written]
        self.dead = [letter for letter in self.dead if letter.position not in written]


class Computed(NamedTuple):
    """A batch that is computed. state: as it leaves it behind."""

    batch: Batch
    state: State
    outcome: Outcome
