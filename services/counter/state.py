"""What a batch must know before it is computed, read from the read model in one round trip."""

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis

from services.counter.enrich import Arrival, Seen, State, VoteKey
from services.counter.lease import FencedError, epoch_key
from shared.events import Kind, Source
from shared.readmodel import Presence, presence_key, visitor_member, votes_field, votes_key

_KINDS = tuple(Presence)


async def read_state(redis: "Redis", shard: int, epoch: int, arrivals: Iterable[Arrival]) -> State:
    """When the visitors of these events were last seen, and how the voters voted before.

    The fence is read in the same transaction. FencedError where the shard has passed to another counter.
    """
    visitors: dict[tuple[str, Source], dict[int, None]] = {}
    voters: dict[str, dict[VoteKey, None]] = {}
    for _, event, _ in arrivals:
        if event.kind is Kind.RATING:
            voters.setdefault(event.site, {})[event.site, event.item, event.visitor] = None
        else:
            visitors.setdefault((event.site, event.source), {})[event.visitor] = None

    async with redis.pipeline(transaction=True) as transaction:
        transaction.get(epoch_key(shard))
        for (site, source), who in visitors.items():
            for presence in _KINDS:
                transaction.zmscore(presence_key(shard, site, presence, source), [visitor_member(v) for v in who])
        for site, votes in voters.items():
            transaction.hmget(votes_key(shard, site), [votes_field(item, voter) for _, item, voter in votes])
        answers: list[Any] = await transaction.execute()

    if answers[0] != b"%d" % epoch:
        raise FencedError
    state = State()
    rest = iter(answers[1:])
    for where, who in visitors.items():
        seen = state.seen[where] = {}
        for presence in _KINDS:
            for visitor, at in zip(who, next(rest), strict=True):
                if at is not None:
                    seen[visitor] = Seen(int(float(at)), presence)
    for votes in voters.values():
        for vote, score in zip(votes, next(rest), strict=True):
            if score is not None:
                state.votes[vote] = int(score)
    return state
