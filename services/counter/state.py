"""What a batch must know before it is computed, read from the read model in one round trip.

The batch before it may be computed and not yet applied. What that one leaves behind is laid over what Redis says, so
that it makes no difference whether Redis was asked before it was applied or after.
"""

from collections.abc import Iterable, Sequence

import msgspec
from redis.asyncio import Redis

from services.counter.commands import Command, packed, parts
from services.counter.enrich import Arrival, Computed, Place, Seen, State, VoteKey
from services.counter.lease import FencedError, epoch_key
from shared.events import Kind
from shared.readmodel import VISIT_MS, presence_key, presence_of, visitor_member, votes_field, votes_key
from shared.redis import script
from shared.streams import DEAD_LEVEL, delivery_key

_RATING = Kind.RATING
_SCRIPT = script("services.counter", "read.lua")
_Answer = list[list[str | bool]]
"""See read.lua; False is what is not there."""
_decode = msgspec.msgpack.Decoder(_Answer).decode


async def read_state(
    redis: "Redis", shard: int, epoch: int, arrivals: Iterable[Arrival], before: Computed | None = None
) -> State:
    """When the visitors of these events were last seen, how the voters voted before, the level of dead letters.

    before: the batch before this one, where it may not be applied yet. FencedError where the shard has passed to
    another counter: while the epoch is ours nobody else changes anything.
    """
    visitors, votes = _asked(arrivals)
    state = _known(visitors, votes, before) if before else State()
    about: list[tuple[Place, Sequence[int]]] = []
    about_votes: list[Sequence[VoteKey]] = []
    commands: list[Command] = [("HMGET", delivery_key(shard), DEAD_LEVEL, "applied")]
    for place, who in visitors.items():
        key = presence_key(shard, *place)
        for part in parts(list(who)):
            about.append((place, part))
            commands.append(("ZMSCORE", key, *map(visitor_member, part)))
    for site, keys in votes.items():
        for some in parts(list(keys)):
            about_votes.append(some)
            commands.append(("HMGET", votes_key(shard, site), *(votes_field(item, voter) for _, item, voter in some)))
    answer = await redis.eval(_SCRIPT, 1, epoch_key(shard), epoch, packed(commands))
    if answer == -1:
        raise FencedError

    (level, applied), *answers = _decode(answer)
    state.dead_level = int(level or 0)
    if before and applied != str(before.batch.entries[-1].id):
        state.dead_level += before.outcome.level_change
    for (place, part), scores in zip(about, answers[: len(about)], strict=True):
        seen, earliest = state.seen.setdefault(place, {}), _earliest(place, before)
        for visitor, score in zip(part, scores, strict=True):
            if score:
                presence, at = presence_of(int(float(score)))  # some versions of Redis print 3e+13
                if at >= earliest:
                    seen[visitor] = Seen(at, presence)
    for some, now in zip(about_votes, answers[len(about) :], strict=True):
        state.votes |= {key: int(score) for key, score in zip(some, now, strict=True) if score}
    state.stood = {place: seen.copy() for place, seen in state.seen.items()}
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


def _known(visitors: dict[Place, dict[int, None]], votes: dict[str, dict[VoteKey, None]], before: Computed) -> State:
    """What the batch before says of those that are asked about, of whom Redis need not be asked then."""
    state = State()
    for place, who in visitors.items():
        left, earliest = before.state.seen.get(place, {}), _earliest(place, before)
        known = left.keys() & who.keys()
        for visitor in known:
            del who[visitor]
        state.seen[place] = {visitor: seen for visitor in known if (seen := left[visitor]).at >= earliest}
    for keys in votes.values():
        for key in before.state.votes.keys() & keys.keys():
            del keys[key]
            state.votes[key] = before.state.votes[key]
    return state


def _earliest(place: Place, before: Computed | None) -> int:
    """When those were seen last, in ms, whom the batch before does not take out of the sets (changes.py)."""
    return before.outcome.latest.get(place, 0) - VISIT_MS if before else 0
