"""The store. chDB in-process and a ClickHouse server over HTTP are one code path: clickhouse-connect's client.

The driver's synchronous client is called in a thread of its own, one statement at a time; chDB has no other.
Driver errors become `StoreError` here and nowhere else.
"""

import asyncio
import fcntl
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit, urlunsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DataError, NotSupportedError, ProgrammingError

from shared.ending import CLOSING_SECONDS
from shared.errors import SetupError, StoreError, described, redacted, without_data

# The driver and chDB look for these, to know data frames, and do without them where they are missing. There are none
# here, and importing them would take 70 MB and half of the first second in which something is counted.
for _library in ("pandas", "pyarrow"):
    sys.modules.setdefault(_library, None)  # type: ignore[arg-type]

T = TypeVar("T")
Row = Sequence[Any]

DATABASE = "truycap"
_HANGS_SECONDS = 30
"""A server that says nothing for so long is given up, and the statement is tried again.

An insert takes well below a second, one into a table with too many parts is held up for one, and the driver makes a
long query tell its progress 5 s before this: longer silence is a dead connection, and waiting for one is time without
counting. Giving up too early costs little: what was stored all the same is looked up.
"""

# ClickHouse's own numbers (src/Common/ErrorCodes.cpp) of what no repetition of the same statement will mend.
_FINAL = frozenset(
    {
        6: "CANNOT_PARSE_TEXT",
        10: "NOT_FOUND_COLUMN_IN_BLOCK",
        16: "NO_SUCH_COLUMN_IN_TABLE",
        27: "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
        33: "CANNOT_READ_ALL_DATA",
        36: "BAD_ARGUMENTS",
        43: "ILLEGAL_TYPE_OF_ARGUMENT",
        44: "ILLEGAL_COLUMN",
        46: "UNKNOWN_FUNCTION",
        47: "UNKNOWN_IDENTIFIER",
        50: "UNKNOWN_TYPE",
        53: "TYPE_MISMATCH",
        60: "UNKNOWN_TABLE",
        62: "SYNTAX_ERROR",
        81: "UNKNOWN_DATABASE",
        115: "UNKNOWN_SETTING",
        246: "CORRUPTED_DATA",
        192: "UNKNOWN_USER",
        193: "WRONG_PASSWORD",
        497: "ACCESS_DENIED",
        516: "AUTHENTICATION_FAILED",
    }
)

_HINTS = (
    dict.fromkeys((60, 81), " Run `truycap migrate` first.")
    | dict.fromkeys((192, 193, 497, 516), " See TRUYCAP_CLICKHOUSE_DSN and TRUYCAP_CLICKHOUSE_PASSWORD.")
    # Measured on 26.9: a merge for which the disk has no room can leave a part without its marks. At its next start
    # ClickHouse puts such a part aside and takes back what it was merged from (which `events` keeps for a minute).
    | dict.fromkeys(
        (33, 246),
        " ClickHouse cannot read what it has written; a full disk can do that. Make room, then start ClickHouse (with"
        " chDB: truycap) again within a minute: it takes back what it had merged. A roll-up is made again by"
        " `truycap rebuild --store`.",
    )
)


class Queries(Protocol):
    """Whatever answers questions from the store: the store itself, or another process that has it open."""

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        """The rows of a SELECT; parameters are typed in the SQL as `{name:Type}`. Raises StoreError."""
        ...


class Statements(Queries, Protocol):
    """Whatever also changes the store."""

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        """Run a statement that answers nothing. Raises StoreError."""
        ...

    async def insert(self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> None:
        """Insert columns of equal length as one block. Raises StoreError."""
        ...


class ClickHouse:
    """An open connection to the store's database."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._types: dict[str, dict[str, str]] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="clickhouse")

    @classmethod
    async def connect(cls, dsn: str) -> "ClickHouse":
        """Open the store that the DSN names and create its database where it is missing.

        Raises SetupError for a DSN that names no store, StoreError for a store that does not answer.
        """
        client = await asyncio.to_thread(_open, dsn, create=True)
        assert client  # noqa: S101 - its database was created
        return cls(client)

    @classmethod
    async def find(cls, dsn: str) -> "ClickHouse | None":
        """Open the store that the DSN names as it is; None where there is no such database, and none is created.

        Raises what `connect` raises.
        """
        client = await asyncio.to_thread(_open, dsn, create=False)
        return cls(client) if client else None

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        return await self._run(lambda: list(self._client.query(sql, parameters=dict(parameters or {})).result_rows))

    async def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> None:
        await self._run(lambda: self._client.command(sql, parameters=dict(parameters or {})))

    async def insert(self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> None:
        """Insert columns of equal length as one block; the settings may hold its deduplication token."""
        await self._run(lambda: self._insert(table, columns, settings))

    def _insert(self, table: str, columns: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> None:
        if table not in self._types:  # else the driver would ask before every insert
            described = self._client.query(f"DESCRIBE TABLE {table}").result_rows
            self._types[table] = {row[0]: row[1] for row in described}
        values = list(columns.values())
        try:
            self._client.insert(
                table,
                values,
                column_names=list(columns),
                column_type_names=[self._types[table][name] for name in columns],
                column_oriented=True,
                settings=dict(settings),
            )
        finally:
            # The driver's context of an insert keeps its data and refers to itself: minutes of batches would stay,
            # until the garbage collector looks at everything.
            values.clear()

    async def close(self) -> None:
        """Close the connection; a statement that hangs is given up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._run(self._client.close)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except ClickHouseError as error:
            raise translate(error) from error
        except OSError as error:  # chDB's inserts go through a file in the system's folder for temporary ones
            raise StoreError(f"ClickHouse cannot be reached: {error}") from error


class LazyStore:
    """A store that is opened when it is first asked, so that what does not need it works without it."""

    def __init__(self, connect: Callable[[], Awaitable[ClickHouse]]) -> None:
        self._connect = connect
        self._store: ClickHouse | None = None
        self._opening = asyncio.Lock()

    async def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Row]:
        async with self._opening:
            self._store = self._store or await self._connect()
        return await self._store.query(sql, parameters)

    async def close(self) -> None:
        if self._store:
            await self._store.close()


