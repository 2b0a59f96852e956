"""What is counted: a page view or a rating, where it stood, and what was found out about it; as the table has it."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from services.counter.agents import Agent
from services.counter.batch import Position
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


class Row(Struct, frozen=True, gc=False):
    """A counted event.

    site: its id; there: when it was, at the site; visit: whether it begins one; previous: the voter's score before, 0
    for none.
    """

    shard: int
    entry: EntryId
    number: int
    event: StreamEvent
    site: str
    agent: Agent
    there: Local
    visit: bool = False
    previous: int = 0

    @property
    def position(self) -> Position:
        return Position(self.entry, self.number)


def values(row: Row) -> tuple[Any, ...]:
    """A row's COLUMNS, in types that the driver writes quickly: the id as a number, time in ms since 1970 UTC."""
    event, agent, there = row.event, row.agent, row.there
    return (
        row.shard,
        row.entry.ms,
        row.entry.seq,
        row.number,
        int.from_bytes(event.id),
        event.kind,
        event.source,
        row.site,
        event.time,
        there.date,
        there.hour,
        event.item,
        event.title,
        event.visitor,
        BOT if agent.bot else MEMBER if event.member else GUEST,
        row.visit,
        agent.bot,
        agent.browser,
        agent.system,
        event.country,
        event.referrer,
        event.score,
        row.previous,
        event.agent,
    )


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
        of["shard"],
        EntryId(of["entry_ms"], of["entry_seq"]),
        of["entry_index"],
        event,
        of["site"],
        Agent(of["bot"], of["browser"], of["system"]),
        Local(of["date"], of["hour"]),
        bool(of["visit"]),
        of["previous"],
    )
