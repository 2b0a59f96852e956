"""What is counted, by column, as the table `events` has it.

Columns rather than an object for each row: they are made, compared and written by loops in C, and what an event was
decoded into can be forgotten while it is still in the processor's cache.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from services.counter.batch import Position
from shared.streams import EntryId

GUEST, MEMBER, BOT = 1, 2, 3
COLUMNS = (
    "shard",
    "entry_ms",
    "entry_seq",
    "entry_index",
    "id",
    "type",
    "source",
    "site",
    "time",
    "date",
    "hour",
    "item",
    "title",
    "visitor",
    "kind",
    "visit",
    "bot",
    "browser",
    "system",
    "country",
    "referrer",
    "score",
    "previous",
    "agent",
)
"""Of the table `events`."""

Columns = Mapping[str, Sequence[Any]]
"""All of COLUMNS by name, equally long, in types that the driver writes quickly: the id as a number, time in ms since
1970 UTC, date and hour the site's own."""
Row = Sequence[Any]
"""A value for each of COLUMNS."""


def of_rows(rows: Iterable[Row]) -> Columns:
    """Rows as columns."""
    return dict(zip(COLUMNS, list(zip(*rows, strict=True)) or [()] * len(COLUMNS), strict=True))


def rows_of(columns: Columns) -> Iterator[tuple[Position, Row]]:
    """Columns as rows, with the position of each."""
    return zip(positions(columns), zip(*columns.values(), strict=True), strict=True)


def positions(columns: Columns) -> Iterator[Position]:
    """Where the rows stand on the stream."""
    names = ("entry_ms", "entry_seq", "entry_index")
    for ms, seq, number in zip(*(columns[name] for name in names), strict=True):
        yield Position(EntryId(ms, seq), number)


def size(columns: Columns) -> int:
    """How many rows there are."""
    return len(columns["id"])
