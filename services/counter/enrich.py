"""From the events of a batch to what is counted. A pure function of the batch and the state before it.

The state (who was seen when, who voted what, which ids were counted) is changed by nothing but counting a batch, so
whoever computes a batch again computes the same.
"""

from collections.abc import Iterable

from services.counter.outcome import Outcome, Rejected, State
from services.counter.places import Place
from services.counter.resent import RecentIds
from services.counter.rows import Row
from shared.events import Kind, Source, StreamEvent
from shared.readmodel import SCORES_APART, VISIT_MS, Presence, presence_score

OVERTAKEN_MS = 1000
"""A leave this soon after its visitor was seen was overtaken by the view of the next page."""

# Until Python 3.12 an enum's member is found by a function: here once, not for every event.
_PAGEVIEW, _RATING, _PING, _LEAVE = Kind
_LIVE = Source.LIVE
_GUEST, _MEMBER, _BOT, _LEFT = (presence_score(presence, 0) for presence in Presence)
"""What a score of presence is, but for the time in it."""


def enrich(rows: Iterable[Row], state: State, recent: RecentIds, outcome: Outcome) -> None:
    """Compute the rows of a batch and move the state on."""
    for row in rows:
        event, bot = row.event, row.agent.bot
        kind = event.kind
        if kind is _PING or kind is _LEAVE:
            outcome.presence_only += 1
            _see(event, bot, row.place)
        elif bot and kind is _RATING:
            outcome.rejected.append(Rejected(row.position, "vote_of_a_bot"))
        elif not recent.first(row):
            outcome.rejected.append(Rejected(row.position, "duplicate"))
        elif kind is _PAGEVIEW:
            row.visit = _see(event, bot, row.place)
            outcome.rows.append(row)
        else:
            key = (row.site, event.item, event.visitor)
            row.previous = state.votes.get(key, 0)
            state.votes[key] = event.score
            outcome.rows.append(row)


def _see(event: StreamEvent, bot: str, place: Place) -> bool:
    """Note the visitor's presence; whether a page view of it now begins a visit."""
    visitor, time, live = event.visitor, event.time, place.source is _LIVE
    if time > place.latest:
        place.latest = time
    before = place.seen.get(visitor, 0)
    at = before % SCORES_APART
    was = before - at
    if event.kind is _LEAVE:
        if time - at >= OVERTAKEN_MS:
            if live:
                place.readers[event.item][visitor] = None
            if before:
                place.seen[visitor] = _LEFT + time
        return False
    latest = at if at > time else time
    if bot:
        place.seen[visitor] = _BOT + latest
        return False
    if live:
        place.readers[event.item][visitor] = time
    member = event.member or (was == _MEMBER and event.kind is _PING)
    place.seen[visitor] = _MEMBER + latest if member else _GUEST + latest
    return was == _BOT or time - at > VISIT_MS
