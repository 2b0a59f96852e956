"""What addresses of pages say: host and item."""

import re

import msgspec

from services.ingest.errors import InvalidError
from shared.events import host_of, item_of
from shared.remembered import Remembered

_WEB = re.compile("https?://", re.IGNORECASE)


class Page(msgspec.Struct, frozen=True, gc=False):
    """A page of the web; item: see `item_of`."""

    host: str
    item: str


def _page(url: str) -> Page:
    if not (_WEB.match(url) and (host := host_of(url))):
        raise InvalidError("url: expected the page's address, beginning with https:// or http://.")
    return Page(host, item_of(url))


pages = Remembered(_page)
"""The pages that URLs name; InvalidError where one names none."""
hosts = Remembered(host_of)
items = Remembered(item_of)
