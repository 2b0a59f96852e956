"""What a batch must know before it is computed, read from the read model in one round trip.

The batch before it may be computed and not yet applied. What that one leaves behind is laid over what Redis says, so
that it makes no difference whether Redis was asked before it was applied or after.
"""

from collections.abc import Iterable, Sequence

import msgspec
from redis.asyncio import Redis

from services.counter.commands import Command, packed, parts, running
from services.counter.lease import FencedError, epoch_key
from services.counter.outcome import Computed, State, VoteKey
from services.counter.places import Place
from services.counter.sort_out import Arrivals
from shared.readmodel import SCORES_APART, VISIT_MS, presence_key, visitor_members, votes_field, votes_key
from shared.streams import DEAD_LEVEL, delivery_key

_SCRIPT = running("read.lua")
_Answer = list[list[str | bool]]
"""See read.lua; False is what is not there."""
_decode = msgspec.msgpack.Decoder(_Answer).decode


async def read_state(
    redis: "Redis", shard: int, epoch: int, arrivals: Arrivals, before: Computed | None = None
) -> State:
    """When the visitors of these events were last seen, how the voters voted before, the level of dead letters.

    before: the batch before this one, where it may not be applied yet. FencedError where the shard has passed to
    another counter: while the epoch is ours nobody else changes anything.
    """
    state = State(arrivals.places)
    about: list[tuple[Place, Sequence[int]]] = []
    about_votes: list[Sequence[VoteKey]] = []
    commands: list[Command] = [("HMGET", delivery_key(shard), DEAD_LEVEL, "applied")]
    for place in arrivals.places.values():
        for part in parts(_unknown_visitors(place, before)):
            about.append((place, part))
            commands.append(("ZMSCORE", presence_key(shard, place.site, place.source), *visitor_members(part)))
    for site, keys in _unknown_votes(arrivals.votes, state, before).items():
        for some in parts(keys):
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
        earliest = _earliest(place, before)
        for visitor, score in zip(part, scores, strict=True):
            # Some versions of Redis print 3e+13.
            if score and (found := int(float(score))) % SCORES_APART >= earliest:
                place.seen[visitor] = found
    for some, now in zip(about_votes, answers[len(about) :], strict=True):
        state.votes |= {key: int(score) for key, score in zip(some, now, strict=True) if score}
    return state


def _unknown_visitors(place: Place, before: Computed | None) -> list[int]:
    """Whom Redis must be asked about: those whom the batch before did not see. What it says of the others is noted."""
    left = _left(place, before)
    if left is None:
        return list(place.seen)
    unknown, earliest = [], _earliest(place, before)
    for visitor in place.seen:
        if not (score := left.seen.get(visitor)):
            unknown.append(visitor)
        elif score % SCORES_APART >= earliest:
            place.seen[visitor] = score
    return unknown


def _unknown_votes(votes: Iterable[VoteKey], state: State, before: Computed | None) -> dict[str, list[VoteKey]]:
    """The same of the voters, by site."""
    left = before.state.votes if before else {}
    unknown: dict[str, list[VoteKey]] = {}
    for key in dict.fromkeys(votes):
        if key in left:
            state.votes[key] = left[key]
        else:
            unknown.setdefault(key[0], []).append(key)
    return unknown


def _left(place: Place, before: Computed | None) -> Place | None:
    """The place as the batch before has left it."""
    return before.state.places.get((place.site, place.source)) if before else None


def _earliest(place: Place, before: Computed | None) -> int:
    """When those were seen last, in ms, whom the batch before does not take out of the sets (changes.py)."""
    left = _left(place, before)
    return left.latest - VISIT_MS if left else 0
