"""A proxy between the counter and ClickHouse that does to their connection what networks do."""

import asyncio
from contextlib import suppress
from enum import Enum, auto

from tests.support.servers import free_port

_INSERT = b"deduplicat"
"""In the address of every INSERT of the counter and of no other statement: its settings travel there."""
_HEAD = 4096


class Mode(Enum):
    PASS = auto()
    REFUSE = auto()
    """Connections are closed as soon as they are made, and those that were there."""
    HANG = auto()
    """What is sent is swallowed, and nothing comes back."""
    LOSE_REPLY = auto()
    """An INSERT reaches the server and is committed, but the connection is cut before its reply."""


class Proxy:
    """Listens on a loopback port of its own. upstream: the server's port, asked at every connection."""

    def __init__(self, upstream: int) -> None:
        self.port = free_port()
        self.upstream = upstream
        self.mode = Mode.PASS
        self.inserting = asyncio.Event()
        """Set whenever an INSERT goes by."""
        self.replies_lost = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server:
            self._server.close()
        self._cut()

    def set(self, mode: Mode) -> None:
        """From now on, also for the connections that are open."""
        self.mode = mode
        if mode in {Mode.REFUSE, Mode.PASS}:  # what hung is cut: its other end has given up, or should
            self._cut()

    def _cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if self.mode is not Mode.REFUSE:
                await self._connect(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.upstream)
        except OSError:
            return
        self._open.add(up_writer)
        losing = asyncio.Event()
        tasks = [
            asyncio.create_task(self._forth(reader, up_writer, losing)),
            asyncio.create_task(self._back(up_reader, writer, losing)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open.discard(up_writer)
            up_writer.transport.abort()

    async def _forth(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.mode is Mode.HANG:
                    continue
                if _INSERT in data[:_HEAD]:
                    self.inserting.set()
                    if self.mode is Mode.LOSE_REPLY:
                        losing.set()
                writer.write(data)
                await writer.drain()

    async def _back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, losing: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if losing.is_set():
                    self.replies_lost += 1
                    return
                if self.mode is not Mode.HANG:
                    writer.write(data)
                    await writer.drain()
