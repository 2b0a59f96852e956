"""The HTTP server's side of every service: hot paths without a framework, all others through FastAPI.

granian's RSGI carries 1.3 to 1.5 times the load of ASGI for the same handler (docs/architecture.md), so the few paths
that carry the load are plain RSGI handlers, found in a dict by path or by a prefix; the rest goes over a small bridge
to an ASGI application.
RSGI: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol

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


Handler = Callable[[Scope, Protocol_], Awaitable[int]]
"""Answers a request and returns the status it answered with."""
ASGI = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]],
    Awaitable[None],
]


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
                return f"{prefix}{{}}{suffix}", handler
        return None


class Server:
    """The RSGI application: finds the handler, answers errors in the one shape, counts and times requests."""

    def __init__(self, *routes: Routes, cold: ASGI) -> None:
        """routes: the services' hot paths; cold: the ASGI application that has all other paths."""
        self._routes = routes
        self._cold = cold

    async def __rsgi__(self, scope: Scope, proto: Protocol_) -> None:
        found = None
        for routes in self._routes:
            if found := routes.find(scope.path):
                break
        if found is None:
            await bridge(self._cold, scope, proto)
            return
        route, handler = found
        started = asyncio.get_running_loop().time()
        try:
            status = await handler(scope, proto)
        except TruycapError as error:
            status = answer_error(proto, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("request failed", route=route)
            status = 500
            proto.response_bytes(
                500, JSON, error_body("internal_error", "The server made a mistake; it is in its log.")
            )
        metrics.observe_request(route, status, asyncio.get_running_loop().time() - started)


def answer_error(proto: Protocol_, error: TruycapError, headers: Iterable[tuple[str, str]] = ()) -> int:
    """Answer an error in the one shape."""
    proto.response_bytes(error.status, [*JSON, *headers, *error.headers.items()], error.body())
    return error.status


async def bridge(app: ASGI, scope: Scope, proto: Protocol_) -> None:
    """Let an ASGI application answer an RSGI request. Bodies are read whole; streamed answers are streamed."""
    host, _, port = scope.client.rpartition(":")
    asgi_scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": scope.http_version,
        "method": scope.method,
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
    body: list[bytes] = [await proto()]
    start: dict[str, Any] = {}
    stream: Stream | None = None

    async def receive() -> dict[str, Any]:
        if body:
            return {"type": "http.request", "body": body.pop(), "more_body": False}
        await proto.client_disconnect()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        nonlocal stream
        if message["type"] == "http.response.start":
            start.update(message)
            return
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start.get("headers", ())]
        chunk, more = message.get("body", b""), message.get("more_body", False)
        if stream is None and not more:
            proto.response_bytes(start["status"], headers, chunk)
            return
        stream = stream or proto.response_stream(start["status"], headers)
        if chunk:
            await stream.send_bytes(chunk)

    await app(asgi_scope, receive, send)
