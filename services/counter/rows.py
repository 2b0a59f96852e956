"""What is counted: a page view or a rating, where it stood, and what was found out about it; as the table has it."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from services.counter.agents import Agent
from services.counter.batch import Position
from services.counter.places import Place
from shared.calendar import Local
from shared.events import Kind, Source, StreamEvent
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
_OF_THE_EVENT = ("site", "time", "id", "visitor", "item", "score", "referrer", "title", "agent", "country")
"""Which of them have the event's own names and values."""
_ROWS_AT_ONCE = 256
"""So few that their values are still in the processor's cache: eight times as fast as all at once."""

Columns = Mapping[str, Sequence[object]]
"""Of the table `events`, by name, equally long."""


class Row(Struct, gc=False):
    """An event that may be counted, where it stands, and what is found out about it.

    there: when it was, at the site; visit: whether it begins one; previous: the voter's score before, 0
    for none. These two depend on what was before it, and are set when it is counted.
    """

    entry: EntryId
    number: int
    event: StreamEvent
    place: Place
    agent: Agent
    there: Local
    visit: bool = False
    previous: int = 0

    @property
    def site(self) -> str:
        return self.place.site

    @property
    def position(self) -> Position:
        return Position(self.entry, self.number)


def columns(shard: int, rows: Sequence[Row]) -> Columns:
    """The rows of a shard as COLUMNS, in types that the driver writes quickly: the id as a number, time in ms since
    1970 UTC."""
    found: dict[str, list[object]] = {name: [] for name in COLUMNS}
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = _columns(shard, rows[start : start + _ROWS_AT_ONCE])
        for name, column in found.items():
            column.extend(some[name])
    return found


def _columns(shard: int, rows: Sequence[Row]) -> dict[str, Iterable[object]]:
    row = _by_field(rows)
    event = _by_field(row["event"])
    entry_ms, entry_seq = zip(*row["entry"], strict=True)
    date, hour = zip(*row["there"], strict=True)
    bot, browser, system = zip(*row["agent"], strict=True)
    return event | {
        "shard": repeat(shard, len(rows)),
        "entry_ms": entry_ms,
        "entry_seq": entry_seq,
        "entry_index": row["number"],
        "id": map(int.from_bytes, event["id"]),
        "type": event["kind"],
        "site": [place.site for place in row["place"]],
        "date": date,
        "hour": hour,
        "kind": [
            BOT if name else MEMBER if member else GUEST for name, member in zip(bot, event["member"], strict=True)
        ],
        "visit": row["visit"],
        "bot": bot,
        "browser": browser,
        "system": system,
        "previous": row["previous"],
    }


def _by_field(some: Sequence[Struct]) -> dict[str, tuple[Any, ...]]:
    """What each field holds, by its name. As loops in C, for these are 20 values an event."""
    return dict(zip(some[0].__struct_fields__, zip(*map(astuple, some), strict=True), strict=True))


def row_of(stored: Sequence[Any]) -> Row:
    """The row with these values of COLUMNS, as the table has them, its id in bytes."""
    of = dict(zip(COLUMNS, stored, strict=True))
    event = StreamEvent(
        kind=Kind(of["type"]),
        source=Source(of["source"]),
        member=of["kind"] == MEMBER,
        **{name: of[name] for name in _OF_THE_EVENT},
    )
    return Row(
        EntryId(of["entry_ms"], of["entry_seq"]),
        of["entry_index"],
        event,
        Place(of["site"], event.source),
        Agent(of["bot"], of["browser"], of["system"]),
        Local(of["date"], of["hour"]),
        bool(of["visit"]),
        of["previous"],
    )
