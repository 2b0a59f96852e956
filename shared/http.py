"""The HTTP server's side of every service: hot paths without a framework, all others through FastAPI.

granian's RSGI carries 1.3 to 1.5 times the load of ASGI for the same handler (docs/architecture.md), so the few paths
that carry the load are plain RSGI handlers, found in a dict by path or by a prefix; the rest goes over a small bridge
to an ASGI application.
RSGI: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol

from granian._granian import RSGIProtocolClosed as ProtocolClosed

from shared import log, metrics
from shared.errors import TruycapError, error_body

logger = log.get(__name__)

Headers = list[tuple[str, str]]
JSON: Headers = [("content-type", "application/json"), ("cache-control", "no-store")]


class RequestHeaders(Protocol):
    def get(self, key: str, default: str | None = None) -> str | None: ...

    def get_all(self, key: str) -> list[str]: ...

    def items(self) -> list[tuple[str, str]]: ...

    def __contains__(self, key: str) -> bool: ...


class Scope(Protocol):
    """What RSGI says of a request. client: `address:port`; path: percent-decoded."""

    proto: str
    http_version: str
    server: str
    client: str
    scheme: str
    method: str
    path: str
    query_string: str
    authority: str | None

    @property
    def headers(self) -> RequestHeaders: ...


class Stream(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class Protocol_(Protocol):  # noqa: N801 - RSGI's own name is HTTPProtocol
    """RSGI's way to read the body and to answer."""

    async def __call__(self) -> bytes: ...

    def __aiter__(self) -> Any: ...

    async def client_disconnect(self) -> None: ...

    def response_empty(self, status: int, headers: Headers) -> None: ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...

    def response_stream(self, status: int, headers: Headers) -> Stream: ...


Handler = Callable[[Scope, Protocol_], Awaitable[int | None]]
"""Answers a request and returns the status it answered with, None after a stream, whose time says nothing."""
ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
ANY_ORIGIN = ("access-control-allow-origin", "*")
UNKNOWN_ROUTE = "unknown"
CLIENT_WENT_AWAY = 499
"""Nobody was there to be answered (nginx's number for it)."""


class Routes:
    """The hot paths of a service.

    exact: handlers by path; prefixed: handlers by (prefix, suffix) of a path, for paths with one variable part.
    """

    def __init__(
        self,
        exact: Mapping[str, Handler],
        prefixed: Iterable[tuple[str, str, Handler]] = (),
    ) -> None:
        self.exact = dict(exact)
        self.prefixed = tuple(prefixed)

    def find(self, path: str) -> tuple[str, Handler] | None:
        """The route template and handler of a path, None where the ASGI application has it."""
        if handler := self.exact.get(path):
            return path, handler
        for prefix, suffix, handler in self.prefixed:
            if path.startswith(prefix) and path.endswith(suffix):
                return f"{prefix}{{site}}{suffix}", handler
        return None


class Server:
    """The RSGI application: finds the handler, answers errors in the one shape, counts and times requests."""

    def __init__(self, *routes: Routes, cold: ASGI) -> None:
        """routes: the services' hot paths; cold: the ASGI application that has all other paths."""
        self._routes = routes
        self._cold = cold

    async def __rsgi__(self, scope: Scope, proto: Protocol_) -> None:
        started = asyncio.get_running_loop().time()
        route = UNKNOWN_ROUTE
        status: int | None
        try:
            if found := self._find(scope.path):
                route, handler = found
                status = await handler(scope, proto)
            else:
                status, route = await bridge(self._cold, scope, proto)
        except Exception as error:
            status = answer_failure(proto, route, error)
        if status is not None:
            metrics.observe_request(route, status, asyncio.get_running_loop().time() - started)

    def _find(self, path: str) -> tuple[str, Handler] | None:
        for routes in self._routes:
            if found := routes.find(path):
                return found
        return None


def answer_error(proto: Protocol_, error: TruycapError, headers: Iterable[tuple[str, str]] = ()) -> int:
    """Answer an error in the one shape."""
    proto.response_bytes(error.status, [*JSON, *headers, *error.headers.items()], error.body())
    return error.status


def answer_failure(proto: Protocol_, route: str, error: Exception) -> int:
    """Answer what ended a handler, and log it where nobody raised it on purpose."""
    if isinstance(error, TruycapError):
        return answer_error(proto, error)
    if isinstance(error, ProtocolClosed):
        return CLIENT_WENT_AWAY
    logger.error("request failed", route=route, exc_info=error)
    proto.response_bytes(500, JSON, error_body("internal_error", "The server made a mistake; it is in its log."))
    return 500


async def bridge(app: ASGI, scope: Scope, proto: Protocol_) -> tuple[int, str]:
    """Let an ASGI application answer an RSGI request; the status and the route's template.

    For the cold paths alone: they take no bodies, and no answer of theirs is streamed.
    """
    host, _, port = scope.client.rpartition(":")
    asgi_scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": scope.http_version,
        "method": "GET" if scope.method == "HEAD" else scope.method,
        "scheme": scope.scheme,
        "path": scope.path,
        "raw_path": None,
        "query_string": scope.query_string.encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in scope.headers.items()],
        "client": (host, int(port)) if port.isdigit() else None,
        "server": None,
        "state": {},
    }
    start: dict[str, Any] = {}
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            body.extend(message.get("body", b""))

    await app(asgi_scope, receive, send)
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    if scope.path.startswith(("/v1/", "/w/")) and not any(name == ANY_ORIGIN[0] for name, _ in headers):
        headers.append(ANY_ORIGIN)  # errors too: a page may read why
    if scope.method == "HEAD":
        proto.response_empty(start["status"], headers)
    else:
        proto.response_bytes(start["status"], headers, bytes(body))
    return start["status"], getattr(asgi_scope.get("route"), "path", UNKNOWN_ROUTE)
