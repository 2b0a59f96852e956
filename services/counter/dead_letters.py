"""Dead letters: what could not be counted, with its reason. Each holds the entry that would bring it back."""

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from redis.asyncio import Redis

from shared.streams import REPLAYED, Content, dead_key, delivery_key, events_key, sent_again

_AT_ONCE = 500
_REPLAY = """
if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('HINCRBY', KEYS[2], 'dead', -ARGV[2])
redis.call('XADD', KEYS[3], '*', unpack(ARGV, 3))
return 1
"""


class Letter(NamedTuple):
    """A dead letter. name: its own entry id; entry and number: where it stood; content: what it held."""

    name: str
    reason: str
    entry: str
    number: int
    content: Content


async def letters(redis: "Redis", shard: int) -> AsyncIterator[Letter]:
    """The dead letters that a shard has now, the oldest first."""
    newest: Any = await redis.xrevrange(dead_key(shard), count=1)
    start, end = "-", newest[0][0].decode() if newest else "-"
    while True:
        found: Any = await redis.xrange(dead_key(shard), min=start, max=end, count=_AT_ONCE)
        for name, fields in found:
            yield Letter(
                name.decode(),
                fields[b"reason"].decode(),
                fields[b"entry"].decode(),
                int(fields[b"number"]),
                Content(fields[b"v"], int(fields[b"n"]), fields[b"events"]),
            )
        if len(found) < _AT_ONCE:
            return
        start = f"({found[-1][0].decode()}"


async def replay(redis: "Redis", shard: int, letter: Letter) -> bool:
    """Put a dead letter back onto the stream; False where somebody else has done so meanwhile.

    It goes back as sent once more, so that the counter looks up whether it was counted meanwhile: the tracker may have
    sent it again itself. That is known for two weeks (see shared/migrations/0005_settled.sql).
    """
    content = sent_again(letter.content)
    values: Any = [
        letter.name,
        content.n,
        *(word for field in content._asdict().items() for word in field),
        REPLAYED,
        1,
    ]
    return bool(await redis.eval(_REPLAY, 3, dead_key(shard), delivery_key(shard), events_key(shard), *values))
