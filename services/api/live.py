"""The hot paths of the api: the counts as JSON, and as Server-Sent Events while somebody looks.

Format of the events: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from functools import partial

from services.api.snapshots import Snapshots
from services.api.streams import Streams
from shared import metrics
from shared.errors import MethodNotAllowedError, TruycapError
from shared.http import ANY_ORIGIN, JSON, Protocol_, Routes, Scope, answer_error
from shared.sites import Site, Sites

PREFIX = "/v1/sites/"
COUNTS_CACHE = "public, max-age=1, stale-while-revalidate=30"
_POLLED = "public, max-age=1"  # the block asks now and then where streams are cut off: never for the answer before


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
        """Opens a stream, which stays open after the handler has returned."""
        try:
            site = self._site(scope, "/live")
            if self._streams.number >= self._most:
                raise TooManyStreamsError("No more live streams can be held open now; ask for /counts instead.")
            await self._streams.open(site, proto)
        except TruycapError as error:
            return answer_error(proto, error, [ANY_ORIGIN])
        return None

    async def close(self) -> None:
        """End all streams, for a server waits for them when it stops."""
        self._streams.close()

    def _site(self, scope: Scope, suffix: str) -> Site:
        if scope.method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError("Use GET.", "GET, HEAD")
        return public_site(self._sites, scope.path[len(PREFIX) : -len(suffix)])
