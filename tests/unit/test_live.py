"""How many live streams are held open."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from services.api.live import Live
from services.api.snapshots import Snapshot, Snapshots
from tests.support.counting import SITES


class Quiet:
    """Snapshots that never change."""

    async def counts(self, _: object) -> Snapshot:
        return Snapshot({}, b"{}", 'W/"1"')

    async def wait_for_change(self) -> None:
        await asyncio.Event().wait()


class Client:
    """A client's side of a request: what it is answered, and a stream that stays until it goes away."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.gone = asyncio.Event()
        self.streams = asyncio.Event()

    async def client_disconnect(self) -> None:
        await self.gone.wait()

    def response_stream(self, status: int, _: object) -> "Client":
        self.status = status
        return self

    async def send_bytes(self, _: bytes) -> None:
        self.streams.set()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.headers, self.body = status, dict(headers), body


async def test_beyond_the_limit_a_reader_is_told_to_ask_and_has_a_stream_once_another_has_gone() -> None:
    live = Live(SITES, cast(Snapshots, Quiet()), most=2)
    scope: Any = SimpleNamespace(method="GET", path="/v1/sites/hanoi/live")
    clients = [Client(), Client()]
    tasks = [asyncio.create_task(live.live(scope, cast(Any, client))) for client in clients]
    for client in clients:
        await client.streams.wait()

    refused = Client()
    assert await live.live(scope, cast(Any, refused)) == 503
    assert msgspec.json.decode(refused.body)["error"]["code"] == "too_many_streams"
    assert int(refused.headers["retry-after"]) > 0

    clients[0].gone.set()
    await tasks[0]
    last = Client()
    task = asyncio.create_task(live.live(scope, cast(Any, last)))
    await last.streams.wait()
    assert last.status == 200
    await live.close()
    await asyncio.gather(task, tasks[1])
