"""The store of a running `truycap up` for other commands: statements over a Unix socket that is kept to its owner.

chDB belongs to one process at a time. Each message is a length (4 bytes, big-endian) and msgpack: {"sql",
"parameters", "asks"} or {"table", "columns", "settings"} one way, {"rows"} or {"error", "retry"} the other; a statement
that asks nothing and an insert are answered without rows. Messages hold what msgpack has: SQL that is asked this way
selects numbers and strings.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec

from shared.clickhouse import Row, Statements
from shared.errors import SetupError, StoreError

_LENGTH = struct.Struct(">I")

_Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def open_store_socket(store: Statements, path: Path) -> AsyncIterator[None]:
    """Run the statements of the socket meanwhile."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                statement = msgspec.msgpack.decode(await _receive(reader))
                try:
                    reply: dict[str, Any] = {"rows": await _run(store, statement)}
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

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: _Connection | None = None
        """None also after a statement that was cut off: its answer would be taken for the next one's."""
        self._turn = asyncio.Lock()

    @classmethod
    async def connect(cls, path: Path) -> "RemoteStore":
        """SetupError where nobody answers there."""
        store = cls(path)
        store._connection = await store._connect()
        return store

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        return await self._statement(sql, parameters, asks=True)

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        await self._statement(sql, parameters, asks=False)

    async def insert(self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> None:
        lists = {name: list(values) for name, values in columns.items()}
        await self._run({"table": table, "columns": lists, "settings": dict(settings)})

    async def close(self) -> None:
        if self._connection:
            _, writer = self._connection
            writer.close()
            await writer.wait_closed()

    async def _connect(self) -> "_Connection":
        try:
            return await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise SetupError(f"The running truycap does not answer on {self._path} ({error.strerror}).") from None

    async def _statement(self, sql: str, parameters: Mapping[str, Any] | None, *, asks: bool) -> list[Row]:
        return await self._run({"sql": sql, "parameters": dict(parameters or {}), "asks": asks})

    async def _run(self, message: Mapping[str, Any]) -> list[Row]:
        async with self._turn:
            reader, writer = connection = self._connection or await self._connect()
            self._connection = None
            try:
                _send(writer, message)
                await writer.drain()
                reply = msgspec.msgpack.decode(await _receive(reader))
                self._connection = connection
            except (asyncio.IncompleteReadError, ConnectionError):
                raise StoreError("The running truycap went away.") from None
            finally:
                if not self._connection:
                    writer.close()
        if "error" in reply:
            raise StoreError(reply["error"], retry=reply["retry"])
        rows: list[Row] = reply["rows"]
        return rows


async def _run(store: Statements, statement: Mapping[str, Any]) -> list[Row]:
    if "table" in statement:
        await store.insert(statement["table"], statement["columns"], statement["settings"])
        return []
    if statement["asks"]:
        return await store.query(statement["sql"], statement["parameters"])
    await store.command(statement["sql"], statement["parameters"])
    return []


async def _receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return await reader.readexactly(length)


def _send(writer: asyncio.StreamWriter, message: Mapping[str, Any]) -> None:
    body = msgspec.msgpack.encode(message)
    writer.write(_LENGTH.pack(len(body)) + body)
