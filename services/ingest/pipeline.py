"""What becomes of a request's body: a list of named steps from untrusted bytes to events for the stream.

decode -> limit -> find the site -> check the origin -> (for each event) check the page, identify the visitor, record.
The steps do no I/O. Each refuses with an error of its own; a request is accepted whole or not at all.
"""

import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

import msgspec

from services.ingest.errors import (
    InvalidError,
    NotJSONError,
    OriginNotAllowedError,
    TooLargeError,
    TooManyError,
)
from services.ingest.pages import Page, hosts, items, pages
from services.ingest.visitor import from_address, tracked
from shared.events import (
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
)
from shared.remembered import Remembered
from shared.sites import Site, Sites

_decode = msgspec.json.Decoder(Event | list[Event]).decode
_HALF = re.compile(rb"\\u[dD][89a-fA-F]")
"""Half of a surrogate pair, perhaps without the other half."""
_YES = (True, "true")
_NO_SCORE = 0
# Enums' members are looked up by name at each use otherwise, which is felt at this place.
_LIVE, _PAGEVIEW, _RATING, _PING, _LEAVE = Source.LIVE, Kind.PAGEVIEW, Kind.RATING, Kind.PING, Kind.LEAVE


class Sender(msgspec.Struct, frozen=True, gc=False):
    """What the steps need to know of a sender.

    origin: the Origin header (the pixel's Referer), empty where there is none; agent: as much of it as is kept;
    address: the client's; country: the address's; private: Do Not Track or Global Privacy Control is set; time: when it
    arrived, in ms since 1970 UTC.
    """

    origin: str
    agent: str
    address: str
    country: str
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
        minute = time_ms // 60_000
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        address = _networks[address]
        count = self._counts.get(address, 0) + events
        if count > self._limit:
            wait = 60 - time_ms % 60_000 // 1000
            raise TooManyError(f"More than {self._limit} events in a minute from one address; wait {wait} s.", wait)
        self._counts[address] = count


class Pipeline:
    """The steps with what they look things up in. salt: the salt of a time's day (see visitor.py)."""

    def __init__(self, sites: Sites, limit: RateLimit, salt: Callable[[int], bytes]) -> None:
        self._sites = sites
        self._limit = limit
        self._salt = salt
        self._record: dict[type[Event], Callable[[Any, Site, Sender], StreamEvent]] = {
            PageView: self._page_view,
            Rating: self._rating,
            Ping: self._presence,
            Leave: self._presence,
        }

    def from_body(self, body: bytes | bytearray, sender: Sender) -> list[StreamEvent]:
        """The events of a POST body, one or an array."""
        return self.from_events(decode(body), sender)

    def from_events(self, events: list[Event], sender: Sender) -> list[StreamEvent]:
        """The events for the stream, in the same order."""
        self._limit(sender.address, len(events), sender.time)
        recorded = []
        site: Site | None = None
        for event in events:
            if site is None or event.site != site.id:  # most arrays are of one site
                site = self._sites.find(event.site)
                check_origin(site, sender.origin)
            recorded.append(self._record[type(event)](event, site, sender))
        return recorded

    def _page_view(self, event: PageView, site: Site, sender: Sender) -> StreamEvent:
        page = page_of(event.url, site, sender)
        referrer = hosts[event.referrer]
        return StreamEvent(  # by place: the names would take as long again
            _PAGEVIEW,
            _LIVE,
            event.site,
            sender.time,
            event.id.int.to_bytes(16),
            self._visitor(event.site, event.visitor, sender),
            page.item,
            event.member in _YES,
            event.attempt,
            _NO_SCORE,
            "" if not referrer or referrer == page.host or site.owns(referrer) else referrer,
            event.title[:MAX_TITLE],
            sender.agent,
            sender.country,
        )

    def _rating(self, event: Rating, site: Site, sender: Sender) -> StreamEvent:
        return StreamEvent(
            kind=_RATING,
            source=_LIVE,
            site=event.site,
            time=sender.time,
            id=event.id.bytes,
            visitor=self._visitor(event.site, event.voter or event.visitor, sender),
            item=items[event.item],
            attempt=event.attempt,
            score=event.score,
            agent=sender.agent,
        )

    def _presence(self, event: Ping | Leave, site: Site, sender: Sender) -> StreamEvent:
        page = page_of(event.url, site, sender)
        return StreamEvent(
            kind=_PING if isinstance(event, Ping) else _LEAVE,
            source=_LIVE,
            site=event.site,
            time=sender.time,
            id=b"",
            visitor=self._visitor(event.site, event.visitor, sender),
            item=page.item,
            member=event.member in _YES,
            agent=sender.agent,
        )

    def _visitor(self, site: str, tracker_id: str, sender: Sender) -> int:
        if tracker_id and not sender.private:
            return tracked[f"{site}\0{tracker_id}"]
        return from_address(self._salt(sender.time), site, sender.address, sender.agent)


def _network(address: str) -> str:
    """The address, or the /64 network of an IPv6 one: a single subscriber has all of it."""
    try:
        return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address
    except ValueError:
        return address


_networks = Remembered(_network)


def decode(body: bytes | bytearray) -> list[Event]:
    """One event or an array of them from JSON."""
    try:
        decoded = _decode_text(body)
    except msgspec.ValidationError as error:
        raise InvalidError(_explain(str(error))) from None
    except (msgspec.DecodeError, ValueError) as error:
        raise NotJSONError(f"The body is not JSON: {error}.") from None
    except RecursionError:
        raise InvalidError("The body is nested too deeply; an event is a flat object.") from None
    events: list[Event] = decoded if isinstance(decoded, list) else [decoded]
    if not events:
        raise InvalidError("The array is empty; send at least one event.")
    if len(events) > MAX_EVENTS:
        raise TooLargeError(f"The array has {len(events)} events; send at most {MAX_EVENTS} at once.")
    return events


def _decode_text(body: bytes | bytearray) -> Any:
    try:
        return _decode(body)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        if not _HALF.search(body):
            raise
        # A title that was cut in the middle of an emoji: JSON has a way to write that, UTF-8 has none.
        return _decode(json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace"))


def check_origin(site: Site, origin: str) -> None:
    """Only pages of the site's hosts may count, by the Origin that a browser sends."""
    if origin and origin != "null" and not site.allows(hosts[origin]):
        raise OriginNotAllowedError(
            f"Pages of {hosts[origin] or origin[:80]!r} may not count for {site.id!r}; add the host to its hostnames."
        )


def page_of(url: str, site: Site, sender: Sender) -> Page:
    """The page of an event, which must be one of the site's; the host of the Origin is known to be."""
    page = pages[url]
    if page.host != hosts[sender.origin] and not site.allows(page.host):
        raise OriginNotAllowedError(f"url: {page.host!r} is not a host of {site.id!r}; add it to the site's hostnames.")
    return page


def _explain(message: str) -> str:
    """msgspec's message with the field in front: `score: expected `int` <= 5`."""
    what, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    if missing := re.search(r"missing required field `(\w+)`", what):
        field = f"{field}.{missing[1]}" if field else missing[1]
        what = "Required, but not there"
    return f"{field + ': ' if field else ''}{what[0].lower()}{what[1:]}."
