"""Page views from a web server's access log: the combined format of Apache and nginx, plain or gzip.

The way of a line: `read_lines` -> `parse_line` -> `why_dropped` -> an event -> in order of time. Only
`salt_of` and `read_lines` do I/O. No address goes further than this module: the visitor is a hash, the country a code.
"""

import gzip
import heapq
import io
import re
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha256
from itertools import chain, islice
from pathlib import Path
from typing import BinaryIO, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid5

from iptocc import country_code

from shared.errors import SetupError
from shared.events import MAX_AGENT, Kind, Source, StreamEvent, host_of, item_of
from shared.sites import Site

MAX_URL = 2048
MAX_LINE = 1 << 18
"""Bytes of a line that are read: twice what three fields of 8 KiB take with each byte written as \\xNN."""
WINDOW = 10_000
"""How many page views are held back to bring them in order of time."""
_DAY_MS = 86_400_000
_IDS = UUID("5a0c7a4e-2d0b-4f0b-9d53-6c1f5c1f8f0e")
_FIRST_LINES = 100

_QUOTED = r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"'  # possessive, so that an unclosed quote is not searched again and again
_LINE = re.compile(  # address, user, time, request, status, size, referrer, agent; nginx's "main" has one more
    rf"(\S+) \S+ .*?\[(\d\d/\w{{3}}/\d{{4}}(?::\d\d){{3}} [+-]\d{{4}})\] {_QUOTED} (\d{{3}}) (?:\d+|-) "
    rf"{_QUOTED} {_QUOTED}(?: .*)?".encode(),
    re.DOTALL,
)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_LETTERS = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_PROTOCOL = re.compile(rb" HTTP/\d(?:\.\d)?$")
_MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_HOST = re.compile(r"[\w.:-]{1,253}")

# Listed is what is not a page, for portals invent extensions for their pages: .vnp, .chn, .epi, .tpo.
_FILE = re.compile(
    r"""^/\.well-known/ | \.(?:
    # images, styles, scripts, fonts, and the handlers that ASP.NET sends them with
    apng|avif|bmp|cur|eps|gif|hei[cf]|ico|jfif|jpe?g|jpe|png|psd|svgz?|tiff?|webp|css|htc|less|map|s[ac]ss|[cm]?js|jsm|
    class|coffee|swf|tsx?|wasm|xap|eot|otf|pfb|tt[cf]|woff2?|ashx|asmx|axd|svc|
    # data, texts, sources of programs
    appcache|bak|cfg|conf|csv|dat|dtd|geojson|gpx|ics|ini|json|jsonld|jsonp|km[lz]|log|manifest|webmanifest|sql|srt|
    tsv|txt|vcf|vtt|wsdl|xml|xsd|xslt?|ya?ml|bash|bat|cc?|cpp|diff|go|h|hpp|inc|java|lua|m4|mk|patch|phps|ps1|
    py[co]?|rb|rs|sh|swift|tex|xs|
    # documents, archives, programs
    azw3|djvu|do[ct][mx]?|epub|mobi|od[pst]|pdf|pp[st]x?|ps|rtf|xls[bmx]?|7z|bz2|cab|dmg|gz|img|iso|lz|lzma|rar|tar|
    t[bgx]z|tbz2|xz|z|zip|zst|apk|bin|crx|deb|dll|egg|exe|gem|ipa|jar|msi|msp|pcap|pkg|rpm|so|torrent|war|whl|xpi|
    # sound and film
    3gp|aac|as[fx]|avi|f4v|flac|flv|m3u8?|m4[apv]|midi?|mkv|mov|mp[234de]|mpe?g|og[agv]|opus|ram?|rm|wav|webm|wm[av]
    )(?:;[^/]*)?$""",
    re.VERBOSE,
)
_FEED = re.compile(  # the last: /feed/rss2/ of WordPress, /news/rss/CATEGORY/ of NukeViet
    r"(?:\.(?:rss|atom|rdf)|/(?:feed|rss2?|atom|rdf|(?:atom|feed|index|rss)\.xml|(?:feed|rss)\.php)/?"
    r"|/(?:feed|rss)/[^/.]+/?)$"
)
_FEED_QUERY = re.compile(  # Blosxom, WordPress and MediaWiki, Joomla, NukeViet, Blogger
    r"[?&](?:flav|feed|format|type|op|alt)=(?:comments-)?(?:rss|atom|rdf|feed)[\d.]*(?:[/%][^&]*)?(?:&|$)"
)


