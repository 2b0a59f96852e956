"""How live streams begin and end, and how many are held open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import msgspec
import pytest

from services.api import streams
from services.api.live import Live
from services.api.snapshots import Snapshot, Snapshots
from shared.http import Request
from shared.sites import Site, Sites
from tests.support.asked import Way, asked, leave
from tests.support.counting import HANOI


class Numbers:
    """Snapshots that a test changes."""

    number = 0

    async def counts(self, site: Site) -> Snapshot:
        return self.latest(site)

    def latest(self, _: Site) -> Snapshot:
        return Snapshot({}, b"%d" % self.number, f'W/"{self.number}"')


class Stand:
    """Live streams of a site whose numbers a test changes."""

    def __init__(self, most: int) -> None:
        self.sites = Sites([HANOI], shards=1)
        self.numbers = Numbers()
        self.live = Live(self.sites, cast(Snapshots, self.numbers), most)

    def client(self) -> tuple[Way, Request]:
        """A client's side of a request for a stream, and the request."""
        way = Way()
        request = asked(way, "/v1/sites/hanoi/live")
        self.live.live(request)
        return way, request


@asynccontextmanager
async def standing(most: int = 10) -> AsyncIterator[Stand]:
    stand = Stand(most)
    running = asyncio.create_task(stand.live.run())
    yield stand
    running.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def test_the_first_event_comes_at_once_and_the_next_when_the_numbers_change() -> None:
    async with standing() as stand:
        client, _ = stand.client()
        assert (client.status, client.body) == (200, b"event: counts\ndata: 0\n\n")
        stand.numbers.number = 7
        await until(lambda: client.body.endswith(b"event: counts\ndata: 7\n\n"))


async def test_beyond_the_limit_a_reader_is_told_to_ask_and_has_a_stream_once_another_has_gone() -> None:
    async with standing(most=2) as stand:
        (_, first), _ = stand.client(), stand.client()
        refused, _ = stand.client()
        assert refused.status == 503
        assert msgspec.json.decode(refused.body)["error"]["code"] == "too_many_streams"
        assert int(refused.headers["retry-after"]) > 0

        leave(first)
        assert stand.client()[0].status == 200
        assert stand.client()[0].status == 503


async def test_a_stream_whose_client_does_not_read_ends_and_makes_room() -> None:
    async with standing(most=1) as stand:
        client, _ = stand.client()
        client.unread = streams.MOST_UNREAD_BYTES + 1
        stand.numbers.number = 1
        await until(lambda: client.closed)
        assert b"data: 1" not in client.body
        assert stand.client()[0].status == 200


async def test_streams_of_a_site_that_is_taken_out_end() -> None:
    async with standing() as stand:
        client, _ = stand.client()
        stand.sites._sites.clear()
        await until(lambda: client.closed)
        assert stand.client()[0].status == 404


async def test_a_stream_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME_SECONDS", 0.1)
    async with standing() as stand:
        client, _ = stand.client()
        await asyncio.sleep(0.1)
        stand.numbers.number = 1
        await until(lambda: client.closed)


async def test_closing_ends_all_streams_and_those_that_come_then() -> None:
    async with standing() as stand:
        client, _ = stand.client()
        await stand.live.close()
        assert client.closed
        late, _ = stand.client()
        assert (late.closed, late.body) == (True, b"")
