"""What the benchmarks send: page views shaped like those of a real log (data/README.md), as a browser would send them."""

import gzip
import json
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

HOST = "portal.example.vn"
_HOLE = "@hole@"


class PageView(NamedTuple):
    """A line of the log. at: seconds since the first; visitor: a number; referrer: a host."""

    at: int
    visitor: int
    path: str
    referrer: str
    agent: str

    @property
    def title(self) -> str:
        """A title such as a Vietnamese portal's article has."""
        return f"Cổng thông tin điện tử – {self.path.strip('/').rpartition('/')[2] or 'Trang chủ'}"


@cache
def page_views() -> tuple[PageView, ...]:
    """All page views of the log."""
    packed = resources.files("tests.bench").joinpath("data", "page_views.tsv.gz").read_bytes()
    lines = gzip.decompress(packed).decode().splitlines()
    return tuple(
        PageView(int(at), int(visitor), path, referrer, agent)
        for at, visitor, path, referrer, agent in (line.split("\t") for line in lines)
    )


def body(view: PageView, site: str, event_id: str, visitor: str) -> dict[str, str]:
    """What the tracker says of a page view."""
    return {
        "type": "pageview",
        "site": site,
        "id": event_id,
        "visitor": visitor,
        "url": f"https://{HOST}{view.path}",
        "referrer": f"https://{view.referrer}/" if view.referrer else "",
        "title": view.title,
    }


def posts(site: str, per_request: int = 1) -> Iterator[list[str]]:
    """POST requests with holes for an address and for each event's id and visitor, as wrk.lua fills them."""
    views = page_views()
    for start in range(0, len(views) - per_request + 1, per_request):
        part = views[start : start + per_request]
        events = [body(view, site, _HOLE, _HOLE) for view in part]
        text = json.dumps(events if per_request > 1 else events[0], ensure_ascii=False, separators=(",", ":"))
        # In place of the holes come ids of 36 and visitors of 16 characters.
        length = len(text.encode()) + len(part) * (36 + 16 - 2 * len(_HOLE))
        head = (
            "POST /v1/events HTTP/1.1\r\nHost: dem.example.vn\r\nConnection: keep-alive\r\n"
            f"Content-Length: {length}\r\nContent-Type: text/plain;charset=UTF-8\r\n"
            f"User-Agent: {part[0].agent or '-'}\r\nAccept: */*\r\nOrigin: https://{HOST}\r\n"
            f"Referer: https://{HOST}/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
            f"Accept-Language: vi-VN,vi;q=0.9,en-US;q=0.8,en;q=0.7\r\nX-Forwarded-For: {_HOLE}\r\n\r\n"
        )
        yield (head + text).split(_HOLE)


def write_requests(path: Path, requests: Iterable[list[str]]) -> Path:
    """The requests as the Lua table that wrk.lua reads."""
    tables = ("{" + ",".join(_quoted(text) for text in parts) + "},\n" for parts in requests)
    path.write_text("return {\n" + "".join(tables) + "}\n", "ascii")
    return path


def _quoted(text: str) -> str:
    r"""A Lua string; `\ddd` is a byte in decimal."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03}" for b in text.encode()) + '"'
