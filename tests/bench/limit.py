"""The limit of an HTTP service: servers that do nothing but answer, each a process of its own.

python -m tests.bench.limit SERVER PORT STATUS BYTES
"""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server as Granian

from tests.bench.load import load
from tests.support.servers import free_port
from tests.support.truycap import ROOT

SERVERS = ("granian-rsgi", "granian-asgi", "uvicorn")
_HEADERS = [("content-type", "application/json"), ("access-control-allow-origin", "*"), ("cache-control", "no-store")]


@contextmanager
def serving(server: str, status: int, size: int) -> Iterator[str]:
    """The server meanwhile, answering every request with this status and a body of that size; its URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.limit", server, str(port), str(status), str(size)]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        _until_listening(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def fastest(requests: Path, path: str, status: int, size: int, seconds: float) -> Iterator[tuple[str, str]]:
    """The fastest of the servers with these requests: its name and its URL; the others do not run meanwhile."""
    rates = {}
    for server in SERVERS:
        with serving(server, status, size) as url:
            load(url + path, requests, seconds / 2)
            rates[server] = load(url + path, requests, seconds).rate
            print(f"  limit: {server} answers {rates[server]:,.0f} requests/s", flush=True)
    with ExitStack() as stack:
        server = max(rates, key=lambda name: rates[name])
        url = stack.enter_context(serving(server, status, size))
        load(url + path, requests, seconds / 2)
        yield server, url


def _until_listening(port: int) -> None:
    ends = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return


class _Rsgi:
    def __init__(self, status: int, body: bytes) -> None:
        self._status = status
        self._body = body

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        if self._body:
            proto.response_bytes(self._status, _HEADERS, self._body)
        else:
            proto.response_empty(self._status, [])


def _asgi(status: int, body: bytes) -> Any:
    headers = [(name.encode(), value.encode()) for name, value in (_HEADERS if body else [])]
    headers.append((b"content-length", str(len(body)).encode()))

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while (message := await receive())["type"] == "lifespan.startup":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": f"{message['type']}.complete"})
            return
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return answer


def main() -> None:
    server, port, status, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    body = b"x" * size
    asgi = _asgi(status, body)
    if server == "uvicorn":
        uvicorn.run(asgi, port=port, log_level="error", access_log=False, loop="uvloop", http="httptools")
        return
    app, interface = (_Rsgi(status, body), Interfaces.RSGI) if server == "granian-rsgi" else (asgi, Interfaces.ASGI)
    granian = Granian(app, port=port, interface=interface, websockets=False, log_enabled=False, backlog=2048)
    asyncio.Runner(loop_factory=uvloop.new_event_loop).run(granian.serve())


if __name__ == "__main__":
    main()
