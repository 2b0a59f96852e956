"""What a portal's visitors send: paths, referrers, agents and hours are those of a real log (tests/bench/data)."""

import uuid
from collections import Counter
from collections.abc import Mapping
from functools import cache
from random import Random
from typing import NamedTuple

from crawleruseragents import is_crawler

from tests.bench.traffic import PageView, body, page_views

HOST = "load-test.invalid"
"""Where the pages of the load stand. No such host can be (RFC 2606)."""
READ_SECONDS = 2.0
"""The mean time between a visitor's page views: a thirtieth of what it is."""
PUBLIC = 20_000
"""Readers that there are. They come back, as a portal's do: were all new, those of the last half an hour, whom Redis
knows, would become more for half an hour."""
_HOUR_SECONDS = 3600
_DAY_HOURS = 24


class Who(NamedTuple):
    """A visitor. headers: what each of their requests has, a line each: an address of a made-up network, an agent."""

    id: str
    headers: str


@cache
def views(*, bots: bool) -> tuple[PageView, ...]:
    """The log's page views by people, or by bots. One of these at random: the log's shares of articles."""
    return tuple(view for view in page_views() if (not view.agent or is_crawler(view.agent)) == bots)


@cache
def hours() -> tuple[float, ...]:
    """The share of a day's page views that each hour of the day has, from 0 to 23 h; they add up to 1.

    The log has three days and a half, and each hour counts as often as it is there.
    """
    by_hour = Counter(view.at // _HOUR_SECONDS for view in page_views())
    there = range(max(by_hour) + 1)
    mean = [
        sum(by_hour[hour] for hour in there if hour % _DAY_HOURS == of_day)
        / sum(hour % _DAY_HOURS == of_day for hour in there)
        for of_day in range(_DAY_HOURS)
    ]
    return tuple(share / sum(mean) for share in mean)


def someone(chance: Random, *, bot: bool = False) -> Who:
    """One of the public, or one of as many bots: the same one looks the same whenever they come."""
    number = chance.randrange(PUBLIC)
    they = Random(number + PUBLIC * bot)
    address = ".".join(str(they.randrange(256)) for _ in range(3))
    agent = they.choice(views(bots=bot)).agent
    headers = (
        f"User-Agent: {agent}\r\nX-Forwarded-For: 10.{address}\r\nOrigin: https://{HOST}\r\nReferer: https://{HOST}/\r\n"
        "Content-Type: text/plain;charset=UTF-8\r\nAccept: */*\r\nAccept-Language: vi-VN,vi;q=0.9,en;q=0.7\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\nConnection: keep-alive\r\n"
    )
    return Who(f"{they.getrandbits(64):016x}", headers)


def page_view(chance: Random, site: str, who: Who, view: PageView) -> Mapping[str, object]:
    """What the tracker says of a page view."""
    return body(view, site, _id(chance), who.id, HOST)


def vote(chance: Random, site: str, who: Who, view: PageView) -> Mapping[str, object]:
    """A vote on an article; most are good."""
    score = chance.choices(range(1, 6), weights=(1, 1, 2, 5, 9))[0]
    return {"type": "rating", "site": site, "id": _id(chance), "visitor": who.id, "item": view.path, "score": score}


def signal(kind: str, site: str, who: Who, view: PageView) -> Mapping[str, object]:
    """That the page is still visible (`ping`), or was closed (`leave`)."""
    return {"type": kind, "site": site, "visitor": who.id, "url": f"https://{HOST}{view.path}"}


def _id(chance: Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
