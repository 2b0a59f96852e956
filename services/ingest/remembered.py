"""What ingest need not find out twice: most page views are of pages, referrers and visitors seen just before."""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from iptocc import country_code

from services.ingest.errors import InvalidError
from services.ingest.visitor import hashed
from shared.events import host_of, item_of

T = TypeVar("T")
_WEB = re.compile("https?://", re.IGNORECASE)


class Remembered(dict[str, T]):
    """The answers of a function. All are forgotten when they are many: a look-up must cost less than the function.

    most: how many are kept; longest: characters of a text whose answer is kept, for visitors may make up any.
    """

    def __init__(self, function: Callable[[str], T], most: int = 16_384, longest: int = 512) -> None:
        super().__init__()
        self._function = function
        self._most = most
        self._longest = longest

    def __missing__(self, text: str) -> T:
        answer = self._function(text)
        if len(text) <= self._longest:
            if len(self) >= self._most:
                self.clear()
            self[text] = answer
        return answer


class Page(NamedTuple):
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
visitors = Remembered(hashed)
countries = Remembered(lambda address: country_code(address) or "")
"""ISO 3166-1 alpha-2 by address, empty where unknown."""
