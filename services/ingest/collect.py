"""The paths on which events arrive, POST /v1/events and GET /v1/pixel.gif: plain RSGI, for they carry the load."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from ipaddress import ip_address, ip_network
from itertools import groupby
from operator import attrgetter
from urllib.parse import parse_qs
from uuid import UUID

import msgspec
from iptocc import country_code

from services.ingest.errors import InvalidError, TooLargeError, UnavailableError
from services.ingest.pipeline import Pipeline, Request
from services.ingest.publish import Publisher
from services.ingest.remembered import Remembered
from shared import metrics, tracing
from shared.errors import MethodNotAllowedError, SetupError, TruycapError
from shared.events import MAX_AGENT, PageView, StreamEvent
from shared.http import JSON, Headers, Protocol_, RequestHeaders, Routes, Scope, answer_error
from shared.sites import Sites

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one pixel."""
UNREADABLE_AGENT = "(not ASCII)"
_PIXEL_HEADERS: Headers = [("content-type", "image/gif"), ("cache-control", "no-store")]
_ONE_ACCEPTED = b'{"accepted":1}'
countries = Remembered(lambda address: country_code(address) or "")
"""ISO 3166-1 alpha-2 by address, empty where unknown."""
_site = attrgetter("site")
_PREFLIGHT: Headers = [
    ("access-control-allow-methods", "POST"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-max-age", "86400"),
]


class Collect:
    """The handlers, with the pipeline they ask and the publishers they hand over to, by shard."""

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        publishers: list[Publisher],
        sites: Sites,
        addresses: "Addresses",
        max_body_bytes: int,
        now_ms: Callable[[], int],
        new_id: Callable[[], UUID],
    ) -> None:
        self._pipeline = pipeline
        self._publishers = publishers
        metrics.REFUSED.labels(UnavailableError.code)  # there from the start: a rate does not see the first of a series
        self._sites = sites
        self._addresses = addresses
        self._max_body_bytes = max_body_bytes
        self._now_ms = now_ms
        self._new_id = new_id

    @property
    def routes(self) -> Routes:
        handlers = (("POST", "/v1/events", self.events), ("GET", "/v1/pixel.gif", self.pixel))
        return Routes({path: tracing.request(method, path, handler) for method, path, handler in handlers})

    async def events(self, scope: Scope, proto: Protocol_) -> int:
        """202 once the XADD that holds the events has returned."""
        headers = scope.headers
        origin = headers.get("origin") or ""
        try:
            if scope.method != "POST":
                if scope.method == "OPTIONS":
                    proto.response_empty(204, [*_cors(origin), *_PREFLIGHT])
                    return 204
                raise MethodNotAllowedError("Send events with POST.", "POST, OPTIONS")
            body = await self._body(headers, proto)
            events = self._pipeline.from_body(body, self._request(scope, headers, origin))
            await self._publish(events)
        except TruycapError as error:
            return self._refuse(proto, error, _cors(origin))
        accepted = _ONE_ACCEPTED if len(events) == 1 else b'{"accepted":%d}' % len(events)
        proto.response_bytes(202, _accepted[origin], accepted)
        return 202

    async def pixel(self, scope: Scope, proto: Protocol_) -> int:
        """A page view for pages without JavaScript: ?site=&url=, the url from the Referer where it is not given."""
        headers = scope.headers
        try:
            if scope.method != "GET":
                raise MethodNotAllowedError("The pixel is an image: use GET.", "GET")
            query = parse_qs(scope.query_string)
            referer = headers.get("referer") or ""
            view = msgspec.convert(
                {
                    "type": "pageview",
                    "site": query.get("site", [""])[0],
                    "url": query.get("url", [referer])[0],
                    "id": self._new_id(),
                },
                PageView,
            )
            await self._publish(self._pipeline.from_events([view], self._request(scope, headers, referer)))
        except msgspec.ValidationError:
            return self._refuse(proto, InvalidError("Write /v1/pixel.gif?site=ID&url=ADDRESS-OF-THE-PAGE."))
        except TruycapError as error:
            return self._refuse(proto, error)
        proto.response_bytes(200, _PIXEL_HEADERS, PIXEL)
        return 200

    def _refuse(self, proto: Protocol_, error: TruycapError, headers: Headers | None = None) -> int:
        metrics.REFUSED.labels(error.code).inc()
        return answer_error(proto, error, headers or ())

    def _publish(self, events: list[StreamEvent]) -> Awaitable[None]:
        """Done when all events are on disk."""
        shard = self._sites.shard
        if len(events) == 1:
            return self._publishers[shard(events[0].site)].publish(events)
        by_shard: dict[int, list[StreamEvent]] = {}
        for site, part in groupby(events, _site):
            by_shard.setdefault(shard(site), []).extend(part)
        return _all([self._publishers[number].publish(those) for number, those in by_shard.items()])

    async def _body(self, headers: RequestHeaders, proto: Protocol_) -> bytes:
        length = headers.get("content-length")
        if length and length.isdigit():
            if int(length) > self._max_body_bytes:
                raise self._too_large()
            return await proto()
        body = b""
        async for chunk in proto:
            body += chunk
            if len(body) > self._max_body_bytes:
                raise self._too_large()
        return body

    def _too_large(self) -> TooLargeError:
        return TooLargeError(f"The body is larger than {self._max_body_bytes} bytes; send fewer events at once.")

    def _request(self, scope: Scope, headers: RequestHeaders, origin: str) -> Request:
        # A proxy may append a line of its own to the lines that a client made up.
        address = self._addresses.of(scope.client, ",".join(headers.get_all("x-forwarded-for")))
        return Request(
            origin=origin,
            agent=_agent(headers)[:MAX_AGENT],
            address=address,
            country=countries[address],
            private=headers.get("sec-gpc") == "1" or headers.get("dnt") == "1",
            time=self._now_ms(),
        )


