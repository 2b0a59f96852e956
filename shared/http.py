"""Requests of hot paths, the few that carry the load: no framework stands between them and their handlers.

A handler is a plain function that answers at once or later. It takes no task, no second look-up of a route and no thread;
docs/performance.md says what that is worth. All other paths are FastAPI's (web.py).
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from shared import log, metrics
from shared.errors import TruycapError, error_body

logger = log.get(__name__)

Headers = list[tuple[str, str]]
JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]
ANY_ORIGIN = ("access-control-allow-origin", "*")
CLIENT_WENT_AWAY = 499
"""Nobody was there to be answered (nginx's number for it)."""
MOST_BODY_BYTES = 65_536
"""Of a request to a hot path that says nothing else."""
Handler = Callable[["Request"], None]
"""Answers a request, or has it answered later."""


class Way(Protocol):
    """The connection that a request came on."""

    peer: str
    headers: list[tuple[bytes, bytes]]

    def write_answer(self, request: "Request", status: int, head: bytes, body: bytes) -> None: ...

    def begin_stream(self, request: "Request", head: bytes) -> asyncio.Transport: ...


class Request:
    """A request of a hot path, and the way to answer it.

    method, path (percent-decoded), query; headers: by name in small letters, of several lines of one name the last
    (`lines` has all); client: `address:port`; body: None where it is larger than the route takes. then: called with the
    status once it is answered, with None once it is a stream; gone: called when the client has gone away before the end.
    """

    def __init__(self, connection: Way, handler: Handler, route: str, method: str, path: str, query: str) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.lines = connection.headers
        self.headers = dict(connection.headers)
        self.client = connection.peer
        self.body: bytes | None = b""
        self.then: Callable[[int | None], None] | None = None
        self.gone: Callable[[], None] | None = None
        self._connection = connection
        self._handler = handler
        self._route = route
        self._began = time.monotonic()
        self._to_wait_for = 2  # the whole body, and the answers to the requests before it
        # What uvicorn's protocol asks of a cycle.
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False
        self.message_event = _NOBODY_WAITS

    def header(self, name: bytes) -> str:
        """The value of a header, empty where there is none; bytes that are not ASCII as U+FFFD."""
        return self.headers.get(name, b"").decode("ascii", "replace")

    def one_less_to_wait_for(self) -> None:
        """The body is there, or the answers before this one are written: with both it is handled."""
        self._to_wait_for -= 1
        if self._to_wait_for == 0 and not self.disconnected:
            try:
                self._handler(self)
            except Exception as error:
                self.fail(error)

    def answer(self, status: int, head: bytes = b"", body: bytes = b"") -> None:
        """Answer. head: header lines (see `header_lines`). Where the client has gone away nobody is answered."""
        metrics.observe_request(
            self._route, CLIENT_WENT_AWAY if self.disconnected else status, time.monotonic() - self._began
        )
        if self.then:
            self.then(status)
        if not self.disconnected:
            self._connection.write_answer(self, status, head, body)

    def refuse(self, error: TruycapError, headers: Iterable[tuple[str, str]] = ()) -> None:
        """Answer an error in the one shape."""
        self.answer(error.status, header_lines([*JSON, *headers, *error.headers.items()]), error.body())

    def fail(self, error: Exception) -> None:
        """Answer what ended a handler, and log it where nobody raised it on purpose."""
        if isinstance(error, TruycapError):
            self.refuse(error)
            return
        logger.error("request failed", route=self._route, exc_info=error)
        self.answer(
            500, header_lines(JSON), error_body("internal_error", "The server made a mistake; it is in its log.")
        )

    def stream(self, head: bytes) -> "asyncio.Transport | None":
        """Answer with a body that ends with the connection: where to write it, None where the client has gone away."""
        if self.then:
            self.then(None)
        return None if self.disconnected else self._connection.begin_stream(self, head)

    def lost(self) -> None:
        """The connection is closed."""
        if self.gone:
            self.gone()


class _NobodyWaits:
    """Stands where uvicorn's cycles have an event for an application that waits."""

    def set(self) -> None: ...


_NOBODY_WAITS = _NobodyWaits()


def header_lines(headers: Iterable[tuple[str, str]]) -> bytes:
    """Headers as they are sent."""
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1", "replace")


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
        self.exact = dict(exact)
        self.prefixed = tuple(prefixed)
        self.most_body_bytes = most_body_bytes

    def find(self, path: str) -> tuple[str, Handler] | None:
        """The route template and handler of a path, None where the ASGI application has it."""
        if handler := self.exact.get(path):
            return path, handler
        for prefix, suffix, handler in self.prefixed:
            if path.startswith(prefix) and path.endswith(suffix):
                return f"{prefix}{{site}}{suffix}", handler
        return None
