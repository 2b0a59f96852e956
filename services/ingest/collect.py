"""The paths on which events arrive, POST /v1/events and GET /v1/pixel.gif."""

import base64
from collections.abc import Callable
from functools import partial
from ipaddress import ip_address, ip_network
from itertools import groupby
from operator import attrgetter
from urllib.parse import parse_qs
from uuid import UUID

import msgspec
from iptocc import country_code

from services.ingest.errors import InvalidError, TooLargeError, UnavailableError
from services.ingest.pipeline import Pipeline, Sender
from services.ingest.publish import Done, Publisher
from shared import metrics, tracing
from shared.errors import MethodNotAllowedError, SetupError, TruycapError
from shared.events import MAX_AGENT, PageView, StreamEvent
from shared.http import JSON, Headers, Request, Routes, header_lines, text_of
from shared.remembered import Remembered
from shared.sites import Sites
from shared.streams import packed

PIXEL = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one pixel."""
UNREADABLE_AGENT = "(not ASCII)"
_PIXEL_HEADERS = header_lines([("content-type", "image/gif"), ("cache-control", "no-store")])
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
        self._shards = Remembered(sites.shard)
        self._addresses = addresses
        self._max_body_bytes = max_body_bytes
        self._now_ms = now_ms
        self._new_id = new_id

    @property
    def routes(self) -> Routes:
        handlers = (("POST", "/v1/events", self.events), ("GET", "/v1/pixel.gif", self.pixel))
        traced = {path: tracing.request(method, path, handler) for method, path, handler in handlers}
        return Routes(traced, most_body_bytes=self._max_body_bytes)

    def events(self, request: Request) -> None:
        """202 once the commit that holds the events has returned."""
        origin = texts[request.headers.get(b"origin", b"")]
        try:
            if request.method != "POST":
                if request.method == "OPTIONS":
                    request.answer(204, header_lines([*_cors(origin), *_PREFLIGHT]))
                    return
                raise MethodNotAllowedError("Send events with POST.", "POST, OPTIONS")
            if request.body is None:
                raise TooLargeError(f"The body is larger than {self._max_body_bytes} bytes; send fewer events at once.")
            events = self._pipeline.from_body(request.body, self._sender(request, origin))
            request.body = b""  # it may be large, and the commit take a while
            self._publish(events, partial(self._answer, request, origin, len(events)))
        except TruycapError as error:
            self._refuse(request, error, _cors(origin))

    def _answer(self, request: Request, origin: str, events: int, error: TruycapError | None) -> None:
        if error:
            self._refuse(request, error, _cors(origin))
        else:
            request.answer(202, _accepted[origin], _ONE_ACCEPTED if events == 1 else b'{"accepted":%d}' % events)

    def pixel(self, request: Request) -> None:
        """A page view for pages without JavaScript: ?site=&url=, the url from the Referer where it is not given."""
        try:
            if request.method != "GET":
                raise MethodNotAllowedError("The pixel is an image: use GET.", "GET")
            query = parse_qs(request.query)
            referer = request.header(b"referer")
            view = msgspec.convert(
                {
                    "type": "pageview",
                    "site": query.get("site", [""])[0],
                    "url": query.get("url", [referer])[0],
                    "id": self._new_id(),
                },
                PageView,
            )
            events = self._pipeline.from_events([view], self._sender(request, referer))
            self._publish(events, partial(self._show, request))
        except msgspec.ValidationError:
            self._refuse(request, InvalidError("Write /v1/pixel.gif?site=ID&url=ADDRESS-OF-THE-PAGE."))
        except TruycapError as error:
            self._refuse(request, error)

    def _show(self, request: Request, error: TruycapError | None) -> None:
        if error:
            self._refuse(request, error)
        else:
            request.answer(200, _PIXEL_HEADERS, PIXEL)

    def _refuse(self, request: Request, error: TruycapError, headers: Headers | None = None) -> None:
        metrics.REFUSED.labels(error.code).inc()
        request.refuse(error, headers or ())

    def _publish(self, events: list[StreamEvent], done: Done) -> None:
        """done: called when all events are on disk. They are packed at once: what lives until then fills the caches."""
        shards = self._shards
        if len(events) == 1:
            self._publishers[shards[events[0].site]].publish(packed(events), done)
            return
        by_shard: dict[int, list[StreamEvent]] = {}
        for site, part in groupby(events, _site):
            by_shard.setdefault(shards[site], []).extend(part)
        together = done if len(by_shard) == 1 else _all(len(by_shard), done)
        for number, those in by_shard.items():
            self._publishers[number].publish(packed(those), together)

    def _sender(self, request: Request, origin: str) -> Sender:
        headers = request.headers
        address = self._addresses.of(request.client, request.header(b"x-forwarded-for"))
        return Sender(
            origin=origin,
            agent=agents[headers.get(b"user-agent", b"")],
            address=address,
            country=countries[address],
            private=headers.get(b"sec-gpc") == b"1" or headers.get(b"dnt") == b"1",
            time=self._now_ms(),
        )


def _all(parts: int, done: Done) -> Done:
    """Waits for all parts, also where one fails: who sends the request again must not overtake the rest of it."""
    errors: list[UnavailableError | None] = []

    def one(error: UnavailableError | None) -> None:
        errors.append(error)
        if len(errors) == parts:
            done(next(filter(None, errors), None))

    return one


def _agent(header: bytes) -> str:
    return header.decode("ascii")[:MAX_AGENT] if header.isascii() else UNREADABLE_AGENT


texts = Remembered(text_of)
agents = Remembered(_agent)
"""User agents, as much of them as is kept; what is not ASCII is no nameless bot's."""


def _cors(origin: str) -> Headers:
    """Any page may read the answer: whether it may count is in the answer. No cookies are involved."""
    if not origin:
        return []
    return [
        ("access-control-allow-origin", origin),
        ("access-control-expose-headers", "retry-after"),
        ("vary", "origin"),
    ]


_accepted = Remembered(lambda origin: header_lines([*JSON, *_cors(origin)]))
"""The header lines of a 202, by Origin."""


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
