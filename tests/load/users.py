"""A portal's public, as locust's users: readers with votes and widgets, bots, and readers who keep a live stream open.

They are in a hurry: a page is read for READ_SECONDS (portal.py), where real readers take a minute. So one of them
stands for some thirty, who would also be that many more connections.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import gevent
from locust import User, constant, task

from tests.load import portal
from tests.load.client import Answer, Connection, connected
from tests.load.delivery import deliver
from tests.load.tally import COUNTS, CUT_OFF, EVENTS, LIVE, PIXEL, WIDGET, Tally
from tests.load.target import Target

_VISIT_PAGES = 6
_PING_SHARE = 0.3
_VOTE_SHARE = 0.005
"""Of page views. A vote is kept for good."""
_RECONNECT_SECONDS = 3.0
_PIECE = 65_536
_UPDATE = b"event: counts"


class Visitor(User):
    """Sends what a page's script sends.

    target, tally, seeds: set before the first is spawned; pace: how fast all of them read, 1.0 being the usual.
    """

    abstract = True
    wait_time = constant(0)
    target: ClassVar[Target]
    tally: ClassVar[Tally]
    seeds: ClassVar[Random]
    pace: ClassVar[float] = 1.0

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.chance = Random(self.seeds.random())
        self._connections = {url: Connection(url) for url in (self.target.ingest, self.target.api)}

    def on_stop(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def ask(self, name: str, url: str, path: str, who: portal.Who, body: bytes = b"") -> Answer:
        """The answer to a request, which is noted by that name."""
        began, sends = time.perf_counter(), name in (EVENTS, PIXEL)
        self.tally.unheard += sends  # also where a reader is told to leave before the answer has come
        answer = self._connections[url].ask("POST" if body else "GET", path, who.headers, body)
        self.tally.unheard -= sends and answer.status in (200, 202)
        self.tally.note(name, str(answer.status or CUT_OFF), (time.perf_counter() - began) * 1000)
        return answer

    def deliver(self, who: portal.Who, event: Mapping[str, object], *, counts: bool = False) -> None:
        """Send an event until it is acknowledged. counts: it is a page view by a person."""
        post = partial(self.ask, EVENTS, self.target.ingest, "/v1/events", who)
        deliver(post, event, who.headers if counts else "", self.tally, self.chance)

    def read(self, mean: float) -> None:
        """Time passes."""
        gevent.sleep(self.chance.expovariate(self.pace / mean))


class Reader(Visitor):
    """Opens some articles one after the other, each with its counter; stays, votes now and then, leaves."""

    weight = 12

    @task
    def visit(self) -> None:
        who = portal.someone(self.chance)
        self.ask(WIDGET, self.target.api, "/widget.js", who)
        view = None
        for _ in range(self.chance.randint(1, 2 * _VISIT_PAGES - 1)):
            view = self.chance.choice(portal.views(bots=False))
            self.deliver(who, portal.page_view(self.chance, self.target.site, who, view), counts=True)
            self.ask(COUNTS, self.target.api, f"/v1/sites/{self.target.site}/counts", who)
            self.read(portal.READ_SECONDS / 2)
            if self.chance.random() < _PING_SHARE:
                self.deliver(who, portal.signal("ping", self.target.site, who, view))
            if self.chance.random() < _VOTE_SHARE:
                self.deliver(who, portal.vote(self.chance, self.target.site, who, view))
            self.read(portal.READ_SECONDS / 2)
        if view:
            self.deliver(who, portal.signal("leave", self.target.site, who, view))


class Bot(Visitor):
    """Goes through the articles without a script: the pixel of <noscript>."""

    weight = 1

    @task
    def crawl(self) -> None:
        who = portal.someone(self.chance, bot=True)
        for _ in range(20):
            view = self.chance.choice(portal.views(bots=True))
            url = quote(f"https://{portal.HOST}{view.path}", safe="")
            path = f"/v1/pixel.gif?site={self.target.site}&url={url}"
            answer = self.ask(PIXEL, self.target.ingest, path, who)
            self.tally.acknowledged += answer.status == 200
            self.tally.pixels += answer.status == 200
            self.read(portal.READ_SECONDS / 2)


class Watcher(Visitor):
    """A page that is left open: its numbers come by Server-Sent Events. fixed_count: how many there are."""

    fixed_count = 200

    @task
    def watch(self) -> None:
        who = portal.someone(self.chance)
        request = (
            f"GET /v1/sites/{self.target.site}/live HTTP/1.1\r\nHost: {urlsplit(self.target.api).netloc}\r\n"
            f"Accept: text/event-stream\r\n{who.headers}\r\n"
        )
        began, outcome = time.perf_counter(), ""
        with suppress(OSError), connected(self.target.api) as stream:
            stream.sendall(request.encode())
            some = stream.recv(_PIECE)
            outcome = some[9:12].decode("ascii", "replace")
            if outcome:
                self.tally.note(LIVE, outcome, (time.perf_counter() - began) * 1000)
            stream.settimeout(60)
            while outcome == "200" and some:
                self.tally.updates += some.count(_UPDATE)
                some = stream.recv(_PIECE)
        if not outcome:
            self.tally.note(LIVE, CUT_OFF, (time.perf_counter() - began) * 1000)
        gevent.sleep(self.chance.uniform(1, _RECONNECT_SECONDS))  # as an EventSource does
