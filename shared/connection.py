"""A client's connection: HTTP/1.1, parsed by httptools (llhttp, Node's parser).

Requests are answered in their order; a client that sends the next before it has its answer waits. What is bounded here:
the bytes of a request's head, those of its body and of what follows that, and (server.py) the time in which a request
must have come.
"""

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import Protocol, cast
from urllib.parse import quote

import httptools

from shared.http import Found, Request
from shared.remembered import Remembered

MOST_HEAD_BYTES = 131_072
"""Of the request line and the headers; a URL may have 32 KB, and a Referer the same again."""
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_BODILESS = frozenset((204, 304))


_names: Remembered[bytes, bytes] = Remembered(bytes.lower)


class Host(Protocol):
    """The server that a connection belongs to. general_lines: of every answer; now: monotonic, to the second."""

    general_lines: bytes
    now: float
    connections: "set[Connection]"

    def find(self, target: bytes, /) -> Found:
        """What has a path, which a query may follow."""
        ...

    def arrived(self, request: Request, /) -> None:
        """Have a request handled."""
        ...


class Connection(asyncio.Protocol):
    """One client. due_since: since when something is waited for, None while it is the server's turn.

    partial: a request has begun and is not complete.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._requests: deque[Request] = deque()
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._head_complete = False
        self._head_bytes = 0
        """Of what is no body, a head or what follows a body: of the reads since the one in which it began; else -1."""
        self._client = ""
        self.transport: asyncio.Transport
        self.due_since: float | None = host.now
        self.partial = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._host.connections.add(self)
        if peer := transport.get_extra_info("peername"):
            host, port = peer[:2]
            self._client = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def connection_lost(self, _error: Exception | None) -> None:
        self._host.connections.discard(self)
        del self._parser  # it refers to this connection: the garbage collector would have to look for both
        for request in self._requests:
            request.lost = True
            if request.gone:
                request.gone()

    def pause_writing(self) -> None:
        self.transport.pause_reading()  # who does not read is not listened to

    def resume_writing(self) -> None:
        if len(self._requests) <= 1:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._headers and not data[: data.find(b"\n") + 1 or None].isascii():
            data = _encoded(data)
        if self._head_bytes >= 0:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # to no other protocol: the request is answered as any other
        except httptools.HttpParserError:
            self._end("400 Bad Request")
            return
        if self._head_bytes > MOST_HEAD_BYTES:
            self._end("431 Request Header Fields Too Large")

    # What the parser calls.

    def on_url(self, url: bytes) -> None:
        if not self.partial:
            self.partial = True
            self.due_since = self._host.now
            self._url = b""
            self._head_bytes = 0
            self._head_complete = False
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_complete:
            return  # a trailer: whoever forwards a body may not have looked at it
        name = _names[name]
        headers = self._headers
        if name in headers:
            value = b"%b,%b" % (headers[name], value)
        headers[name] = value

    def on_headers_complete(self) -> None:
        self._head_bytes = -1
        self._head_complete = True
        parser, headers, url = self._parser, self._headers, self._url
        route, handler, room = self._host.find(url)
        keep_alive = parser.should_keep_alive() and (
            # elsewhere it is HTTP/1.1, and no upgrade
            b"connection" not in headers or (parser.get_http_version() == "1.1" and not parser.should_upgrade())
        )
        method = parser.get_method().decode("ascii")
        request = Request(self, method, url, headers, self._client, route, handler, room, time.monotonic(), keep_alive)
        if self._requests:
            self.transport.pause_reading()
        self._requests.append(request)
        if int(headers.get(b"content-length", 0)) > room:
            self._too_large(request)
        elif b"expect" in headers:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_chunk_header(self) -> None:
        self._head_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._head_bytes = -1
        if self._requests and (request := self._requests[-1]).body is not None:
            request.room -= len(body)
            if request.room < 0:
                self._too_large(request)
            elif not request.body:
                request.body = body
            else:
                if isinstance(request.body, bytes):  # in the smallest chunks, each would be a copy of all before it
                    request.body = bytearray(request.body)
                request.body += body

    def on_message_complete(self) -> None:
        self._head_bytes = -1
        self.partial = False
        self.due_since = None
        self._headers = {}
        if not self._requests:  # it was answered before its end, as too large
            self.transport.close()
            return
        request = self._requests[-1]
        request.complete = True
        if request is self._requests[0] and request.body is not None:
            self._host.arrived(request)

    def _too_large(self, request: Request) -> None:
        request.body = None
        request.keep_alive = False
        if request is self._requests[0]:
            self._host.arrived(request)

    # What a request calls.

    def write_answer(self, request: Request, status: int, head: bytes, body: bytes) -> None:
        """Write a whole answer; then it is the next request's turn."""
        length = b"" if status in _BODILESS else b"content-length: %d\r\n" % len(body)
        close = b"" if request.keep_alive else b"connection: close\r\n"
        shown = b"" if request.method == "HEAD" else body
        host, requests = self._host, self._requests
        self.transport.write(b"".join((_STATUS_LINES[status], head, host.general_lines, length, close, b"\r\n", shown)))
        requests.popleft()
        if not request.keep_alive:
            if request.complete:  # else the client could not read why
                self.transport.close()
        elif requests:
            self._next()
        elif not self.partial:
            self.due_since = host.now

    def begin_stream(self, request: Request, head: bytes) -> asyncio.WriteTransport:
        """Write the beginning of an answer that ends with the connection."""
        request.keep_alive = False
        request.headers = {}  # it may stay long
        self.transport.write(
            b"".join((_STATUS_LINES[200], head, self._host.general_lines, b"connection: close\r\n\r\n"))
        )
        return self.transport

    def _next(self) -> None:
        if len(self._requests) == 1:
            self.transport.resume_reading()
        request = self._requests[0]
        if request.complete or request.body is None:
            self._host.arrived(request)

    def finish(self) -> None:
        """Close after the answers to what has come, at once where nothing has."""
        for request in self._requests:
            request.keep_alive = False
        if not self._requests:
            self.transport.close()

    def _end(self, status: str) -> None:
        if not self.transport.is_closing():
            self.transport.write(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
            self.transport.close()


def _encoded(data: bytes) -> bytes:
    """The beginning of a request whose URL is not all ASCII: old browsers send such, and llhttp refuses them."""
    line, end, rest = data.partition(b"\r\n")
    return quote(line, safe=bytes(range(0x80))).encode() + end + rest
