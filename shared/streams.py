"""The Redis stream of a shard: its keys, what an entry holds, its consumer group.

An entry is what one XADD of ingest wrote: all events of one group commit. Its fields are `v` (the version of this
layout), `n` (how many events) and `events` (a msgpack array of `StreamEvent`), and in a traced one `traceparent`
(tracing.py). An event's position is (shard, entry id, index within the entry).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import msgspec
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from shared.errors import SetupError
from shared.events import MAX_ATTEMPT, MAX_EVENTS, StreamEvent
from shared.redis import script

_VERSION = b"1"
GROUP = "counter"
REPLAYED = b"replayed"
"""A field that an entry has which was a dead letter."""
DEAD_LEVEL = "dead_level"
"""The field of the delivery hash."""
MAX_ENTRY_EVENTS = MAX_EVENTS
"""Events in an entry, so that a batch of entries stays bounded."""

_APPEND = script("shared", "append.lua")
_ARRAY16_FROM = 16
"""A msgpack array of so many has a head of 3 bytes; a shorter one, of 1."""
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[StreamEvent]).decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_one = msgspec.msgpack.Decoder(StreamEvent).decode
# Text that is not UTF-8 and nesting without end have errors of their own.
_UNDECODABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def shard_key(shard: int, name: str) -> str:
    """A key of a shard. The hash tag keeps all keys of a shard in one Redis Cluster slot."""
    return f"{{{shard}}}:{name}"


def events_key(shard: int) -> str:
    """The stream of accepted events; its length is the backlog, for what was applied is deleted."""
    return shard_key(shard, "events")


def dead_key(shard: int) -> str:
    """The dead-letter stream."""
    return shard_key(shard, "dead")


def delivery_key(shard: int) -> str:
    """A hash of numbers of events (accepted, counted, presence, dead, rejected:<reason>) and of how things stand.

    applied: the last applied entry id; dead_level: see services/counter/ceiling.py; lost: how many counted events
    ClickHouse has lost for good, as `truycap rebuild --accept-loss` has written down.
    """
    return shard_key(shard, "delivery")


class EntryId(NamedTuple):
    """A stream entry's id, `<ms>-<seq>`; ordered as the stream is."""

    ms: int
    seq: int

    @classmethod
    def parse(cls, text: str | bytes) -> "EntryId":
        ms, _, seq = (text.decode() if isinstance(text, bytes) else text).partition("-")
        return cls(int(ms), int(seq or 0))

    def __str__(self) -> str:
        return f"{self.ms}-{self.seq}"


class Entry(NamedTuple):
    """An entry as it was read."""

    id: EntryId
    fields: Mapping[bytes, bytes]


class Content(NamedTuple):
    """The fields of an entry: the version of its layout, how many events it has, and the events in msgpack."""

    v: bytes
    n: int
    events: bytes


class Packed(msgspec.Struct, frozen=True, gc=False):
    """n events in msgpack, one behind the other; at most MAX_ENTRY_EVENTS."""

    n: int
    events: bytes


class Malformed(NamedTuple):
    """What cannot be decoded. reason: from a closed list; content: an entry of it alone, as it was read."""

    reason: str
    content: Content


def packed(events: Sequence[StreamEvent]) -> Packed:
    """Events for an entry that may hold others too."""
    array = _encode(events)
    return Packed(len(events), array[1:] if len(events) < _ARRAY16_FROM else array[3:])


def encode_entry(events: Sequence[StreamEvent]) -> Content:
    """The entry that holds these events."""
    return Content(_VERSION, len(events), _encode(events))


def decode_entry(entry: Entry) -> list[StreamEvent | Malformed]:
    """The events of an entry by index; what cannot be decoded stands there as `Malformed`.

    Where the entry as a whole cannot be read, the list holds one `Malformed` that counts for all of its events.
    """
    fields = entry.fields
    content = Content(fields.get(b"v", b""), number_of_events(entry), fields.get(b"events", b""))
    if content.v != _VERSION:
        return [Malformed("unknown_version", content)]
    events: list[StreamEvent | Malformed]
    try:
        events = list(_decode(content.events))
    except _UNDECODABLE:
        events = _decode_one_by_one(content.events)
    return events if len(events) == content.n else [Malformed("undecodable", content)]