async def _all(published: list[asyncio.Future[None]]) -> None:
    """Waits for all of them, also where one fails: who sends the request again must not overtake the rest of it."""
    for failed in [error for done in published if (error := await _outcome(done))]:
        raise failed


async def _outcome(done: asyncio.Future[None]) -> TruycapError | None:
    try:
        await done
    except TruycapError as error:
        return error
    return None


def _agent(headers: RequestHeaders) -> str:
    agent = headers.get("user-agent")
    if agent is None:  # granian shows no header's value that is not ASCII; without one it would be a bot's
        return UNREADABLE_AGENT if "user-agent" in headers else ""
    return agent


def _cors(origin: str) -> Headers:
    """Any page may read the answer: whether it may count is in the answer. No cookies are involved."""
    if not origin:
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", "retry-after"),
        ("vary", "origin"),
    ]


_accepted = Remembered(lambda origin: [*JSON, *_cors(origin)])
"""The headers of a 202, by Origin."""


class Addresses:
    """Client addresses. trusted: proxies whose X-Forwarded-For is believed, addresses or networks, comma-separated."""

    def __init__(self, trusted: str) -> None:
        try:
            self._trusted = [ip_network(part.strip(), strict=False) for part in trusted.split(",") if part.strip()]
        except ValueError as error:
            raise SetupError(f"TRUYCAP_TRUSTED_PROXIES={trusted!r}: {error}.") from None
        self._bare = Remembered(_bare)
        self._is_trusted = Remembered(self._look_up)

    def of(self, client: str, forwarded: str) -> str:
        """The address of who sent the request: the last one in the chain of proxies that no trusted proxy has."""
        address = self._bare[client]
        while forwarded and self._is_trusted[address]:
            forwarded, _, hop = forwarded.rpartition(",")
            address = self._bare[hop]
        return address

    def _look_up(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self._trusted)
        except ValueError:
            return False


def _bare(address: str) -> str:
    """An address without port and brackets; one of IPv4 as such, where a socket for both versions showed it."""
    address = address.strip()
    if address.startswith("["):
        address = address[1:].partition("]")[0]
    elif address.count(":") == 1:
        address = address.partition(":")[0]
    return address.removeprefix("::ffff:")
