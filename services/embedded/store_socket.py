"""The store of a running `truycap up` for other commands: questions over a Unix socket that is kept to its owner.

chDB belongs to one process at a time. Each message is a length (4 bytes, big-endian) and msgpack: {"sql",
"parameters"} one way, {"rows"} or {"error", "retry"} the other. Answers hold what msgpack has: SQL that is asked this
way selects numbers and strings.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from shared.clickhouse import Queries, Row
from shared.errors import SetupError, StoreError

_LENGTH = struct.Struct(">I")


@asynccontextmanager
async def open_store_socket(store: Queries, path: Path) -> AsyncIterator[None]:
    """Answer questions on the socket meanwhile."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                question = msgspec.msgpack.decode(await _receive(reader))
                try:
                    reply: dict[str, Any] = {"rows": await store.query(question["sql"], question["parameters"])}
                except StoreError as error:
                    reply = {"error": error.message, "retry": error.retry}
                _send(writer, reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(answer, path)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


class RemoteStore:
    """The store that another process has open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> "RemoteStore":
        try:
            return cls(*await asyncio.open_unix_connection(path))
        except OSError as error:
            raise SetupError(f"The running truycap does not answer on {path} ({error.strerror}).") from None

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        async with self._turn:
            _send(self._writer, {"sql": sql, "parameters": dict(parameters or {})})
            try:
                await self._writer.drain()
                reply = msgspec.msgpack.decode(await _receive(self._reader))
            except (asyncio.IncompleteReadError, ConnectionError):
                raise StoreError("The running truycap went away.") from None
        if "error" in reply:
            raise StoreError(reply["error"], retry=reply["retry"])
        rows: list[Row] = reply["rows"]
        return rows

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return await reader.readexactly(length)


def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    body = msgspec.msgpack.encode(message)
    writer.write(_LENGTH.pack(len(body)) + body)