def _decode_one_by_one(events: bytes) -> list[StreamEvent | Malformed]:
    try:
        return [_decode_or_not(raw) for raw in _decode_raw(events)]
    except _UNDECODABLE:
        return []


def _decode_or_not(raw: msgspec.Raw) -> StreamEvent | Malformed:
    try:
        return _decode_one(raw)
    except _UNDECODABLE:
        return Malformed("undecodable", Content(_VERSION, 1, _encode([raw])))


def number_of_events(entry: Entry) -> int:
    """How many events an entry says to hold; 1 where it says nothing that can be."""
    n = entry.fields.get(b"n")
    # int() refuses thousands of digits.
    return int(min(float(n), MAX_ENTRY_EVENTS)) if n and n.isdigit() else 1


def sent_again(content: Content) -> Content:
    """The entry with every page view's and rating's `attempt` one higher; what cannot be decoded stays as it is."""
    if content.v != _VERSION:
        return content
    try:
        events = _decode_raw(content.events)
    except _UNDECODABLE:
        return content
    return content._replace(events=_encode([_sent_again(raw) for raw in events]))


def _sent_again(raw: msgspec.Raw) -> msgspec.Raw | StreamEvent:
    event = _decode_or_not(raw)
    if isinstance(event, Malformed) or not event.id:  # pings and leaves have none
        return raw
    return msgspec.structs.replace(event, attempt=min(event.attempt + 1, MAX_ATTEMPT))


async def append(redis: "Redis", shard: int, events: Sequence[StreamEvent]) -> EntryId:
    """Put events on the stream; see `append_packed`."""
    parts = [events[start : start + MAX_ENTRY_EVENTS] for start in range(0, len(events), MAX_ENTRY_EVENTS)]
    return await append_packed(redis, shard, list(map(packed, parts)))


async def append_packed(
    redis: "Redis", shard: int, events: Sequence[Packed], beside: Mapping[str, str] | None = None
) -> EntryId:
    """Put events on the stream and count them as accepted, all or none; on disk when this returns the last entry's id.

    Each pack stands in one entry. beside: fields that each entry has beside its content. A RedisError may mean either:
    the answer can be lost on the way.
    """
    words: list[Any] = []
    for content in _contents(events):
        fields: Any = content._asdict() | dict(beside or {})
        words += [word for field in fields.items() for word in field]
    number = sum(pack.n for pack in events)
    last: Any = await redis.eval(_APPEND, 2, events_key(shard), delivery_key(shard), number, 2 * len(fields), *words)
    return EntryId.parse(last)


def _contents(events: Sequence[Packed]) -> Iterator[Content]:
    """The packs in as few entries of at most MAX_ENTRY_EVENTS as their order allows."""
    n, parts = 0, list[bytes]()
    for pack in events:
        if n + pack.n > MAX_ENTRY_EVENTS and parts:
            yield _content(n, parts)
            n, parts = 0, []
        n += pack.n
        parts.append(pack.events)
    yield _content(n, parts)


def _content(n: int, parts: list[bytes]) -> Content:
    return Content(_VERSION, n, b"".join([_array32(n), *parts]))


def _array32(n: int) -> bytes:
    """The head of an array: https://github.com/msgpack/msgpack/blob/master/spec.md."""
    return b"\xdd" + n.to_bytes(4)


async def check_shards(redis: "Redis", shards: int) -> None:
    """Write down how many shards there are where nobody has; SetupError where it is another number."""
    known: Any = await redis.get("shards")
    if known is None:
        with suppress(OutOfMemoryError):  # a full Redis is no reason not to start: counting empties it
            await redis.set("shards", shards)
    elif int(known) != shards:
        raise SetupError(
            f"This Redis holds {int(known)} shards, TRUYCAP_SHARDS is {shards}. Set it to {int(known)}: "
            "a site's events stay on the shard where they began."
        )


async def ensure_group(redis: "Redis", shard: int) -> None:
    """Create the stream and its consumer group where they are missing, from the stream's first entry on.

    A subscriber would create its group at `$` and so never see what was accepted before its first start.
    """
    if await redis.exists(events_key(shard)):
        groups: list[dict[str, Any]] = await redis.xinfo_groups(events_key(shard))
        if any(group["name"] == GROUP.encode() for group in groups):
            return  # not created in vain: a full Redis would refuse it
    try:
        await redis.xgroup_create(events_key(shard), GROUP, id="0", mkstream=True)
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
