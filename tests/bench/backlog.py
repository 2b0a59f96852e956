"""A backlog as ingest's group commits leave it on a stream: the shape of a real log, on many sites at once."""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from redis import Redis

from shared.events import Kind, Source, StreamEvent
from shared.sites import Site, Sites
from shared.streams import Entry, EntryId, delivery_key, encode_entry, events_key
from tests.bench.traffic import page_views

SITES = Sites(
    [Site(id=f"site{number}", hostnames=["*"], timezone="Asia/Ho_Chi_Minh") for number in range(20)], shards=1
)
_SHARES = list(accumulate(1 / rank for rank in range(1, len(SITES) + 1)))
"""The sites' shares are those of Zipf's law."""
_KINDS = (Kind.PAGEVIEW, Kind.PING, Kind.LEAVE, Kind.RATING)
_KIND_SHARES = list(accumulate((85, 9, 4, 2)))
_ROUND_TRIP_ENTRIES = 50

DENSE = ((100, 250), 10)
"""Least and most events of an entry, and from one to the next in ms: where ingest takes all that it can."""
SPARSE = ((1, 3), 1)
"""The same at 2,000 events a second: a commit takes no longer than a few events need to come."""


class Part(NamedTuple):
    """A part of a backlog.

    number: from 0, each with ids of its own; visitors: how many there are, each of one site, the same in every part;
    begin: when its first entry was written, in ms; shape: DENSE or SPARSE.
    """

    number: int
    events: int
    visitors: int
    begin: int
    shape: tuple[tuple[int, int], int] = DENSE

    def entries(self) -> Iterator[Entry]:
        """Its entries, always the same ones."""
        chance = random.Random(self.number)
        views = page_views()
        sites = random.Random(0).choices(list(SITES), cum_weights=_SHARES, k=self.visitors)
        countries = ("VN", "VN", "VN", "US", "")
        left, ms = self.events, self.begin
        sizes, apart = self.shape
        while left:
            size = min(left, chance.randint(*sizes))
            events = []
            for kind in chance.choices(_KINDS, cum_weights=_KIND_SHARES, k=size):
                view, visitor = chance.choice(views), chance.randrange(self.visitors)
                events.append(
                    StreamEvent(
                        kind=kind,
                        source=Source.LIVE,
                        site=sites[visitor],
                        time=ms - chance.randrange(5),
                        id=chance.randbytes(16) if kind in (Kind.PAGEVIEW, Kind.RATING) else b"",
                        # Spread over 64 bits, as a hash is.
                        visitor=visitor * 0x9E3779B97F4A7C15 % 2**64,
                        item=view.path,
                        score=chance.randint(1, 5) if kind is Kind.RATING else 0,
                        referrer=view.referrer if kind is Kind.PAGEVIEW else "",
                        title=view.title if kind is Kind.PAGEVIEW else "",
                        agent=view.agent,
                        country=chance.choice(countries),
                    )
                )
            content = encode_entry(events)
            fields = {b"v": content.v, b"n": b"%d" % content.n, b"events": content.events}
            yield Entry(EntryId(ms, 0), fields)
            left, ms = left - size, ms + apart


def append_part(redis: "Redis", shard: int, part: Part) -> None:
    """Put a part on the stream, as accepted."""
    pipe = redis.pipeline(transaction=False)
    for number, entry in enumerate(part.entries()):
        fields: Any = entry.fields
        pipe.xadd(events_key(shard), fields, id=str(entry.id))
        if number % _ROUND_TRIP_ENTRIES == 0:
            pipe.execute()
    pipe.hincrby(delivery_key(shard), "accepted", part.events)
    pipe.execute()