class Reason(StrEnum):
    """Why a line is no page view: the first that fits."""

    UNPARSABLE = "unparsable"
    NOT_GET = "not_get"
    NOT_SUCCESSFUL = "not_successful"
    FEED = "feed"
    NOT_A_PAGE = "not_a_page"
    TOO_LONG = "too_long"


class Dropped(NamedTuple):
    """A line that is no page view."""

    reason: Reason


class LogLine(NamedTuple):
    """A request. time: ms since 1970 UTC; target: ASCII, other bytes percent-encoded; "" stands for `-`."""

    address: str
    time: int
    method: str
    target: str
    status: int
    referrer: str
    agent: str


def parse_line(line: str) -> LogLine | None:
    """The request of a line in the combined format, None where it is not one. Never raises.

    The format: https://httpd.apache.org/docs/2.4/logs.html#combined. In quoted fields Apache writes `\\"`,
    `\\\\`, `\\n` and the like, and `\\xNN` for a byte (mod_log_config, "Format Notes"); nginx only `\\xNN`. What
    is not UTF-8 becomes U+FFFD. A request that is not HTTP keeps its first word as the method.
    """
    try:
        match = _LINE.fullmatch(_raw(line))
    except UnicodeEncodeError:
        return None
    time = match and _time(match[2].decode("ascii", "replace"))
    if match is None or time is None:
        return None
    method, _, target = _PROTOCOL.sub(b"", _plain(match[3])).partition(b" ")
    address, method_name, referrer, agent = (
        field.decode("utf-8", "replace") for field in (match[1], method, _plain(match[5]), _plain(match[6]))
    )
    return LogLine(address, time, method_name, quote(target, _PRINTABLE), int(match[4]), referrer, agent)


def _raw(line: str) -> bytes:
    return line.rstrip("\r\n").encode("utf-8", "surrogateescape")


def _plain(field: bytes) -> bytes:
    if b"\\" in field:
        return _ESCAPE.sub(_unescape, field)
    return b"" if field == b"-" else field


def _unescape(escape: re.Match[bytes]) -> bytes:
    return bytes.fromhex(escape[1].decode()) if escape[1] else _LETTERS.get(escape[2], escape[2])


@lru_cache(maxsize=256)  # neighbouring lines share their second
def _time(stamp: str) -> int | None:
    """Ms since 1970 UTC of `17/May/2015:10:05:03 +0700`; None where no web server can have written it."""
    day, month, year, hour, minute, second = re.split("[/: ]", stamp)[:6]
    offset = int(stamp[-4:-2]) * 60 + int(stamp[-2:])
    if not 1990 <= int(year) < 2100 or month not in _MONTHS:
        return None
    number = _MONTHS.index(month) // 4 + 1
    try:
        # A leap second is written as 60.
        utc = datetime(int(year), number, int(day), int(hour), int(minute), min(int(second), 59), tzinfo=UTC)
    except ValueError:
        return None
    return (int(utc.timestamp()) + (offset if stamp[-5] == "-" else -offset) * 60) * 1000


def why_dropped(line: LogLine) -> Reason | None:
    """Why a request is no page view, None where it is one: a successful GET of what is shown as a page.

    The log does not tell the content type, so the address has to: a page is no feed and no file of a known kind.
    A path without an extension, or with an unknown one, is a page.
    """
    if line.method != "GET":
        return Reason.NOT_GET
    if not 200 <= line.status < 300:
        return Reason.NOT_SUCCESSFUL
    if not line.target.startswith("/"):  # what proxies are asked (RFC 9112, 3.2.2): a page of another site
        return Reason.NOT_A_PAGE
    path = _item(line.target).lower()
    if _FEED.search(path) or _FEED_QUERY.search(line.target.lower()):
        return Reason.FEED
    if _FILE.search(path):
        return Reason.NOT_A_PAGE
    return Reason.TOO_LONG if len(line.target) > MAX_URL else None


def _item(target: str) -> str:
    return item_of(f"http://host{target}")  # without a host, //a/b were the path /b on the host a


