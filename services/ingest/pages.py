"""What addresses of pages say: host and item. Remembered, for most readers come to the same pages."""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, TypeVar

from services.ingest.errors import InvalidError
from shared.events import host_of, item_of

T = TypeVar("T")
_WEB = re.compile("https?://", re.IGNORECASE)
_MOST = 16_384
_LONGEST = 512
"""Longer ones are computed each time: what visitors make up must not fill the memory."""


class Page(NamedTuple):
    """A page of the web; item: see `item_of`."""

    host: str
    item: str


def _remembered(function: Callable[[str], T]) -> Callable[[str], T]:
    known = lru_cache(_MOST)(function)
    return lambda text: known(text) if len(text) <= _LONGEST else function(text)


host = _remembered(host_of)
"""`host_of`, remembered."""
item = _remembered(item_of)
"""`item_of`, remembered."""


@_remembered
def page(url: str) -> Page:
    """The page that a URL names; InvalidError where it names none."""
    if not (_WEB.match(url) and (found := host_of(url))):
        raise InvalidError("url: expected the page's address, beginning with https:// or http://.")
    return Page(found, item_of(url))
