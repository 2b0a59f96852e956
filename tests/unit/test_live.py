"""How live streams begin and end, and how many are held open."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from granian._granian import RSGIProtocolClosed as ProtocolClosed

from services.api import streams
from services.api.live import Live
from services.api.snapshots import Snapshot, Snapshots
from shared.sites import Site, Sites
from tests.support.counting import HANOI


class Numbers:
    """Snapshots that a test changes."""

    number = 0

    async def counts(self, site: Site) -> Snapshot:
        return self.latest(site)

    def latest(self, _: Site) -> Snapshot:
        return Snapshot({}, b"%d" % self.number, f'W/"{self.number}"')


class Client:
    """A client's side of a request: what it is answered, and a stream that stays until either side ends it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.gone = asyncio.Event()
        self.ended = False
        self.broken = False

    async def client_disconnect(self) -> None:
        try:
            await self.gone.wait()
        except asyncio.CancelledError:  # nobody is interested any more: the stream was let go
            self.ended = True
            raise

    def response_stream(self, status: int, _: object) -> "Client":
        self.status = status
        return self

    async def send_bytes(self, data: bytes) -> None:
        if self.broken:
            raise ProtocolClosed
        self.body += data

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, dict(headers), body


class Stand:
    """Live streams of a site whose numbers a test changes."""

    def __init__(self, most: int) -> None:
        self.sites = Sites([HANOI], shards=1)
        self.numbers = Numbers()
        self.live = Live(self.sites, cast(Snapshots, self.numbers), most)

    async def client(self) -> Client:
        client = Client()
        scope: Any = SimpleNamespace(method="GET", path="/v1/sites/hanoi/live")
        await self.live.live(scope, cast(Any, client))
        return client


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
        client = await stand.client()
        assert (client.status, client.body) == (200, b"event: counts\ndata: 0\n\n")
        stand.numbers.number = 7
        await until(lambda: client.body.endswith(b"event: counts\ndata: 7\n\n"))


async def test_beyond_the_limit_a_reader_is_told_to_ask_and_has_a_stream_once_another_has_gone() -> None:
    async with standing(most=2) as stand:
        clients = [await stand.client(), await stand.client()]
        refused = await stand.client()
        assert refused.status == 503
        assert msgspec.json.decode(refused.body)["error"]["code"] == "too_many_streams"
        assert int(refused.headers["retry-after"]) > 0

        clients[0].gone.set()
        await asyncio.sleep(0.01)
        assert (await stand.client()).status == 200
        assert (await stand.client()).status == 503


async def test_who_cannot_be_sent_to_makes_room() -> None:
    async with standing(most=1) as stand:
        client = await stand.client()
        await asyncio.sleep(0)
        client.broken = True
        stand.numbers.number = 1
        await until(lambda: client.ended)
        assert (await stand.client()).status == 200


async def test_streams_of_a_site_that_is_taken_out_end() -> None:
    async with standing() as stand:
        client = await stand.client()
        await asyncio.sleep(0)
        stand.sites._sites.clear()
        await until(lambda: client.ended)
        assert (await stand.client()).status == 404


async def test_a_stream_ends_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LIFETIME_SECONDS", 0.1)
    async with standing() as stand:
        client = await stand.client()
        await asyncio.sleep(0.1)
        stand.numbers.number = 1
        await until(lambda: client.ended)


async def test_closing_ends_all_streams_and_those_that_come_then() -> None:
    async with standing() as stand:
        client = await stand.client()
        await asyncio.sleep(0)
        await stand.live.close()
        await until(lambda: client.ended)
        assert (await stand.client()).body == b""
