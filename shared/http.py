"""Requests as the services' handlers see them, and the ways to answer them.

A handler of a hot path, one of the few that carry the load, is a plain function that answers at once or later: it takes
no task, no second look-up of a route and no thread. docs/performance.md says what that is worth.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from urllib.parse import unquote

import msgspec

from shared import log, metrics
from shared.errors import TruycapError, error_body

logger = log.get(__name__)

Headers = list[tuple[str, str]]
JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]
ANY_ORIGIN = ("access-control-allow-origin", "*")
CLIENT_WENT_AWAY = 499
"""Nobody was there to be answered (nginx's number for it)."""
MOST_BODY_BYTES = 65_536
"""Of a request to a path that says nothing else."""

Handler = Callable[["Request"], None]
"""Answers a request, or has it answered later."""


class Way(Protocol):
    """The connection that a request came on."""

    def write_answer(self, request: "Request", status: int, head: bytes, body: bytes) -> None: ...

    def begin_stream(self, request: "Request", head: bytes) -> asyncio.WriteTransport: ...


class Request(msgspec.Struct, eq=False):
    """A request, and the way to answer it.

    method; target: as it was sent, with the query; headers: by name in small letters, the values of several lines of
    one name with commas between them; client: `address:port`, an IPv6 address in brackets; route: the template; body:
    None where it is larger than the route takes. then: called with the status once it is answered, with None once it is
    a stream; gone: called when the connection is closed before the end.

    What the connection notes of it. room: bytes that its body may still have; began: when its head had come, monotonic;
    complete: all of it has come; lost: its client has gone away.
    """

    way: Way
    method: str
    target: bytes
    headers: dict[bytes, bytes]
    client: str
    route: str
    handler: "Handler"
    room: int
    began: float
    keep_alive: bool
    body: bytes | bytearray | None = b""
    then: Callable[[int | None], None] | None = None
    gone: Callable[[], None] | None = None
    complete: bool = False
    lost: bool = False

    def header(self, name: bytes) -> str:
        """The value of a header, empty where there is none; bytes that are not ASCII as U+FFFD."""
        return text_of(self.headers.get(name, b""))

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return unquote(text_of(self.target.partition(b"?")[0]))

    @property
    def query(self) -> str:
        return text_of(self.target.partition(b"?")[2])

    def answer(self, status: int, head: bytes = b"", body: bytes = b"") -> None:
        """Answer. head: header lines (see `header_lines`). Where the client has gone away nobody is answered."""
        if self.lost:
            status = CLIENT_WENT_AWAY
        else:
            self.way.write_answer(self, status, head, body)
        metrics.answered((self.route, status, time.monotonic() - self.began))
        if self.then:
            self.then(status)

    def refuse(self, error: TruycapError, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer an error in the one shape."""
        self.answer(error.status, header_lines([*JSON, *headers, *error.headers.items()]), error.body())

    def fail(self, error: Exception) -> None:
        """Answer what ended a handler, and log it where nobody raised it on purpose."""
        if isinstance(error, TruycapError):
            self.refuse(error)
            return
        logger.error("request failed", route=self.route, exc_info=error)
        self.answer(
            500, header_lines(JSON), error_body("internal_error", "The server made a mistake; it is in its log.")
        )

    def stream(self, head: bytes) -> asyncio.WriteTransport | None:
        """Answer with a body that ends with the connection: where to write it, None where the client has gone away."""
        if self.then:
            self.then(None)
        return None if self.lost else self.way.begin_stream(self, head)


def text_of(head: bytes) -> str:
    """A part of a request's head as text; bytes that are not ASCII as U+FFFD."""
    return head.decode("ascii", "replace")


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1", "replace")


class Found(NamedTuple):
    """What has a path: the route's template and its handler, and the largest body that it takes."""

    route: str
    handler: Handler
    most_body_bytes: int


class Routes:
    """The hot paths of a service.

    exact: handlers by path; prefixed: handlers by (prefix, suffix) of a path, for paths with one variable part;
    most_body_bytes: the largest body that they take.
    """

    def __init__(
        self,
        exact: Mapping[str, Handler],
        prefixed: Iterable[tuple[str, str, Handler]] = (),
        most_body_bytes: int = MOST_BODY_BYTES,
    ) -> None:
        self._exact = dict(exact)
        self._prefixed = tuple(prefixed)
        self._most_body_bytes = most_body_bytes

    def find(self, path: str) -> Found | None:
        """What has a path, None where the ASGI application has it."""
        if handler := self._exact.get(path):
            return Found(path, handler, self._most_body_bytes)
        for prefix, suffix, handler in self._prefixed:
            if path.startswith(prefix) and path.endswith(suffix):
                return Found(f"{prefix}{{site}}{suffix}", handler, self._most_body_bytes)
        return None
