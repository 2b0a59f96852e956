"""What a batch must know before it is computed, read from the read model in one round trip."""

from collections.abc import Iterable, Iterator
from typing import Any

from redis.asyncio import Redis

from services.counter.enrich import Arrival, Seen, State, VoteKey
from services.counter.lease import FencedError, epoch_key
from shared.events import Kind, Source
from shared.readmodel import Presence, presence_key, visitor_member, votes_field, votes_key
from shared.streams import DEAD_LEVEL, delivery_key


async def read_state(redis: "Redis", shard: int, epoch: int, arrivals: Iterable[Arrival]) -> State:
    """When the visitors of these events were last seen, how the voters voted before, the level of dead letters.

    The epoch is read last: while it is ours nobody else has changed anything. (No transaction: a full Redis refuses
    every command in one.) FencedError where the shard has passed to another counter.
    """
    visitors, votes = _asked(arrivals)
    async with redis.pipeline(transaction=False) as pipe:
        for (site, source), who in visitors.items():
            for presence in Presence:
                pipe.zmscore(presence_key(shard, site, presence, source), [visitor_member(v) for v in who])
        for site, keys in votes.items():
            pipe.hmget(votes_key(shard, site), [votes_field(item, voter) for _, item, voter in keys])
        pipe.hget(delivery_key(shard), DEAD_LEVEL)
        pipe.get(epoch_key(shard))
        *answers, level, found = await pipe.execute()
    if found != b"%d" % epoch:
        raise FencedError

    state = State(dead_level=int(level or 0))
    rest: Iterator[Any] = iter(answers)
    for where, who in visitors.items():
        scores = {presence: next(rest) for presence in Presence}
        state.seen[where] = {
            visitor: Seen(int(float(at)), presence)
            for presence, found in scores.items()
            for visitor, at in zip(who, found, strict=True)
            if at is not None
        }
    for keys in votes.values():
        state.votes |= {key: int(score) for key, score in zip(keys, next(rest), strict=True) if score is not None}
    return state


def _asked(
    arrivals: Iterable[Arrival],
) -> tuple[dict[tuple[str, Source], dict[int, None]], dict[str, dict[VoteKey, None]]]:
    """The visitors by (site, source) and the votes by site, each once, in order."""
    visitors: dict[tuple[str, Source], dict[int, None]] = {}
    votes: dict[str, dict[VoteKey, None]] = {}
    for arrival in arrivals:
        event = arrival.event
        if event.kind is Kind.RATING:
            votes.setdefault(event.site, {})[event.site, event.item, event.visitor] = None
        else:
            visitors.setdefault((event.site, event.source), {})[event.visitor] = None
    return visitors, votes
