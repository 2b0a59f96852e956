"""The HTTP server of every service: uvicorn, with the services' hot paths beside their ASGI application."""

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import uvicorn

from shared import metrics
from shared.connection import Connection
from shared.errors import SetupError
from shared.http import ANY_ORIGIN, Routes

UNKNOWN_ROUTE = "unknown"
KEEP_ALIVE_SECONDS = 75
"""Longer than a proxy before it keeps a connection: it would send a request on one that is being closed."""
SILENT_SECONDS = 30.0
"""So long may the whole of a request be on its way."""
_LOOK_SECONDS = 5.0
_BACKLOG = 2048

ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]


class Server:
    """What is served. routes: the services' hot paths; cold: the ASGI application that has all other paths."""

    def __init__(self, *routes: Routes, cold: ASGI) -> None:
        self.routes = routes
        self.cold = cold


class HttpServer(uvicorn.Server):
    """uvicorn with the hot paths of services beside an ASGI application. It leaves signals alone.

    listening: a socket that is bound.
    """

    def __init__(self, server: Server, listening: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                Cold(server.cold),  # type: ignore[arg-type]
                interface="asgi3",
                http=partial(self._connect, server.routes),  # type: ignore[arg-type]
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
            )
        )
        self._listening = listening

    async def run_until_stopped(self) -> None:
        """Serve until `stop`; then finish the requests at hand."""
        looking = asyncio.create_task(self._close_silent_ones())
        try:
            await self.serve([self._listening])
        finally:
            looking.cancel()

    async def started_or_ended(self, serving: "asyncio.Task[None]") -> None:
        """Returns when it answers, or has ended before it could. serving: runs `run_until_stopped`."""
        while not (self.started or serving.done()):
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        """Take no requests any more."""
        self.should_exit = True

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()

    @staticmethod
    def _connect(routes: tuple[Routes, ...], config: uvicorn.Config, server_state: Any, **_: Any) -> Connection:
        return Connection(routes, config, server_state)

    async def _close_silent_ones(self) -> None:
        """Connections on which no whole request comes would be kept for ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            since = time.monotonic() - SILENT_SECONDS
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection) and (connection.silent_since or math.inf) < since:
                    connection.transport.close()


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


class Cold:
    """The ASGI application of all other paths, counted and timed."""

    def __init__(self, app: ASGI) -> None:
        self._app = app

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        began, status = time.monotonic(), 500
        # HEAD is answered as GET is, and uvicorn leaves the body away.
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else {**scope}

        async def told(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if scope["path"].startswith(("/v1/", "/w/")) and not any(n == _ANY[0] for n, _ in message["headers"]):
                    message = {**message, "headers": [*message["headers"], _ANY]}  # errors too: a page may read why
            await send(message)

        try:
            await self._app(asked, receive, told)
        finally:
            route = getattr(asked.get("route"), "path", UNKNOWN_ROUTE)
            metrics.observe_request(route, status, time.monotonic() - began)


_ANY = (ANY_ORIGIN[0].encode(), ANY_ORIGIN[1].encode())
