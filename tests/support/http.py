"""The real HTTP server in a test's own event loop: granian as `shared.serve` runs it, without signal handlers."""

import asyncio
from typing import Self

from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server as Granian

from shared.http import Server
from tests.support.servers import free_port

_SECONDS = 5.0
"""The most that starting takes, and stopping."""


class HttpServer:
    """A server on a loopback port of its own; as a context manager it runs while the block does."""

    def __init__(self, server: Server) -> None:
        self.port = free_port()
        self._granian = Granian(
            server,
            address="127.0.0.1",
            port=self.port,
            interface=Interfaces.RSGI,
            http=HTTPModes.http1,
            websockets=False,
            log_enabled=False,
        )
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Return when it answers. TimeoutError where it does not, or what ended it."""
        self._serving = asyncio.create_task(self._granian.serve())
        async with asyncio.timeout(_SECONDS):
            while not await self._listens():
                if self._serving.done():
                    await self._serving
                await asyncio.sleep(0.005)

    async def stop(self) -> None:
        """Finish the requests at hand and end. TimeoutError where they take too long."""
        if self._serving:
            self._granian.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait_for(self._serving, _SECONDS)

    async def _listens(self) -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except ConnectionError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
