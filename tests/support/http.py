"""The real HTTP server in a test's own event loop, as `shared.serve` runs it, without signal handlers."""

import asyncio
from typing import Self

from shared.server import HttpServer as Server
from shared.server import Server as Served
from shared.server import listen

_SECONDS = 5.0
"""The most that starting takes, and stopping."""


class HttpServer:
    """A server on a loopback port of its own; as a context manager it runs while the block does."""

    def __init__(self, served: Served) -> None:
        listening = listen("127.0.0.1", 0)
        self.port: int = listening.getsockname()[1]
        self._server = Server(served, listening)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return when it answers. TimeoutError where it does not, or what ended it."""
        self._serving = asyncio.create_task(self._server.run_until_stopped())
        async with asyncio.timeout(_SECONDS):
            await self._server.started_or_ended(self._serving)

    async def stop(self) -> None:
        """Finish the requests at hand and end. TimeoutError where they take too long."""
        if self._serving:
            self._server.stop()
            await asyncio.wait_for(self._serving, _SECONDS)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
