"""The HTTP server of every service: hot paths straight to their handlers, all others through an ASGI application."""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from email.utils import formatdate
from typing import Any

from shared import metrics
from shared.connection import Connection
from shared.ending import failed
from shared.errors import SetupError
from shared.http import ANY_ORIGIN, MOST_BODY_BYTES, Found, Request, Routes, text_of
from shared.remembered import Remembered

UNKNOWN_ROUTE = "unknown"
IDLE_SECONDS = 75.0
"""So long a connection is kept between two requests: longer than a proxy does, or it would send into a closing one."""
SLOW_SECONDS = 30.0
"""So long the whole of a request may be on its way."""
_LOOK_SECONDS = 1.0
_BACKLOG = 2048

ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]


class Server:
    """Serves from `start` on.

    routes: the services' hot paths; cold: the application that has all others; clock: monotonic, in seconds.
    """

    def __init__(self, *routes: Routes, cold: ASGI, clock: Callable[[], float] = time.monotonic) -> None:
        self._routes = routes
        self._cold_path = Found(UNKNOWN_ROUTE, self.cold, MOST_BODY_BYTES)
        self._found: Remembered[bytes, Found] = Remembered(self._look_up)
        self.connections: set[Connection] = set()
        self.general_lines = b""
        self.now = clock()
        self._arrived: list[Request] = []
        self._cold = cold
        self._clock = clock
        self._answering: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None
        self._looking: asyncio.Task[None] | None = None

    def find(self, target: bytes) -> Found:
        """What has a path, which a query may follow."""
        return self._found[target]

    def _look_up(self, target: bytes) -> Found:
        path = text_of(target.partition(b"?")[0])
        hot = [found for routes in self._routes if (found := routes.find(path))]
        return hot[0] if hot else self._cold_path

    def arrived(self, request: Request) -> None:
        """Have a request handled, together with all others that come in this turn of the event loop.

        The code that reads takes turns with the code that handles once, not for each of them: a third more requests,
        for the processor's caches hold one of the two.
        """
        if not self._arrived:
            asyncio.get_running_loop().call_soon(self._handle)
        self._arrived.append(request)

    def _handle(self) -> None:
        arrived, self._arrived = self._arrived, []
        for request in arrived:
            try:
                request.handler(request)
            except Exception as error:
                request.fail(error)

    async def start(self, listening: socket.socket) -> None:
        """Take connections."""
        self.look()
        self._looking = asyncio.create_task(self._keep_looking(), name="connections")
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: Connection(self), sock=listening, backlog=_BACKLOG)

    async def stop(self) -> None:
        """Take no connections any more; returns when the requests at hand are answered."""
        if self._listening:
            self._listening.close()
        while self.connections:
            for connection in list(self.connections):
                connection.finish()
            await asyncio.sleep(0.01)
        if self._looking:
            self._looking.cancel()

    async def failed(self) -> None:
        """Returns never; raises what ended the looking after connections."""
        assert self._looking  # noqa: S101 - it was started
        await failed([self._looking])

    def cold(self, request: Request) -> None:
        """The handler of all paths that no service has."""
        answering = asyncio.ensure_future(self._bridge(request))
        self._answering.add(answering)
        answering.add_done_callback(self._answering.discard)

    async def _bridge(self, request: Request) -> None:
        try:
            status, headers, body = await ask(self._cold, request)
        except Exception as error:
            request.fail(error)
        else:
            request.answer(status, headers, body)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Tell the time, settle the metrics, close connections on which nothing comes, and cut off those that are
        closed and whose clients do not read."""
        metrics.settle_requests()
        self.general_lines = f"date: {formatdate(usegmt=True)}\r\n".encode()
        self.now = now = self._clock()
        for connection in list(self.connections):
            closing = connection.transport.is_closing()
            if connection.due_since is None and closing:
                connection.due_since = now  # its client is yet to take what was written last
            patience = SLOW_SECONDS if connection.partial else IDLE_SECONDS
            if connection.due_since is not None and now - connection.due_since > patience:
                connection.due_since = None
                if closing:
                    connection.transport.abort()
                else:
                    connection.transport.close()


async def ask(app: ASGI, request: Request) -> tuple[int, bytes, bytes]:
    """The answer of an ASGI application: status, header lines, body. The request's route is set to the template.

    For cold paths alone: they take no bodies, and no answer of theirs is streamed.
    """
    raw_path, _, query = request.target.partition(b"?")
    host, _, port = request.client.rpartition(":")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET" if request.method == "HEAD" else request.method,
        "scheme": "http",
        "path": request.path,
        "raw_path": raw_path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers.items()),
        "client": (host.strip("[]"), int(port)) if port.isdigit() else None,
        "server": None,
        "state": {},
    }
    start: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    try:
        await app(scope, receive, send)
    finally:
        request.route = getattr(scope.get("route"), "path", UNKNOWN_ROUTE)
    headers: list[tuple[bytes, bytes]] = [line for line in start["headers"] if line[0] != b"content-length"]
    if scope["path"].startswith(("/v1/", "/w/")) and not any(name == _ANY_ORIGIN[0] for name, _ in headers):
        headers.append(_ANY_ORIGIN)  # errors too: a page may read why
    return start["status"], b"".join(b"%b: %b\r\n" % line for line in headers), bytes(body)


_ANY_ORIGIN = (ANY_ORIGIN[0].encode(), ANY_ORIGIN[1].encode())


def listen(host: str, port: int, *, share_port: bool = False) -> socket.socket:
    """A socket bound there; SetupError where it cannot be. share_port: other processes may bind it too."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SetupError(f"Cannot listen on {host}:{port} ({reason}). Choose another with --port.") from None
    listening.setblocking(False)
    return listening


def check_port(host: str, port: int) -> None:
    """SetupError where nothing can listen there."""
    listen(host, port).close()
