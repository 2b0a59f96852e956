"""A backup as ClickHouse writes and reads it, and what truycap has in it: the tables, Redis's keys, a manifest.

BACKUP and RESTORE run in the background and are watched, for the driver gives up a server that is silent. In a backup
the database has always the same name, so that it can be restored under any.
"""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec

from shared.clickhouse import Statements
from shared.errors import SetupError, StoreError

FORMAT = 1
"""The version of what this module describes."""
NAME = "truycap"
"""The database's name in a backup."""
MANIFEST = "backup_manifest"
REDIS = "backup_redis"
TABLES = {
    MANIFEST: "(manifest String) ENGINE = MergeTree ORDER BY tuple()",
    # A key's value as DUMP gives it, in pieces; pttl: in ms, 0 for none.
    REDIS: "(number UInt64, shard UInt16, key String, pttl UInt64, piece String CODEC(ZSTD(1)))"
    " ENGINE = MergeTree ORDER BY number",
}
"""What a backup has beside the store's own tables."""

Report = Callable[[str, int, int], None]
"""Told how far a step has come: its name, done, of how much; 0 of 0 where that is not known."""

_POLL_SECONDS = 0.1
_PACKED = frozenset({".zip", ".zipx", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".lzma", ".zst", ".tzst"})
_EXPRESSION = re.compile(r"\w+\s*\(")
# ClickHouse's names of errors, and what they mean here.
_EXPLAINED = {
    "(BACKUP_ALREADY_EXISTS)": "A backup lies at {} already, and none is ever written over. Name another destination.",
    "(BACKUP_NOT_FOUND)": "There is no backup at {}.",
    "(BACKUP_ENTRY_NOT_FOUND)": "What lies at {} is no backup of truycap.",
    "backups.allowed_path": "ClickHouse may not use {}: set backups.allowed_path in its configuration to a folder that"
    " it can write to, and name a path in that.",
    "backups.allowed_disk": "ClickHouse may not use {}: name the disk in backups.allowed_disk of its configuration.",
}


class Point(msgspec.Struct, frozen=True):
    """A shard at the moment of a backup: its numbers of events, its epoch, the last entry of its stream so far."""

    accepted: int
    counted: int
    epoch: int
    last: str


class Manifest(msgspec.Struct, frozen=True):
    """What a backup says of itself. schema, truycap, redis: the versions that made it; made_at: ISO 8601, UTC."""

    format: int
    truycap: str
    schema: int
    redis: str
    made_at: str
    tables: list[str]
    shards: list[Point]


class Archive:
    """One backup. place: as somebody named it; report: told of its progress."""

    def __init__(self, store: Statements, place: str, report: Report, *, own_files: bool) -> None:
        self._store = store
        self._place = place
        self._report = report
        self._own_files = own_files
        self._engine = engine(place, own_files=own_files)

    async def write(self, what: str) -> None:
        """BACKUP what to it. SetupError where it cannot lie there, StoreError where it failed."""
        await self._run("Writing", f"BACKUP {what} TO {self._engine}")

    def prepare(self, data: Path) -> None:
        """Make the folder of a new backup, before anything is done for it. SetupError where it cannot lie there.

        data: chDB's own folder, where the store is this machine's.
        """
        if self._own_files and not _EXPRESSION.match(self._place):
            _make_new(self._place, data)

    async def read(self, what: str) -> None:
        """RESTORE what from it."""
        await self._run("Reading", f"RESTORE {what} FROM {self._engine}")

    async def _run(self, step: str, statement: str) -> None:
        name = f"{await _prefix(self._store)}{uuid4()}"
        try:
            await self._store.command(f"{statement} SETTINGS id = '{name}' ASYNC")
            while await self._under_way(step, name):
                await asyncio.sleep(_POLL_SECONDS)
        except StoreError as error:
            for mark, explained in _EXPLAINED.items():
                if mark in error.message:
                    raise SetupError(explained.format(self._place)) from None
            raise

    async def _under_way(self, step: str, name: str) -> bool:
        found = await self._store.query(
            "SELECT toString(status), error, bytes_read, total_size FROM system.backups WHERE id = {id:String}",
            {"id": name},
        )
        if not found:
            raise StoreError("ClickHouse was started again meanwhile. Run the command again.")
        ((status, error, done, total),) = found
        if error or status.endswith(("FAILED", "CANCELLED")):
            line = " ".join(error.partition(", Stack trace")[0].split())
            raise StoreError(f"ClickHouse: {line or status}", retry=False)
        self._report(step, done, total if done else 0)
        return status not in {"BACKUP_CREATED", "RESTORED"}


def engine(place: str, *, own_files: bool) -> str:
    """ClickHouse's expression for a place: `S3(...)` or `Disk(...)` as it is, a path as a folder or an archive there.

    own_files: ClickHouse is this machine's (chDB); elsewhere a relative path is one in its backups.allowed_path.
    """
    if _EXPRESSION.match(place):
        return place
    path = str(Path(place).absolute()) if own_files else place
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"File('{escaped}')"


def _make_new(place: str, data: Path) -> None:
    """An empty folder for its owner alone, as the data folder is."""
    folder = Path(place).absolute()
    if not place.strip() or folder.is_relative_to(data.absolute()):
        raise SetupError(f"{place!r} is no place for a backup: name a new folder, outside of {data}.")
    if folder.suffix in _PACKED:
        raise SetupError(f"{place}: chDB writes a backup as a folder. Name one without {folder.suffix}, and pack that.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if (folder / ".backup").exists():
            raise SetupError(_EXPLAINED["(BACKUP_ALREADY_EXISTS)"].format(place))
        if any(folder.iterdir()):
            raise SetupError(f"{place} holds something already. Name a new folder.")
        folder.chmod(0o700)  # it may have been there, empty
    except OSError as error:
        raise SetupError(f"{folder} cannot be written to ({error.strerror}). Name another destination.") from None


async def none_under_way(store: Statements) -> None:
    """SetupError where a backup or restore of this database is under way, perhaps of a command that was ended."""
    ((number,),) = await store.query(
        "SELECT count() FROM system.backups WHERE startsWith(id, {prefix:String}) AND status IN"
        " ('CREATING_BACKUP', 'RESTORING')",
        {"prefix": await _prefix(store)},
    )
    if number:
        raise SetupError("ClickHouse is still busy with another backup or restore. Wait for its end (system.backups).")


async def relations(store: Statements) -> tuple[list[str], list[str]]:
    """The names of the store's tables, and of its views."""
    found = await store.query(
        "SELECT name, engine LIKE '%MergeTree' FROM system.tables WHERE database = currentDatabase() ORDER BY name"
    )
    return [name for name, table in found if table], [name for name, table in found if not table]


async def database(store: Statements) -> str:
    """The name of the store's database."""
    ((name,),) = await store.query("SELECT currentDatabase()")
    return str(name)


async def drop_database(store: Statements, name: str) -> bool:
    """Drop a database of any size; whether there was one."""
    ((found,),) = await store.query("SELECT count() FROM system.databases WHERE name = {name:String}", {"name": name})
    await store.command(f"DROP DATABASE IF EXISTS `{name}` SYNC SETTINGS max_table_size_to_drop = 0")
    return bool(found)


async def _prefix(store: Statements) -> str:
    return f"truycap:{await database(store)}:"
