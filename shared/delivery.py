"""The delivery identity of a shard: accepted = counted + rejected + dead-lettered + waiting."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.streams import EntryId, delivery_key, events_key

# One script, so that nothing moves while it is counted. The waiting events are counted from the entries themselves,
# which is time in which Redis does nothing else and memory that it needs: `most` bytes at most, 0 for any number, and a
# few entries at a time.
_COUNT = """
local most = tonumber(ARGV[1])
local waiting, from, bytes = 0, '-', 0
repeat
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', 20)
  for _, entry in ipairs(entries) do
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' then waiting = waiting + (tonumber(entry[2][i + 1]) or 1) end
      bytes = bytes + #entry[2][i + 1]
    end
    if most > 0 and bytes > most then return false end
    from = '(' .. entry[1]
  end
until #entries == 0
return {waiting, redis.call('HGETALL', KEYS[2])}
"""

_PAUSE_SECONDS = 0.05
_GLANCE_BYTES = 1_000_000
EVERYTHING = EntryId(2**64 - 1, 2**64 - 1)
"""A position after every entry."""


@dataclass(frozen=True)
class Delivery:
    """A shard's numbers of events.

    presence: the pings and leaves among the counted, which the store does not hold; lost: counted events that the store
    has lost for good, and somebody has accepted that.
    """

    accepted: int
    counted: int
    presence: int
    dead: int
    waiting: int
    applied: EntryId | None
    rejected: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    @property
    def stored(self) -> int:
        """How many events the store must have."""
        return self.counted - self.presence - self.lost

    @property
    def difference(self) -> int:
        """How many accepted events are not accounted for; below 0 where more are than were accepted."""
        return self.accepted - self.counted - sum(self.rejected.values()) - self.dead - self.waiting

    @property
    def balanced(self) -> bool:
        """Whether every accepted event is accounted for."""
        return self.difference == 0

    def __str__(self) -> str:
        rejected = sum(self.rejected.values())
        reasons = ", ".join(f"{reason} {number}" for reason, number in sorted(self.rejected.items()))
        return (
            f"accepted {self.accepted} {'=' if self.balanced else '≠'} counted {self.counted} + rejected {rejected}"
            f"{f' ({reasons})' if reasons else ''} + dead-lettered {self.dead} + waiting {self.waiting}"
        )


async def read_delivery(redis: "Redis", shard: int) -> Delivery:
    """The identity's numbers at one moment."""
    delivery = await _read(redis, shard, 0)
    assert delivery  # noqa: S101 - without a limit
    return delivery


async def glance_at_delivery(redis: "Redis", shard: int) -> Delivery | None:
    """The same where that takes Redis a few milliseconds, None where more than a megabyte waits."""
    return await _read(redis, shard, _GLANCE_BYTES)


async def _read(redis: "Redis", shard: int, most: int) -> Delivery | None:
    answer = await redis.eval(_COUNT, 2, events_key(shard), delivery_key(shard), most)
    if answer is None:
        return None
    waiting, words = answer
    return parse_delivery({words[i]: words[i + 1] for i in range(0, len(words), 2)}, int(waiting))


def parse_delivery(values: dict[bytes, bytes], waiting: int) -> Delivery:
    """The numbers of a delivery hash."""
    applied = values.get(b"applied")
    return Delivery(
        accepted=int(values.get(b"accepted", 0)),
        counted=int(values.get(b"counted", 0)),
        presence=int(values.get(b"presence", 0)),
        dead=int(values.get(b"dead", 0)),
        waiting=waiting,
        applied=EntryId.parse(applied) if applied else None,
        rejected={
            name.decode().removeprefix("rejected:"): int(number)
            for name, number in values.items()
            if name.startswith(b"rejected:")
        },
        lost=int(values.get(b"lost", 0)),
    )


async def counted_up_to(redis: "Redis", shard: int, delivery: Delivery) -> EntryId:
    """The last applied position; where nothing was applied since Redis lost its data, that before what waits."""
    if delivery.applied:
        return delivery.applied
    first = await redis.xrange(events_key(shard), count=1)
    if not first:
        return EVERYTHING
    entry = EntryId.parse(first[0][0])  # type: ignore[arg-type]
    return EntryId(entry.ms, entry.seq - 1) if entry.seq else EntryId(entry.ms - 1, EVERYTHING.seq)


async def until_counted(redis: "Redis", shard: int) -> AsyncIterator[int]:
    """Yields how many entries wait until those that wait now are counted."""
    last = await redis.xrevrange(events_key(shard), count=1)
    while last and await redis.xrange(events_key(shard), max=last[0][0], count=1):  # type: ignore[arg-type]
        yield int(await redis.xlen(events_key(shard)))
        await asyncio.sleep(_PAUSE_SECONDS)