def events(lines: Iterable[str], site: Site, salt: bytes) -> Iterator[StreamEvent | Dropped]:
    """The page views of a log, and a `Dropped` for every other line: one for each line. salt: `salt_of`.

    A server writes a line when the request ends, and a log may be put together from those of several servers.
    So page views are brought in order of time, as far as none comes more than `WINDOW` page views too late.

    An id is made from the site, the line, and how many identical lines stand before it: two identical lines are
    two page views, and a second import, also of the log as it has grown since, gives the same ids. `attempt`
    is 1 so that the counter looks them up. Memory: `WINDOW` events, and some 150 bytes for each page view.
    """
    own_hosts = frozenset(name.lower() for name in site.hostnames)
    seen: defaultdict[bytes, int] = defaultdict(int)
    waiting: list[tuple[int, int, StreamEvent]] = []
    for number, line in enumerate(lines):
        request = parse_line(line)
        if not request:
            yield Dropped(Reason.UNPARSABLE)
        elif reason := why_dropped(request):
            yield Dropped(reason)
        else:
            digest = blake2b(_raw(line), digest_size=16).digest()
            event_id = uuid5(_IDS, f"{site.id}/{digest.hex()}/{seen[digest]}").bytes
            seen[digest] += 1
            heapq.heappush(waiting, (request.time, number, _event(request, site.id, event_id, own_hosts, salt)))
            if len(waiting) > WINDOW:
                yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _event(line: LogLine, site: str, event_id: bytes, own_hosts: frozenset[str], salt: bytes) -> StreamEvent:
    who = f"{line.time // _DAY_MS}\0{site}\0{line.address}\0{line.agent}"
    referrer = host_of(line.referrer)
    return StreamEvent(
        kind=Kind.PAGEVIEW,
        source=Source.IMPORT,
        site=site,
        time=line.time,
        id=event_id,
        visitor=int.from_bytes(blake2b(who.encode(), digest_size=8, key=salt).digest(), "big"),
        item=_item(line.target),
        attempt=1,
        referrer=referrer if _HOST.fullmatch(referrer) and referrer not in own_hosts else "",
        agent=line.agent[:MAX_AGENT],
        country=country_code(line.address.removeprefix("::ffff:")) or "",
    )


def salt_of(path: Path) -> bytes:
    """The key of the visitors' hashes: the SHA-256 of the log, unpacked where it is a gzip file.

    Who does not have the log cannot compute the hashes again, and whoever imports the same log once more,
    packed or not, gets the same visitors. The whole file is read, so that a damaged one is refused before
    anything of it is counted: SetupError where it cannot be read.
    """
    digest = sha256()
    with _opened(path) as (_, content):
        while chunk := content.read(1 << 18):
            digest.update(chunk)
    return digest.digest()


def read_lines(path: Path, progress: Callable[[int], object] = lambda _: None) -> Iterator[str]:
    """The lines of a log, plain or gzip, but blank ones. What is not UTF-8 is kept by surrogateescape.

    progress: called now and then with how many bytes of the file have been read, as it lies there (packed).
    SetupError once lines are asked for: it cannot be read, or none of its first 100 lines is an access log's.
    """
    with _opened(path) as (file, content):
        lines = _lines(content)
        first = list(islice(lines, _FIRST_LINES))
        if first and not any(map(parse_line, first)):
            raise SetupError(
                f"{path} is no access log: none of its first {len(first)} lines is in the combined format of"
                " Apache or nginx. Name the access log, plain or .gz."
            )
        for number, line in enumerate(chain(first, lines)):
            if number % 1024 == 0:
                progress(file.tell())
            yield line
        progress(file.tell())


def _lines(content: BinaryIO) -> Iterator[str]:
    while line := content.readline(MAX_LINE):
        rest = line
        while len(rest) == MAX_LINE and not rest.endswith(b"\n"):
            rest = content.readline(MAX_LINE)
        if line := line.strip():
            yield line.decode("utf-8", "surrogateescape")


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """The file as it lies there, and its content."""
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] != b"\x1f\x8b":
                yield file, file
                return
            with io.BufferedReader(gzip.GzipFile(fileobj=file), 1 << 18) as content:
                yield file, content
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SetupError(f"{path} is a damaged gzip file ({error}). Get an undamaged copy of the log.") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be read ({error.strerror}). Name an access log, plain or .gz.") from None
