"""The real HTTP server in a test's own event loop, as `shared.serve` runs it, without signal handlers."""

import asyncio
from typing import Self

from shared.server import Server, listen

_SECONDS = 5.0
"""The most that stopping takes."""


class HttpServer:
    """A server on a loopback port of its own; as a context manager it runs while the block does."""

    def __init__(self, server: Server) -> None:
        self._listening = listen("127.0.0.1", 0)
        self.port: int = self._listening.getsockname()[1]
        self._server = server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return when it answers."""
        await self._server.start(self._listening)

    async def stop(self) -> None:
        """Finish the requests at hand and end. TimeoutError where they take too long."""
        async with asyncio.timeout(_SECONDS):
            await self._server.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