def format_time(ms: int) -> str:
    """Milliseconds since 1970 UTC as a DateTime64(3, 'UTC') parameter."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def translate(error: ClickHouseError) -> StoreError:
    """The driver's error as ours: one line, and whether to try again."""
    line = _line(error)
    code = getattr(error, "code", None)
    if code is None:  # not ClickHouse's answer: the driver's own, or one of a proxy on the way
        wrong = isinstance(error, (ProgrammingError, DataError, NotSupportedError))
        return StoreError(f"ClickHouse {'was asked wrongly' if wrong else 'does not answer'}: {line}", retry=not wrong)
    return StoreError(f"ClickHouse: {line}{_HINTS.get(code, '')}", retry=code not in _FINAL)


def _line(error: ClickHouseError) -> str:
    """What it says; of a server that cannot be reached, why: the driver says an address with all settings then."""
    said: BaseException = error
    while cause := said.__cause__ or said.__context__:
        if isinstance(cause, OSError):
            return described(cause)
        said = cause
    return without_data(str(error))[:500]


def _open(dsn: str, *, create: bool) -> Client | None:
    parts = urlsplit(dsn)
    if parts.scheme == "chdb":
        if not parts.path.startswith("/") or parts.netloc:
            raise SetupError(
                f"TRUYCAP_CLICKHOUSE_DSN={redacted(dsn)}: for chDB write chdb:///folder, with three slashes."
            )
        database = parse_qs(parts.query).get("database", [DATABASE])[-1]
        # Backups may lie wherever this process may write: what a server's path keeps apart are its users.
        allowed = {"backups.allowed_path": "/"}
        options: dict[str, Any] = {"interface": "chdb", "path": parts.path, "chdb_options": allowed}
        if not create and _unused(Path(parts.path)):
            return None
        _check_folder(Path(parts.path))
    elif parts.scheme in {"http", "https"}:
        database = parts.path.strip("/") or DATABASE
        server = urlunsplit((parts.scheme, parts.netloc, "", parts.query, ""))
        # The driver must not repeat an insert or a DDL on its own: the counter repeats, with the token.
        options = {
            "dsn": server,
            "autogenerate_session_id": False,
            "query_retries": 0,
            "send_receive_timeout": _HANGS_SECONDS,
        }
    else:
        raise SetupError(
            f"TRUYCAP_CLICKHOUSE_DSN={redacted(dsn)}: write http://user:password@host:8123/database or chdb:///folder."
        )
    try:
        client = clickhouse_connect.get_client(**options)
        if create:
            client.command(f"CREATE DATABASE IF NOT EXISTS `{database}`")
        elif not client.command(f"EXISTS DATABASE `{database}`"):
            client.close()
            return None
        client.database = database
    except ImportError:
        raise SetupError(
            f"TRUYCAP_CLICKHOUSE_DSN={redacted(dsn)}: chDB is not installed here (the container image has none). "
            "Name a ClickHouse server, http://user@host:8123/database."
        ) from None
    except ClickHouseError as error:
        said, line = translate(error), _line(error)
        unanswered = getattr(error, "code", None) is None
        if parts.scheme == "chdb" and unanswered:  # the engine did not start
            raise SetupError(
                f"chDB cannot open {parts.path}; is it chDB's, and has no other process it? {line}"
            ) from None
        if not (unanswered and said.retry):
            raise said from error
        raise StoreError(
            f"No ClickHouse answers at {redacted(dsn)}. Start one there or set TRUYCAP_CLICKHOUSE_DSN. ({line})"
        ) from None
    return client


def _unused(folder: Path) -> bool:
    """Whether chDB has never had the folder: it would fill it at once."""
    return not folder.is_dir() or not any(folder.iterdir())


def _check_folder(folder: Path) -> None:
    """SetupError where chDB cannot have the folder, before chDB itself says so in many lines."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"truycap")
        with (folder / "status").open("rb") as status:  # chDB locks it and writes `PID: 123` into it
            try:
                fcntl.flock(status, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                found = re.search(rb"PID: (\d+)", status.read())
                holder = found[1].decode() if found else "unknown"
                if holder != str(os.getpid()):  # one process may open it many times
                    raise SetupError(
                        f"The chDB folder {folder} is in use by process {holder}, and only one can have it. "
                        "Stop that one, or name another folder in TRUYCAP_CLICKHOUSE_DSN."
                    ) from None
    except FileNotFoundError:
        pass  # nobody has opened it yet
    except OSError as error:
        raise SetupError(
            f"The chDB folder {folder} cannot be used ({error.strerror}). Mend that, or choose another folder."
        ) from None
