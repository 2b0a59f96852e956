"""The rows of the table `events`, one per counted page view or rating."""

from datetime import date

from msgspec import Struct

from services.counter.batch import Position
from shared.streams import EntryId

PAGEVIEW, RATING = 1, 2
GUEST, MEMBER, BOT = 1, 2, 3


class Row(Struct, frozen=True, order=True, gc=False):
    """A row; the fields are the table's columns. id: 16 bytes; time: ms since 1970 UTC; enums as their numbers."""

    shard: int
    entry_ms: int
    entry_seq: int
    entry_index: int
    id: bytes
    type: int
    source: int
    site: str
    time: int
    date: date
    hour: int
    item: str
    title: str
    visitor: int
    kind: int
    visit: int
    bot: str
    browser: str
    system: str
    country: str
    referrer: str
    score: int
    previous: int
    agent: str

    @property
    def position(self) -> Position:
        return Position(EntryId(self.entry_ms, self.entry_seq), self.entry_index)
