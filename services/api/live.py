"""The hot paths of the api: the counts as JSON, and as Server-Sent Events while somebody looks.

Format of the events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import time
from contextlib import suppress

from services.api.snapshots import Snapshots
from shared import metrics
from shared.errors import MethodNotAllowedError, TruycapError, UnknownSiteError
from shared.http import ANY_ORIGIN, JSON, Headers, Protocol_, Routes, Scope, answer_error
from shared.sites import Site, Sites

PREFIX = "/v1/sites/"
COUNTS_CACHE = "public, max-age=1, stale-while-revalidate=30"
_POLLED = "public, max-age=1"  # the block asks now and then where streams are cut off: never for the answer before

SECONDS_BETWEEN = 1.0
"""At most one event a second."""
HEARTBEAT_SECONDS = 15.0
"""A comment at least this often, so that proxies keep the connection and a dead one is noticed."""
LIFETIME_SECONDS = 3600.0
"""A stream ends after this; the browser opens another by itself, perhaps on another server."""
_EVENTS: Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),
    ANY_ORIGIN,
]


class NotPublicError(TruycapError):
    code = "not_public"
    status = 403

    def __init__(self, site: str) -> None:
        super().__init__(f"The numbers of {site!r} are not public; set public = true for the site to show them.")


class TooManyStreamsError(TruycapError):
    """Each stream takes memory: rather none for one more reader than no process for all. Widgets ask now and then."""

    code = "too_many_streams"
    status = 503
    retry_after = 60


def public_site(sites: Sites, site_id: str) -> Site:
    """The site, if anyone may read its numbers; UnknownSiteError or NotPublicError."""
    site = sites.find(site_id)
    if not site.public:
        raise NotPublicError(site.id)
    return site


class Live:
    """The handlers. `close` ends all open streams, for a server waits for them when it stops.

    most: how many streams may be open.
    """

    def __init__(self, sites: Sites, snapshots: Snapshots, most: int) -> None:
        self._sites = sites
        self._snapshots = snapshots
        self._most = most
        metrics.LIVE_LIMIT.set(most)
        self._streams: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def routes(self) -> Routes:
        return Routes({}, [(PREFIX, "/counts", self.counts), (PREFIX, "/live", self.live)])

    async def counts(self, scope: Scope, proto: Protocol_) -> int:
        try:
            site = self._site(scope, "/counts")
            snapshot = await self._snapshots.counts(site)
        except TruycapError as error:
            return answer_error(proto, error, [ANY_ORIGIN])
        headers = [ANY_ORIGIN, ("cache-control", _POLLED), ("etag", snapshot.etag)]
        if snapshot.etag in (scope.headers.get("if-none-match") or ""):
            proto.response_empty(304, headers)
            return 304
        proto.response_bytes(200, [*headers, JSON[0]], snapshot.body)
        return 200

    async def live(self, scope: Scope, proto: Protocol_) -> int | None:
        try:
            site = self._site(scope, "/live")
            if len(self._streams) >= self._most:
                raise TooManyStreamsError("No more live streams can be held open now; ask for /counts instead.")
            await self._snapshots.counts(site)
        except TruycapError as error:
            return answer_error(proto, error, [ANY_ORIGIN])
        task = asyncio.create_task(self._stream(site.id, proto))
        self._streams.add(task)
        metrics.LIVE_CLIENTS.inc()
        try:
            with suppress(asyncio.CancelledError):
                await task
        finally:
            metrics.LIVE_CLIENTS.dec()
            self._streams.discard(task)
        return None

    async def close(self) -> None:
        """End all streams, also those that are yet to open; their browsers connect again."""
        self._closed = True
        for task in self._streams:
            task.cancel()

    def _site(self, scope: Scope, suffix: str) -> Site:
        if scope.method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError("Use GET.", "GET, HEAD")
        return public_site(self._sites, scope.path[len(PREFIX) : -len(suffix)])

    async def _stream(self, site_id: str, proto: Protocol_) -> None:
        stream = proto.response_stream(200, _EVENTS)
        gone = asyncio.ensure_future(proto.client_disconnect())
        ends = time.monotonic() + LIFETIME_SECONDS
        sent = ""
        try:
            while not (self._closed or gone.done()) and time.monotonic() < ends:
                snapshot = await self._snapshots.counts(public_site(self._sites, site_id))
                if snapshot.etag != sent:
                    sent = snapshot.etag
                    await stream.send_bytes(b"event: counts\ndata: %b\n\n" % snapshot.body)
                    await asyncio.wait([gone], timeout=SECONDS_BETWEEN)
                elif not await self._change(gone):
                    await stream.send_bytes(b": still here\n\n")
        except (UnknownSiteError, NotPublicError):
            pass  # the site was taken out meanwhile: the browser comes again and is told
        finally:
            gone.cancel()

    async def _change(self, gone: "asyncio.Future[None]") -> bool:
        """Whether the numbers may have changed, False after HEARTBEAT_SECONDS without."""
        change = asyncio.ensure_future(self._snapshots.wait_for_change())
        try:
            done, _ = await asyncio.wait([change, gone], timeout=HEARTBEAT_SECONDS, return_when="FIRST_COMPLETED")
        finally:
            change.cancel()
        return bool(done)
