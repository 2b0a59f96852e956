"""Redis's part of a backup: the keys of every shard, as DUMP gives them, in a table of ClickHouse.

Not among them: what is of the moment (lease, epoch, who has a page open), and whatever is of no shard. The salts that
visitors are hashed under must be forgotten when their day is over.
"""

import re
from base64 import b64decode
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

from redis.asyncio import Redis

from services.counter.archive import Point
from services.counter.lease import epoch_key, lease_key, restoring_key
from shared.clickhouse import Statements
from shared.delivery import parse_delivery
from shared.readmodel import readers_prefix
from shared.redis import script
from shared.streams import EntryId, dead_key, delivery_key, events_key, shard_key

_PIECE_BYTES = 1 << 20
_PIECES_PER_QUERY = 32
_DUMPS_AT_ONCE = 50
_GONE = -2
"""What PTTL says of a key that is not there."""
_MOST_KEYS = 1000
_MOST_BYTES = 16 << 20
# A script rather than a transaction, which a full Redis refuses.
_READ = """#!lua flags=no-writes,allow-oom
return {
  redis.call('HGETALL', KEYS[2]), redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1), redis.call('GET', KEYS[4]),
  redis.call('DUMP', KEYS[1]), redis.call('DUMP', KEYS[2]), redis.call('DUMP', KEYS[3])
}
"""
_PUT_BACK = script("services.counter", "put_back.lua")


class Key(NamedTuple):
    """A key of a shard. pttl: ms until it expires, 0 for never; value: as DUMP gives it."""

    shard: int
    name: bytes
    pttl: int
    value: bytes


def delivered_keys(shard: int) -> list[str]:
    """What others than the counter change as well, together: ingest the first two, `dead-letters replay` all three."""
    return [events_key(shard), delivery_key(shard), dead_key(shard)]


async def read_delivered(redis: "Redis", shard: int) -> tuple[Point, list[Key]]:
    """Stream, delivery hash and dead letters at one moment, and which one that is."""
    names = delivered_keys(shard)
    words, newest, epoch, *dumps = await redis.eval(_READ, 4, *names, epoch_key(shard))
    delivery = parse_delivery(dict(zip(words[::2], words[1::2], strict=True)), 0)
    entries = [EntryId.parse(name) for name, _ in newest] + ([delivery.applied] if delivery.applied else [])
    last = max(entries, default=EntryId(0, 0))
    point = Point(accepted=delivery.accepted, counted=delivery.counted, epoch=int(epoch), last=str(last))
    keys = zip(names, dumps, strict=True)
    return point, [Key(shard, name.encode(), 0, value) for name, value in keys if value is not None]


async def read_others(redis: "Redis", shards: int) -> AsyncIterator[Key]:
    """All other keys that a backup has. Nobody may count meanwhile."""
    for shard, names in (await other_names(redis, shards)).items():
        for start in range(0, len(names), _DUMPS_AT_ONCE):
            some = names[start : start + _DUMPS_AT_ONCE]
            async with redis.pipeline(transaction=False) as pipe:
                for name in some:
                    pipe.dump(name)
                    pipe.pttl(name)
                answers = await pipe.execute()
            for name, value, pttl in zip(some, answers[::2], answers[1::2], strict=True):
                if value is not None and pttl != _GONE:  # it may expire meanwhile
                    yield Key(shard, name, max(0, pttl), value)


async def write_keys(store: Statements, table: str, keys: AsyncIterator[Key]) -> None:
    """Write keys into a table."""
    written = 0
    async for some in _together(_pieces(keys)):
        columns: dict[str, Sequence[Any]] = {
            "number": range(written, written + len(some)),
            "shard": [key.shard for key in some],
            "key": [key.name for key in some],
            "pttl": [key.pttl for key in some],
            "piece": [key.value for key in some],
        }
        await store.insert(table, columns, {"async_insert": 0})
        written += len(some)


async def put_back(redis: "Redis", store: Statements, table: str, shard: int, present: Iterable[bytes]) -> int:
    """Let a shard's keys be those of a table. How many events that were accepted meanwhile wait behind them.

    What ingest accepted since the backup and nobody has counted is kept, after all that the backup has waiting.
    present: the read model's keys that the shard has now, of which those stay that are in the backup.
    """
    delivered = dict.fromkeys(delivered_keys(shard), b"")
    gone = set(present)
    async for some in _together(_stored(store, table, shard)):
        async with redis.pipeline(transaction=False) as pipe:
            for key in some:
                if key.name.decode() in delivered:
                    delivered[key.name.decode()] = key.value
                else:
                    pipe.restore(key.name, key.pttl, key.value, replace=True)
                    gone.discard(key.name)
            await pipe.execute()
    async with redis.pipeline(transaction=False) as pipe:
        for name in gone:
            pipe.unlink(name)
        await pipe.execute()
    keys = [*delivered, shard_key(shard, "restored")]
    return int(await redis.eval(_PUT_BACK, len(keys), *keys, *delivered.values()))


async def other_names(redis: "Redis", shards: int) -> dict[int, list[bytes]]:
    """The names of the read model's keys, by shard; without those of readers."""
    own = {
        name.encode()
        for shard in range(shards)
        for name in (*delivered_keys(shard), lease_key(shard), epoch_key(shard), restoring_key(shard))
    }
    found: dict[int, set[bytes]] = {shard: set() for shard in range(shards)}  # a scan may give a key twice
    names: Any = redis.scan_iter(match="{*}:*", count=_MOST_KEYS)
    async for name in names:
        match = re.match(rb"\{(\d+)\}:", name)
        shard = int(match[1]) if match else -1
        if shard in found and name not in own and not name.startswith(readers_prefix(shard).encode()):
            found[shard].add(name)
    return {shard: sorted(names) for shard, names in found.items()}


async def _stored(store: Statements, table: str, shard: int) -> AsyncIterator[Key]:
    """The keys of a shard that were written into a table."""
    name, pttl, pieces = b"", 0, list[bytes]()
    async for piece in _stored_pieces(store, table, shard):
        if piece.name != name and pieces:
            yield Key(shard, name, pttl, b"".join(pieces))
            pieces = []
        name, pttl = piece.name, piece.pttl
        pieces.append(piece.value)
    if pieces:
        yield Key(shard, name, pttl, b"".join(pieces))


async def _stored_pieces(store: Statements, table: str, shard: int) -> AsyncIterator[Key]:
    after = -1
    while True:
        rows = await store.query(
            f"SELECT number, base64Encode(key), pttl, base64Encode(piece) FROM {table}"  # noqa: S608 - our own name
            " WHERE shard = {shard:UInt16} AND number > {after:Int64} ORDER BY number LIMIT {most:UInt32}",
            {"shard": shard, "after": after, "most": _PIECES_PER_QUERY},
        )
        for number, name, pttl, piece in rows:
            yield Key(shard, b64decode(name), pttl, b64decode(piece))
            after = number
        if len(rows) < _PIECES_PER_QUERY:
            return


async def _pieces(keys: AsyncIterator[Key]) -> AsyncIterator[Key]:
    """Each key in pieces of at most _PIECE_BYTES."""
    async for key in keys:
        for start in range(0, len(key.value), _PIECE_BYTES):
            yield key._replace(value=key.value[start : start + _PIECE_BYTES])


async def _together(keys: AsyncIterator[Key]) -> AsyncIterator[list[Key]]:
    """As many keys at once as cost neither much memory nor many round trips."""
    some: list[Key] = []
    size = 0
    async for key in keys:
        some.append(key)
        size += len(key.value)
        if len(some) >= _MOST_KEYS or size >= _MOST_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some
