"""The open live streams: who is to have which event when. One task serves them all.

A stream is two small objects and no task of its own, and all streams of a site get the same bytes. Sending never waits:
a stream whose client does not read is ended.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator

from services.api.snapshots import Snapshot, Snapshots
from shared import metrics
from shared.errors import TruycapError
from shared.http import ANY_ORIGIN, Request, header_lines
from shared.sites import Site

SECONDS_BETWEEN = 1.0
"""At most one event a second."""
HEARTBEAT_SECONDS = 15.0
"""A comment at least this often, so that proxies keep the connection and a dead one is noticed."""
LIFETIME_SECONDS = 3600.0
"""A stream ends after this; the browser opens another by itself, perhaps on another server."""
TICK_SECONDS = 0.025
"""How often is looked for streams that lack an event and may have it."""
_AT_ONCE = 50
"""So many are served in one go, in which no request is answered: less than a millisecond."""
_HEARTBEAT = b": still here\n\n"
_HEAD = header_lines(
    [
        ("content-type", "text/event-stream; charset=utf-8"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
        ANY_ORIGIN,
    ]
)
MOST_UNREAD_BYTES = 32_768
"""So much may wait in this process for a client that does not read, beside what the system keeps."""


class Reader:
    """An open stream. edition: the last it had; free_at: when it may have the next; ends_at: when it ends."""

    __slots__ = ("edition", "ends_at", "free_at", "stream")

    def __init__(self, stream: asyncio.WriteTransport, now: float) -> None:
        self.stream = stream
        self.edition = 0
        self.free_at = now
        self.ends_at = now + LIFETIME_SECONDS


class Audience:
    """The readers of a site, and the newest edition of its numbers: its event.

    Readers stand in the order in which they last had an event, so that who has waited longest is first, and where the
    first has the newest edition all have it.
    """

    def __init__(self) -> None:
        self.readers: OrderedDict[Reader, None] = OrderedDict()
        self.edition = 0
        self.event = b""
        self.beat_at = 0.0
        self._etag = ""

    def tell(self, snapshot: Snapshot, now: float) -> None:
        """What the site's numbers are now."""
        if snapshot.etag != self._etag:
            self._etag = snapshot.etag
            self.edition += 1
            self.event = b"event: counts\ndata: %b\n\n" % snapshot.body
            self.beat_at = now + HEARTBEAT_SECONDS

    def had(self, reader: Reader, now: float) -> None:
        """The reader gets the newest edition now. Late by a tick, it keeps its beat: else ticks would add up."""
        reader.edition = self.edition
        late = now - reader.free_at
        reader.free_at = (reader.free_at if late <= TICK_SECONDS else now) + SECONDS_BETWEEN
        self.readers.move_to_end(reader)

    def due(self, now: float) -> Iterator[tuple[Reader, bytes]]:
        """Who is to be sent what; readers may come and go meanwhile."""
        while (reader := next(iter(self.readers), None)) and reader.edition != self.edition and reader.free_at <= now:
            self.had(reader, now)
            yield reader, self.event
        if now >= self.beat_at:
            self.beat_at = now + HEARTBEAT_SECONDS
            for reader in list(self.readers):
                if reader in self.readers:
                    yield reader, _HEARTBEAT


class Streams:
    """All open streams of a process: `run` serves them, `close` ends them.

    find: the site of an id, or an error where it has no streams (any more).
    """

    def __init__(self, snapshots: Snapshots, find: Callable[[str], Site]) -> None:
        self._snapshots = snapshots
        self._find = find
        self._audiences: dict[str, Audience] = {}
        self._closed = False
        self.number = 0
        """How many are open."""

    def open(self, request: Request, site: Site, snapshot: Snapshot) -> None:
        """Answer a request with a stream of the site, and its first event at once."""
        now = time.monotonic()
        if (stream := request.stream(_HEAD)) is None:
            return
        if self._closed or request.method == "HEAD":
            stream.close()
            return
        audience = self._audiences.setdefault(site.id, Audience())
        audience.tell(snapshot, now)
        reader = Reader(stream, now)
        request.gone = lambda: self._end(audience, reader)
        audience.readers[reader] = None
        self.number += 1
        metrics.LIVE_CLIENTS.inc()
        audience.had(reader, now)
        self._send(audience, reader, audience.event)

    async def run(self) -> None:
        """Serve all streams, for ever."""
        while True:
            for site_id, audience in list(self._audiences.items()):
                try:
                    snapshot = self._snapshots.latest(self._find(site_id))
                except TruycapError:  # the site was taken out meanwhile: the browser comes again and is told
                    self._end_all(audience)
                    continue
                if snapshot:
                    audience.tell(snapshot, time.monotonic())
                await self._serve(audience)
            self._audiences = {site_id: audience for site_id, audience in self._audiences.items() if audience.readers}
            await asyncio.sleep(TICK_SECONDS)

    def close(self) -> None:
        """End all streams, also those that are yet to open; their browsers connect again."""
        self._closed = True
        for audience in self._audiences.values():
            self._end_all(audience)

    async def _serve(self, audience: Audience) -> None:
        now = time.monotonic()
        for number, (reader, data) in enumerate(audience.due(now), 1):
            if reader.ends_at <= now:
                self._end(audience, reader)
            else:
                self._send(audience, reader, data)
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)

    def _send(self, audience: Audience, reader: Reader, data: bytes) -> None:
        if reader.stream.get_write_buffer_size() > MOST_UNREAD_BYTES:
            metrics.LIVE_DROPPED.inc()
            self._end(audience, reader)
            reader.stream.abort()  # closing would wait for its client to read
        else:
            reader.stream.write(data)

    def _end_all(self, audience: Audience) -> None:
        for reader in list(audience.readers):
            self._end(audience, reader)

    def _end(self, audience: Audience, reader: Reader) -> None:
        """End a stream; of one that has ended, nothing."""
        if reader in audience.readers:
            del audience.readers[reader]
            self.number -= 1
            metrics.LIVE_CLIENTS.dec()
            reader.stream.close()
