"""A client's connection: uvicorn's protocol on httptools, with a way of its own for the requests of hot paths.

uvicorn takes a protocol class (its option `http`); this one is its own but for what is said here. A `Request` stands where
uvicorn has a cycle, so that keeping alive, pipelining and closing are uvicorn's.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from shared.http import Handler, Request, Routes

MOST_HEAD_BYTES = 131_072
"""Of the request line and the headers; a URL may have 32 KB, and a Referer the same again."""


class Connection(HttpToolsProtocol):
    """routes: the services' hot paths."""

    def __init__(self, routes: Iterable[Routes], config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self._routes = routes
        self._request: Request | None = None
        self._room = 0
        self._head_bytes = 0
        self.peer = ""
        self.silent_since: float | None = None
        """Since when the whole of a request is waited for, None where it is not the client's turn."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.peer = f"{self.client[0]}:{self.client[1]}" if self.client else ""
        self.silent_since = time.monotonic()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if isinstance(self.cycle, Request) and not self.cycle.response_complete:
            self.cycle.lost()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_bytes >= 0:  # its headers are not complete
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        self.silent_since = time.monotonic()

    def on_headers_complete(self) -> None:
        self._request = None
        self._head_bytes = -1
        raw_path, _, query = self.url.partition(b"?")
        path = raw_path.decode("ascii", "replace")
        if "%" in path:
            path = unquote(path)
        for routes in self._routes:
            if found := routes.find(path):
                self._begin(routes, *found, path, query.decode("ascii", "replace"))
                return
        super().on_headers_complete()

    def _begin(self, routes: Routes, route: str, handler: Handler, path: str, query: str) -> None:
        request = Request(self, handler, route, self.parser.get_method().decode("ascii"), path, query)
        request.keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
        before, self.cycle, self._request = self.cycle, request, request  # type: ignore[assignment]
        self._room = routes.most_body_bytes
        if self.expect_100_continue:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if before is None or before.response_complete:
            request.one_less_to_wait_for()
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((request, self.app))  # type: ignore[arg-type]

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        if isinstance(cycle, Request):
            cycle.one_less_to_wait_for()
        else:
            super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        if (request := self._request) is None:
            super().on_body(body)
        elif request.body is not None:
            self._room -= len(body)
            if self._room >= 0:
                request.body += body
            else:
                request.body = None
                request.keep_alive = False  # what else comes is not read
                request.one_less_to_wait_for()

    def on_message_complete(self) -> None:
        self.silent_since = None
        if (request := self._request) is None:
            super().on_message_complete()
        elif request.body is not None:
            request.one_less_to_wait_for()

    def write_answer(self, request: Request, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer; then the connection is for the next request."""
        parts = [STATUS_LINE[status], head, self._general_lines]
        if status not in (204, 304):
            parts.append(b"content-length: %d\r\n" % len(body))
        if not request.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"\r\n", b"" if request.method == "HEAD" else body)
        self.transport.write(b"".join(parts))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()

    def begin_stream(self, request: Request, head: bytes) -> asyncio.Transport:
        """Write the beginning of an answer whose end is that of the connection."""
        request.keep_alive = False
        self.transport.write(b"".join((STATUS_LINE[200], head, self._general_lines, b"connection: close\r\n\r\n")))
        return self.transport

    @property
    def _general_lines(self) -> bytes:
        return b"".join(b"%b: %b\r\n" % line for line in self.server_state.default_headers)
