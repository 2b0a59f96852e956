"""What a batch must know before it is computed, read from the read model in one round trip."""

from collections.abc import Iterable, Sequence

from redis.asyncio import Redis

from services.counter.commands import Command, packed, parts
from services.counter.enrich import Arrival, Place, Seen, State, VoteKey
from services.counter.lease import FencedError, epoch_key
from shared.events import Kind
from shared.readmodel import Presence, presence_key, visitor_member, votes_field, votes_key
from shared.redis import script
from shared.streams import DEAD_LEVEL, delivery_key

_RATING = Kind.RATING
_SCRIPT = script("services.counter", "read.lua")


async def read_state(redis: "Redis", shard: int, epoch: int, arrivals: Iterable[Arrival]) -> State:
    """When the visitors of these events were last seen, how the voters voted before, the level of dead letters.

    FencedError where the shard has passed to another counter: while the epoch is ours nobody else changes anything.
    """
    visitors, votes = _asked(arrivals)
    about: list[tuple[Place, Presence, Sequence[int]]] = []
    about_votes: list[Sequence[VoteKey]] = []
    commands: list[Command] = [("HGET", delivery_key(shard), DEAD_LEVEL)]
    for place, who in visitors.items():
        site, source = place
        for part in parts(list(who)):
            members = [visitor_member(visitor) for visitor in part]
            for presence in Presence:
                about.append((place, presence, part))
                commands.append(("ZMSCORE", presence_key(shard, site, presence, source), *members))
    for site, keys in votes.items():
        for some in parts(list(keys)):
            about_votes.append(some)
            commands.append(("HMGET", votes_key(shard, site), *(votes_field(item, voter) for _, item, voter in some)))
    answers = await redis.eval(_SCRIPT, 1, epoch_key(shard), epoch, packed(commands))
    if answers == -1:
        raise FencedError

    rest = iter(answers)
    state = State(dead_level=int(next(rest) or 0))
    for (place, presence, part), scores in zip(about, rest, strict=False):
        seen = state.seen.setdefault(place, {})
        standing = state.standing.setdefault(place, {}).setdefault(presence, [])
        for visitor, at in zip(part, scores, strict=True):
            if at is not None:
                seen[visitor] = Seen(int(float(at)), presence)
                standing.append(visitor)
    for some, scores in zip(about_votes, rest, strict=True):
        state.votes |= {key: int(score) for key, score in zip(some, scores, strict=True) if score is not None}
    return state


def _asked(arrivals: Iterable[Arrival]) -> tuple[dict[Place, dict[int, None]], dict[str, dict[VoteKey, None]]]:
    """The visitors by place and the votes by site, each once, in order."""
    visitors: dict[Place, dict[int, None]] = {}
    votes: dict[str, dict[VoteKey, None]] = {}
    for arrival in arrivals:
        event = arrival.event
        if event.kind is _RATING:
            votes.setdefault(event.site, {})[event.site, event.item, event.visitor] = None
        else:
            visitors.setdefault((event.site, event.source), {})[event.visitor] = None
    return visitors, votes
