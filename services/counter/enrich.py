"""From the events of a batch to what is counted. A pure function of the batch and the state before it.

The state (who was seen when, who voted what, which ids were counted) is changed by nothing but counting a batch, so
whoever computes a batch again computes the same.
"""

from collections.abc import Sequence
from itertools import compress
from typing import Any

from services.counter.agents import Agent, recognise
from services.counter.batch import Position
from services.counter.columns import BOT, COLUMNS, GUEST, MEMBER
from services.counter.outcome import Outcome, Rejected, State, VoteKey
from services.counter.places import Place
from services.counter.resent import RecentIds
from services.counter.sort_out import Arrivals
from shared.events import Kind, Source
from shared.readmodel import SCORES_APART, VISIT_MS, Presence, presence_score

OVERTAKEN_MS = 1000
"""A leave this soon after its visitor was seen was overtaken by the view of the next page."""

# Until Python 3.12 an enum's member is found by a function: here once, not for every event.
_PAGEVIEW, _RATING, _PING, _LEAVE = Kind
_LIVE = Source.LIVE
_GUEST, _MEMBER, _BOT, _LEFT = (presence_score(presence, 0) for presence in Presence)
"""What a score of presence is, but for the time in it."""


def enrich(shard: int, arrivals: Arrivals, state: State, recent: RecentIds, outcome: Outcome) -> None:
    """Compute what a batch comes to and move the state on."""
    agents = list(map(recognise, arrivals.events["agent"]))
    counted, visits, previous = list[bool](), list[bool](), list[int]()
    for entry, number, place, agent, kind, time, given, visitor, item, member, score in zip(
        arrivals.entry,
        arrivals.number,
        arrivals.place,
        agents,
        *(arrivals.events[name] for name in ("kind", "time", "id", "visitor", "item", "member", "score")),
        strict=True,
    ):
        as_what = _BOT if agent.bot else _MEMBER if member else _GUEST
        is_counted = False
        if kind is _PING:
            outcome.presence_only += 1
            _see(place, visitor, time, item, as_what, pinged=True)
        elif kind is _LEAVE:
            outcome.presence_only += 1
            _leave(place, visitor, time, item)
        elif kind is _RATING and agent.bot:
            outcome.rejected.append(Rejected(Position(entry, number), "vote_of_a_bot"))
        elif not recent.first(place, given, entry, number, time):
            outcome.rejected.append(Rejected(Position(entry, number), "duplicate"))
        else:
            is_counted, is_view = True, kind is _PAGEVIEW
            visits.append(is_view and _see(place, visitor, time, item, as_what))
            previous.append(0 if is_view else _vote((place.site, item, visitor), score, state))
        counted.append(is_counted)
    outcome.stored = _stored(shard, arrivals, agents, counted) | {"visit": visits, "previous": previous}


def _see(place: Place, visitor: int, time: int, item: str, as_what: int, *, pinged: bool = False) -> bool:
    """Note a visitor's presence; whether a page view of it now begins a visit."""
    if time > place.latest:  # noqa: PLR1730 - a call of max, for every event, takes three times as long
        place.latest = time
    before = place.seen[visitor]
    at = before % SCORES_APART
    was = before - at
    latest = at if at > time else time  # noqa: FURB136 - the same
    if as_what == _BOT:
        place.seen[visitor] = _BOT + latest
        return False
    if place.source is _LIVE:
        place.readers[item][visitor] = time
    if pinged and was == _MEMBER:
        as_what = _MEMBER
    place.seen[visitor] = as_what + latest
    return was == _BOT or time - at > VISIT_MS


def _leave(place: Place, visitor: int, time: int, item: str) -> None:
    place.latest = max(place.latest, time)
    before = place.seen[visitor]
    if time - before % SCORES_APART < OVERTAKEN_MS:
        return
    if place.source is _LIVE:
        place.readers[item][visitor] = None
    if before:
        place.seen[visitor] = _LEFT + time


def _vote(key: VoteKey, score: int, state: State) -> int:
    """Note a vote; the voter's score before."""
    previous = state.votes.get(key, 0)
    state.votes[key] = score
    return previous


def _stored(shard: int, arrivals: Arrivals, agents: list[Agent], counted: list[bool]) -> dict[str, Sequence[Any]]:
    """COLUMNS of those arrivals that are counted, but for what was before them."""
    of = {name: list(compress(values, counted)) for name, values in arrivals.events.items()}
    entries, theres = list(compress(arrivals.entry, counted)), list(compress(arrivals.there, counted))
    agents = list(compress(agents, counted))
    made: dict[str, Sequence[Any]] = {
        "shard": [shard] * len(entries),
        "entry_ms": [entry.ms for entry in entries],
        "entry_seq": [entry.seq for entry in entries],
        "entry_index": list(compress(arrivals.number, counted)),
        "id": list(map(int.from_bytes, of["id"])),
        "type": of["kind"],
        "site": [place.site for place in compress(arrivals.place, counted)],
        "date": [there.date for there in theres],
        "hour": [there.hour for there in theres],
        "kind": [
            BOT if agent.bot else MEMBER if member else GUEST
            for agent, member in zip(agents, of["member"], strict=True)
        ],
        "bot": [agent.bot for agent in agents],
        "browser": [agent.browser for agent in agents],
        "system": [agent.system for agent in agents],
    }
    return {name: made.get(name, of.get(name, ())) for name in COLUMNS}
