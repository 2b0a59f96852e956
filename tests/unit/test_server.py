"""The server: which handler a path has, what becomes of a handler's error, which connections are closed."""

import asyncio
import json
from typing import Any

import pytest

from shared.connection import Connection
from shared.errors import UnknownSiteError
from shared.http import Request, Routes
from shared.server import IDLE_SECONDS, SLOW_SECONDS, UNKNOWN_ROUTE, Server
from tests.support.transport import Transport

GET = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n"


def hot(request: Request) -> None:
    request.answer(200, body=b"hot")


def refuses(_: Request) -> None:
    raise UnknownSiteError("hue")


def breaks(_: Request) -> None:
    raise RuntimeError("secret")


async def cold(scope: Any, _receive: Any, send: Any) -> None:
    assert scope["path"] == "/v1/lạ"
    scope["route"] = type("Route", (), {"path": "/v1/{name}"})
    await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"4"), (b"x", b"y")]})
    await send({"type": "http.response.body", "body": b"cold"})


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A server without sockets, and clients."""

    def __init__(self) -> None:
        self.clock = Clock()
        routes = Routes(
            {"/hot": hot, "/refuses": refuses, "/breaks": breaks}, [("/v1/sites/", "/counts", hot)], most_body_bytes=9
        )
        self.server = Server(routes, cold=cold, clock=self.clock)
        self.server.look()

    def connected(self) -> tuple[Connection, Transport]:
        connection, transport = Connection(self.server), Transport()
        connection.connection_made(transport)
        return connection, transport

    async def answer(self, path: str) -> str:
        connection, transport = self.connected()
        connection.data_received(GET % path.encode())
        while not transport.written:
            await asyncio.sleep(0)
        return transport.written.decode()


@pytest.fixture
def world() -> World:
    return World()


def test_a_path_has_its_handler_whatever_its_query(world: World) -> None:
    find = world.server.find
    assert find(b"/hot?a=b") == find(b"/hot") == ("/hot", hot, 9)
    assert find(b"/v1/sites/hue/counts?x") == ("/v1/sites/{site}/counts", hot, 9)
    assert find(b"/v1/sites/hue/else").route == UNKNOWN_ROUTE


async def test_answers_say_what_time_it_is(world: World) -> None:
    answer = await world.answer("/hot")
    assert answer.startswith("HTTP/1.1 200 OK\r\ndate: ")
    assert answer.endswith("\r\n\r\nhot")


async def test_errors_are_answered_in_one_shape(world: World) -> None:
    for path, status, code in (("/refuses", 404, "unknown_site"), ("/breaks", 500, "internal_error")):
        head, _, body = (await world.answer(path)).partition("\r\n\r\n")
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert json.loads(body)["error"]["code"] == code
        assert "secret" not in body


async def test_all_other_paths_go_to_the_application(world: World) -> None:
    answer = await world.answer("/v1/lạ?q")
    assert answer.startswith("HTTP/1.1 404 Not Found\r\nx: y\r\naccess-control-allow-origin: *\r\n")
    assert answer.endswith("content-length: 4\r\n\r\ncold")


def test_connections_on_which_nothing_comes_are_closed(world: World) -> None:
    (_, idle), (half, slow), (asking, busy) = world.connected(), world.connected(), world.connected()
    half.data_received(b"GET /hot HT")
    asking.on_url(b"/hot")
    asking.due_since = None  # it is the server's turn
    world.clock.now += SLOW_SECONDS + 1
    world.server.look()
    assert (idle.closed, slow.closed, busy.closed) == (False, True, False)
    world.clock.now += IDLE_SECONDS
    world.server.look()
    assert (idle.closed, busy.closed) == (True, False)


async def test_a_closed_connection_whose_client_does_not_read_is_cut_off(world: World) -> None:
    (asking, closed), (_, idle) = world.connected(), world.connected()
    asking.data_received(b"GET /hot HTTP/1.0\r\n\r\n")
    await asyncio.sleep(0)
    assert closed.closed
    world.server.look()
    world.clock.now += IDLE_SECONDS - 1
    world.server.look()
    assert (closed.aborted, idle.closed) == (False, False)
    world.clock.now += 2
    world.server.look()
    assert (closed.aborted, idle.closed, idle.aborted) == (True, True, False)
    world.clock.now += 1
    world.server.look()
    world.clock.now += IDLE_SECONDS + 1
    world.server.look()
    assert idle.aborted
