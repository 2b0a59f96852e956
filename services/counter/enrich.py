"""From the events of a batch to what is counted. A pure function of the batch, the sites and the state before it.

The state (who was seen when, who voted what) is changed by nothing but applying a batch, so whoever computes a batch
again computes the same.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import Struct

from services.counter.agents import Agent, recognise
from services.counter.batch import Batch, Position
from services.counter.expired import Expired
from services.counter.rows import Row
from shared.calendar import local, month_of
from shared.events import Kind, Source, StreamEvent
from shared.readmodel import VISIT_MS, Presence
from shared.sites import Site, Sites
from shared.streams import Content, EntryId, Malformed, encode_entry

ID_BYTES = 16
OLDEST_MS = 946_684_800_000
"""2000-01-01: no event is older, not even an imported one."""
FUTURE_MS = 10 * 60 * 1000
"""How far an ingest's clock may be ahead of Redis's."""
OVERTAKEN_MS = 1000
"""A leave this soon after its visitor was seen was overtaken by the view of the next page."""

# Until Python 3.12 an enum's member is found by a function: here once, not for every event.
_PAGEVIEW, _RATING, _PING, _LEAVE = Kind
_AS_GUEST, _AS_MEMBER, _AS_BOT, _LEFT = Presence
_LIVE = Source.LIVE

UNKNOWN_SITE = "unknown_site"

Place = tuple[str, Source]
"""Where somebody may be present: imported events have visitors of their own."""
VoteKey = tuple[str, str, int]
"""(site, item, voter)"""


class Seen(Struct, frozen=True, gc=False):
    """When a visitor was last seen (ms), and as what."""

    at: int
    presence: Presence


@dataclass
class State:
    """What earlier batches left behind, as far as this batch needs it; moved on while the batch is computed.

    seen: by (site, source), then visitor; stood: the same, and does not move. votes: the voter's score now.
    dead_level: see ceiling.py, in points.
    """

    seen: dict[Place, dict[int, Seen]] = field(default_factory=dict)
    stood: dict[Place, dict[int, Seen]] = field(default_factory=dict)
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
    pings and leaves there were; readers: last seen (ms) by (site, item), then visitor, None for who left; latest: the
    batch's latest time by (site, source), in ms; level_change: of the dead letters' level, see ceiling.py.
    """

    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    presence_only: int = 0
    readers: dict[tuple[str, str], dict[int, int | None]] = field(default_factory=lambda: defaultdict(dict))
    latest: dict[Place, int] = field(default_factory=dict)
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


class Arrival(Struct, frozen=True, gc=False):
    """An event that may be counted, with its place on the stream and its site."""

    entry: EntryId
    number: int
    event: StreamEvent
    site: Site

    @property
    def position(self) -> Position:
        return Position(self.entry, self.number)


def sort_out(batch: Batch, sites: Sites, expired: Expired, outcome: Outcome) -> list[Arrival]:
    """The events that may be counted; all others go to the outcome with their reason."""
    arrivals = []
    known: dict[str, Site | str] = {}
    for entry, events in batch.events:
        latest = entry.ms + FUTURE_MS
        for number, event in enumerate(events):
            if isinstance(event, Malformed):
                outcome.dead.append(DeadLetter(Position(entry, number), event.reason, event.content))
                continue
            if (site := known.get(event.site)) is None:
                site = known[event.site] = _site_or_reason(event.site, batch.shard, sites)
            if isinstance(site, str):
                outcome.dead.append(DeadLetter(Position(entry, number), site, encode_entry([event])))
            elif len(event.id) != ID_BYTES and event.kind in (_PAGEVIEW, _RATING):
                outcome.dead.append(DeadLetter(Position(entry, number), "undecodable", encode_entry([event])))
            elif event.time < OLDEST_MS:
                outcome.rejected.append(Rejected(Position(entry, number), "too_old"))
            elif event.time > latest:
                outcome.rejected.append(Rejected(Position(entry, number), "in_the_future"))
            elif site.id in expired and month_of(local(event.time, site.zone).date) in expired[site.id]:
                outcome.rejected.append(Rejected(Position(entry, number), "expired"))
            else:
                arrivals.append(Arrival(entry, number, event, site))
    return arrivals


def _site_or_reason(site_id: str, shard: int, sites: Sites) -> Site | str:
    """The site, or why its events are dead letters on this shard."""
    site = sites.once_known(site_id)
    if site is None:
        return UNKNOWN_SITE
    return site if sites.shard(site_id) == shard else "wrong_shard"


def enrich(
    batch: Batch,
    arrivals: list[Arrival],
    state: State,
    stored: Mapping[tuple[str, bytes], Position],
    outcome: Outcome,
) -> None:
    """Compute the rows of a batch and move the state on.

    stored: where events with ids of the batch were counted already, by (site, id); it may be this batch itself.
    """
    counted: set[tuple[str, bytes]] = set()
    for arrival in arrivals:
        event = arrival.event
        agent = recognise(event.agent)
        if event.kind is _PING or event.kind is _LEAVE:
            outcome.presence_only += 1
            _see(event, agent, state, outcome)
            continue
        key = (event.site, event.id)
        earlier = stored.get(key)
        if key in counted or (earlier is not None and earlier < arrival.position):
            outcome.rejected.append(Rejected(arrival.position, "duplicate"))
            continue
        counted.add(key)
        if event.kind is _PAGEVIEW:
            visit = _see(event, agent, state, outcome)
            outcome.rows.append(_row(batch.shard, arrival, agent, visit=visit))
        elif agent.bot:
            outcome.rejected.append(Rejected(arrival.position, "vote_of_a_bot"))
        else:
            vote = (event.site, event.item, event.visitor)
            previous = state.votes.get(vote, 0)
            state.votes[vote] = event.score
            outcome.rows.append(_row(batch.shard, arrival, agent, previous=previous))


def _see(event: StreamEvent, agent: Agent, state: State, outcome: Outcome) -> bool:
    """Note the visitor's presence; whether a page view of it now begins a visit."""
    place, time = (event.site, event.source), event.time
    visitors = state.seen.setdefault(place, {})
    before = visitors.get(event.visitor)
    if time > outcome.latest.get(place, 0):
        outcome.latest[place] = time
    if event.kind is _LEAVE:
        _leave(event, before, visitors, outcome)
        return False
    if agent.bot:
        presence = _AS_BOT
    elif event.member or (before and event.kind is _PING and before.presence is _AS_MEMBER):
        presence = _AS_MEMBER
    else:
        presence = _AS_GUEST
    visitors[event.visitor] = Seen(before.at if before and before.at > time else time, presence)
    if not agent.bot and event.source is _LIVE:
        outcome.readers[event.site, event.item][event.visitor] = time
    unseen = before is None or before.presence is _AS_BOT or time - before.at > VISIT_MS
    return unseen and not agent.bot


def _leave(event: StreamEvent, before: Seen | None, visitors: dict[int, Seen], outcome: Outcome) -> None:
    if before and event.time - before.at < OVERTAKEN_MS:
        return
    if event.source is _LIVE:
        outcome.readers[event.site, event.item][event.visitor] = None
    if before:
        visitors[event.visitor] = Seen(event.time, _LEFT)


def _row(shard: int, arrival: Arrival, agent: Agent, *, visit: bool = False, previous: int = 0) -> Row:
    event, site = arrival.event, arrival.site
    there = local(event.time, site.zone)
    # The site's id, not the event's: one string for all, while a row's is remembered.
    return Row(shard, arrival.entry, arrival.number, event, site.id, agent, there, visit, previous)
