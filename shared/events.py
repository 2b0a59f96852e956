"""Events: what a page sends (the public contract) and what ingest writes to the stream (the inner one).

Untrusted input is decoded into `PageView`, `Rating`, `Ping` or `Leave`; only ingest sees those. What goes on inward is
`StreamEvent`, which holds no address: the visitor is a number already, the country a code.
"""

import re
import string
from enum import IntEnum
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit
from uuid import UUID

import msgspec
from msgspec import Meta

MAX_EVENTS = 500
"""How many events one request may carry."""

MAX_ATTEMPT = 65_535

SiteId = Annotated[str, Meta(min_length=1, max_length=63)]
Url = Annotated[str, Meta(min_length=1, max_length=32_768)]
Score = Annotated[int, Meta(ge=1, le=5)]
Attempt = Annotated[int, Meta(ge=0, le=MAX_ATTEMPT)]
VisitorId = Annotated[str, Meta(max_length=128)]
Member = bool | Literal["true", "false", ""]
"""Whether the reader is logged in; also as a page's attribute says it."""

MAX_ITEM = 512
"""Characters of an item; what is longer is cut, so that made-up paths cannot fill the read model so fast."""
MAX_AGENT = 512
"""Characters of a user agent that are kept."""
MAX_TITLE = 1024
"""Characters of a title that are kept."""

_UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")
_RESPELLED = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~/!$&'()*+,;=:@-]")


class PageView(msgspec.Struct, frozen=True, tag="pageview"):
    """A page was shown. visitor: the tracker's random id, empty where there is none; attempt: 0 when first sent."""

    site: SiteId
    id: UUID
    url: Url
    referrer: Annotated[str, Meta(max_length=32_768)] = ""
    title: str = ""
    visitor: VisitorId = ""
    member: Member = False
    attempt: Attempt = 0


class Rating(msgspec.Struct, frozen=True, tag="rating"):
    """A vote of 1 to 5 on an item (the path of an article); voting again changes the vote. voter: else the visitor."""

    site: SiteId
    id: UUID
    item: Url
    score: Score
    voter: VisitorId = ""
    visitor: VisitorId = ""
    attempt: Attempt = 0


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """A page is still visible."""

    site: SiteId
    url: Url
    visitor: VisitorId = ""
    member: Member = False


class Leave(msgspec.Struct, frozen=True, tag="leave"):
    """A page was closed."""

    site: SiteId
    url: Url
    visitor: VisitorId = ""
    member: Member = False


Event = PageView | Rating | Ping | Leave


class Kind(IntEnum):
    """The type of an event on the stream."""

    PAGEVIEW = 1
    RATING = 2
    PING = 3
    LEAVE = 4


class Source(IntEnum):
    """Where an event came from. Only live events make somebody present now."""

    LIVE = 1
    IMPORT = 2

    __hash__ = int.__hash__  # an Enum's own hashes the name, in Python


class StreamEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One accepted event as it stands on the stream.

    time: milliseconds since 1970 UTC; id: the 16 bytes of the page's UUID (empty for ping and leave);
    visitor: 64 bits, never shared between sites; item: the path (see `item_of`); referrer: the referring host, empty
    for none and for the site itself; country: ISO 3166-1 alpha-2, empty where unknown; score: 1 to 5 for a rating.
    """

    kind: Kind
    source: Source
    site: str
    time: int
    id: Annotated[bytes, Meta(max_length=16)]
    visitor: Annotated[int, Meta(ge=0)]
    item: str
    member: bool = False
    attempt: Attempt = 0
    score: Annotated[int, Meta(ge=0, le=5)] = 0
    referrer: str = ""
    title: str = ""
    agent: str = ""
    country: str = ""


def host_of(url: str) -> str:
    """The host of a URL in lower case without port, empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def item_of(url: str) -> str:
    """The item that a URL names: its path in one spelling, without query and fragment.

    `https://a.vn/tin%2dtuc/?p=1` and `/tin-tuc/` are the same item; what begins with a slash is a path already.
    Percent-encoding is normalised as RFC 3986 (section 6.2.2) says; the path's case and its trailing slash are kept,
    for servers may tell them apart.
    """
    try:
        path = url if url.startswith("/") else urlsplit(url).path
    except ValueError:
        path = url
    path = path.partition("?")[0].partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    return _RESPELLED.sub(_respell, path[:MAX_ITEM])[:MAX_ITEM]


def _respell(found: re.Match[str]) -> str:
    text = found[0]
    if len(text) == 1:
        return quote(text, errors="replace")
    character = chr(int(text[1:], 16))
    return character if character in _UNRESERVED else text.upper()
