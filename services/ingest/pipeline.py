"""What becomes of a request's body: a list of named steps from untrusted bytes to events for the stream.

decode -> limit -> (for each event) find the site -> check the origin -> identify the visitor -> record.
The steps do no I/O. Each refuses with an error of its own; a request is accepted whole or not at all.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_network
from typing import NamedTuple

import msgspec
from iptocc import country_code

from services.ingest.errors import (
    InvalidError,
    NotJSONError,
    OriginNotAllowedError,
    TooLargeError,
    TooManyError,
)
from services.ingest.visitor import from_address, from_tracker
from shared.events import (
    MAX_AGENT,
    MAX_EVENTS,
    MAX_TITLE,
    Event,
    Kind,
    Leave,
    PageView,
    Ping,
    Rating,
    Source,
    StreamEvent,
    host_of,
    item_of,
)
from shared.sites import Site, Sites

_KINDS = {PageView: Kind.PAGEVIEW, Rating: Kind.RATING, Ping: Kind.PING, Leave: Kind.LEAVE}
_decode = msgspec.json.Decoder(Event | list[Event]).decode
_WEB = re.compile("https?://", re.IGNORECASE)
_YES = (True, "true")
_host = lru_cache(maxsize=4096)(host_of)
_country = lru_cache(maxsize=16384)(country_code)


class Request(NamedTuple):
    """What the steps need to know of a request.

    origin: the Origin header (the pixel's Referer), empty where there is none; address: the client's; private: Do Not
    Track or Global Privacy Control is set; time: when it arrived, in ms since 1970 UTC.
    """

    origin: str
    agent: str
    address: str
    private: bool
    time: int


class RateLimit:
    """At most `limit` events per address in each minute; 0 for no limit. Per process."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minute = 0
        self._counts: dict[str, int] = {}

    def __call__(self, address: str, events: int, time_ms: int) -> None:
        if not self._limit:
            return
        minute, elapsed_ms = divmod(time_ms, 60_000)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        address = _network(address)
        count = self._counts.get(address, 0) + events
        if count > self._limit:
            wait = 60 - elapsed_ms // 1000
            raise TooManyError(f"More than {self._limit} events in a minute from one address; wait {wait} s.", wait)
        self._counts[address] = count


class Pipeline:
    """The steps with what they look things up in. salt: the salt of a time's day (see visitor.py)."""

    def __init__(self, sites: Sites, limit: RateLimit, salt: Callable[[int], bytes]) -> None:
        self._sites = sites
        self._limit = limit
        self._salt = salt

    def from_body(self, body: bytes, request: Request) -> list[StreamEvent]:
        """The events of a POST body, one or an array."""
        return self.from_events(decode(body), request)

    def from_events(self, events: list[Event], request: Request) -> list[StreamEvent]:
        """The events for the stream, in the same order."""
        self._limit(request.address, len(events), request.time)
        return [self._accept(event, request) for event in events]

    def _accept(self, event: Event, request: Request) -> StreamEvent:
        site = self._sites.find(event.site)
        if not isinstance(event, Rating) and not (_WEB.match(event.url) and _host(event.url)):
            raise InvalidError("url: expected the page's address, beginning with https:// or http://.")
        check_origin(site, request.origin, "" if isinstance(event, Rating) else event.url)
        return record(event, site, self._identify(event, request), request)

    def _identify(self, event: Event, request: Request) -> int:
        tracker_id = (event.voter or event.visitor) if isinstance(event, Rating) else event.visitor
        if tracker_id and not request.private:
            return from_tracker(event.site, tracker_id)
        return from_address(self._salt(request.time), event.site, request.address, request.agent)


@lru_cache(maxsize=16384)
def _network(address: str) -> str:
    """The address, or the /64 network of an IPv6 one: a single subscriber has all of it."""
    try:
        return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
    except ValueError:
        return address


def decode(body: bytes) -> list[Event]:
    """One event or an array of them from JSON."""
    try:
        decoded = _decode(body)
    except msgspec.ValidationError as error:
        raise InvalidError(_explain(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotJSONError(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidError("The body is nested too deeply; an event is a flat object.") from None
    events: list[Event] = decoded if isinstance(decoded, list) else [decoded]
    if not events:
        raise InvalidError("The array is empty; send at least one event.")
    if len(events) > MAX_EVENTS:
        raise TooLargeError(f"The array has {len(events)} events; send at most {MAX_EVENTS} at once.")
    return events


def check_origin(site: Site, origin: str, url: str) -> None:
    """Only pages of the site's hosts may count: by Origin, where the browser sends one, and by the page's own URL."""
    if origin and origin != "null" and not site.allows(_host(origin)):
        raise OriginNotAllowedError(
            f"Pages of {_host(origin) or origin[:80]!r} may not count for {site.id!r}; add the host to its hostnames."
        )
    if url and not site.allows(_host(url)):
        raise OriginNotAllowedError(
            f"url: {_host(url) or url[:80]!r} is not a host of {site.id!r}; add it to the site's hostnames."
        )


def record(event: Event, site: Site, visitor: int, request: Request) -> StreamEvent:
    """The event as it goes onto the stream: without address, without query strings."""
    kind = _KINDS[type(event)]
    if isinstance(event, PageView):
        referrer = _host(event.referrer)
        return StreamEvent(
            kind=kind,
            source=Source.LIVE,
            site=site.id,
            time=request.time,
            id=event.id.bytes,
            visitor=visitor,
            item=item_of(event.url),
            member=event.member in _YES,
            attempt=event.attempt,
            referrer="" if site.owns(referrer) or referrer == _host(event.url) else referrer,
            title=event.title[:MAX_TITLE],
            agent=request.agent[:MAX_AGENT],
            country=_country(request.address) or "",
        )
    if isinstance(event, Rating):
        return StreamEvent(
            kind=kind,
            source=Source.LIVE,
            site=site.id,
            time=request.time,
            id=event.id.bytes,
            visitor=visitor,
            item=item_of(event.item),
            attempt=event.attempt,
            score=event.score,
            agent=request.agent[:MAX_AGENT],
        )
    return StreamEvent(
        kind=kind,
        source=Source.LIVE,
        site=site.id,
        time=request.time,
        id=b"",
        visitor=visitor,
        item=item_of(event.url),
        member=event.member in _YES,
        agent=request.agent[:MAX_AGENT],
    )


def _explain(message: str) -> str:
    """msgspec's message with the field in front: `score: expected `int` <= 5`."""
    what, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", what):
        field = f"{field}.{missing[1]}" if field else missing[1]
        what = "Required, but not there"
    return f"{field + ': ' if field else ''}{what[0].lower()}{what[1:]}."
