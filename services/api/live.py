"""The hot paths of the api: the counts as JSON, and as Server-Sent Events while somebody looks.

Format of the events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import Callable
from functools import partial

from services.api.snapshots import Snapshot, Snapshots
from services.api.streams import Streams
from shared import metrics
from shared.errors import MethodNotAllowedError, TruycapError
from shared.http import ANY_ORIGIN, JSON, Request, Routes, header_lines
from shared.sites import Site, Sites

PREFIX = "/v1/sites/"
COUNTS_CACHE = "public, max-age=1, stale-while-revalidate=30"
_HEAD = header_lines([ANY_ORIGIN, ("cache-control", "public, max-age=1")])
"""The block asks now and then where streams are cut off: never for the answer before."""
_TYPE = header_lines(JSON[:1])
_TOO_MANY = "No more live streams can be held open now; ask for /counts instead."

Answer = Callable[[Request, Site, Snapshot], None]


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
    """The handlers. `run` serves the streams that they open; most: how many may be open."""

    def __init__(self, sites: Sites, snapshots: Snapshots, most: int) -> None:
        self._sites = sites
        self._snapshots = snapshots
        self._most = most
        metrics.LIVE_LIMIT.set(most)
        self._streams = Streams(snapshots, partial(public_site, sites))
        self.run = self._streams.run
        self._readings: set[asyncio.Future[None]] = set()

    @property
    def routes(self) -> Routes:
        return Routes({}, [(PREFIX, "/counts", self.counts), (PREFIX, "/live", self.live)])

    def counts(self, request: Request) -> None:
        self._with_snapshot(request, "/counts", self._answer)

    def live(self, request: Request) -> None:
        """Opens a stream."""
        if self._streams.number >= self._most:
            request.refuse(TooManyStreamsError(_TOO_MANY), [ANY_ORIGIN])
        else:
            self._with_snapshot(request, "/live", self._streams.open)

    async def close(self) -> None:
        """End all streams, for a server waits for them when it stops."""
        self._streams.close()

    def _with_snapshot(self, request: Request, suffix: str, then: Answer) -> None:
        try:
            if request.method not in {"GET", "HEAD"}:
                raise MethodNotAllowedError("Use GET.", "GET, HEAD")
            site = public_site(self._sites, request.path[len(PREFIX) : -len(suffix)])
        except TruycapError as error:
            request.refuse(error, [ANY_ORIGIN])
            return
        if snapshot := self._snapshots.latest(site):
            then(request, site, snapshot)
        else:
            reading = asyncio.ensure_future(self._first(request, site, then))
            self._readings.add(reading)
            reading.add_done_callback(self._readings.discard)

    async def _first(self, request: Request, site: Site, then: Answer) -> None:
        try:
            then(request, site, await self._snapshots.counts(site))
        except TruycapError as error:
            request.refuse(error, [ANY_ORIGIN])
        except Exception as error:
            request.fail(error)

    @staticmethod
    def _answer(request: Request, _site: Site, snapshot: Snapshot) -> None:
        etag = snapshot.etag.encode()
        if etag in request.headers.get(b"if-none-match", b""):
            request.answer(304, b"%betag: %b\r\n" % (_HEAD, etag))
        else:
            request.answer(200, b"%b%betag: %b\r\n" % (_HEAD, _TYPE, etag), snapshot.body)
