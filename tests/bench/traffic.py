"""What benchmarks send: page views shaped like those of a real log (data/README.md), as a browser would send them."""

import gzip
from functools import cache
from importlib import resources
from typing import NamedTuple

HOST = "portal.example.vn"


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


def body(view: PageView, site: str, event_id: str, visitor: str, host: str = HOST) -> dict[str, str]:
    """What the tracker says of a page view."""
    return {
        "type": "pageview",
        "site": site,
        "id": event_id,
        "visitor": visitor,
        "url": f"https://{host}{view.path}",
        "referrer": f"https://{view.referrer}/" if view.referrer else "",
        "title": view.title,
    }
