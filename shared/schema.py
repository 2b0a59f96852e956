"""The schema of the store: numbered .sql files, applied in order, each once.

A migration only adds: the version of truycap before it goes on counting while an upgrade is under way, and inserts by
the names of the columns that it knows.
"""

import re
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

from shared.clickhouse import Queries, Statements
from shared.errors import SetupError

_HISTORY = """
CREATE TABLE IF NOT EXISTS migrations (version UInt32, name String, applied DateTime('UTC') DEFAULT now())
ENGINE = MergeTree ORDER BY version"""
_STORE = """
CREATE TABLE IF NOT EXISTS store (name String, value String) ENGINE = MergeTree ORDER BY name"""


class Migration(NamedTuple):
    version: int
    name: str
    statements: tuple[str, ...]


def migrations() -> list[Migration]:
    """All migrations that this program knows, oldest first."""
    return sorted(_load())


def _load() -> Iterator[Migration]:
    for file in resources.files("shared").joinpath("migrations").iterdir():
        if match := re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name):
            sql = re.sub(r"^\s*--.*$", "", file.read_text("utf-8"), flags=re.MULTILINE)
            yield Migration(int(match[1]), match[2], tuple(part.strip() for part in sql.split(";") if part.strip()))


async def pending(store: Queries, shards: int) -> list[Migration]:
    """The migrations that the store lacks; nothing is changed.

    SetupError where the store is newer than this program, or was created with another number of shards.
    """
    applied = await _applied(store)
    known = migrations()
    if newer := applied - {migration.version for migration in known}:
        raise SetupError(
            f"The store has schema {max(newer)}, made by a newer truycap; this one knows {known[-1].version}. "
            "Nothing was changed. Install the newer version."
        )
    if (created := await _shards(store)) not in {None, shards}:
        raise SetupError(
            f"This store was created with TRUYCAP_SHARDS={created}, not {shards}. Set it to {created}: "
            "a site's events stay on the shard where they began."
        )
    return [migration for migration in known if migration.version not in applied]


async def _shards(store: Queries) -> int | None:
    """How many shards the store was created with, None where that is not written down yet."""
    if not (await store.query("EXISTS TABLE store"))[0][0]:
        return None
    rows = await store.query("SELECT value FROM store WHERE name = 'shards'")
    return int(rows[0][0]) if rows else None


async def _applied(store: Queries) -> set[int]:
    if not (await store.query("EXISTS TABLE migrations"))[0][0]:
        return set()
    return {int(row[0]) for row in await store.query("SELECT version FROM migrations")}


def newest_version() -> int:
    """The newest schema that this program knows."""
    return max(migration.version for migration in migrations())


async def schema_version(store: Queries) -> int:
    """The store's schema; 0 where it has none."""
    return max(await _applied(store), default=0)


async def check_migrated(store: Queries) -> None:
    """SetupError where `truycap migrate` must be run first. A newer store may do: an upgrade goes on."""
    if missing := {migration.version for migration in migrations()} - await _applied(store):
        raise SetupError(f"The store lacks schema {max(missing)}. Run `truycap migrate` first.")


async def migrate(
    store: Statements, shards: int, begin: Callable[[Migration, int], None] = lambda *_: None
) -> list[Migration]:
    """Apply what is missing and say what it was; idempotent, also after a migration that was cut off.

    begin: called before each statement, with its number from 1. SetupError as `pending`, before anything is changed.
    """
    missing = await pending(store, shards)
    await store.command(_HISTORY)
    for migration in missing:
        for number, statement in enumerate(migration.statements, 1):
            begin(migration, number)
            await store.command(_repeatable(statement))
        await store.command(
            "INSERT INTO migrations (version, name) VALUES ({version:UInt32}, {name:String})",
            {"version": migration.version, "name": migration.name},
        )
    await store.command(_STORE)
    if await _shards(store) is None:
        await store.command("INSERT INTO store VALUES ('shards', {shards:String})", {"shards": str(shards)})
    return missing


def _repeatable(statement: str) -> str:
    return re.sub(r"^(CREATE (?:TABLE|VIEW|MATERIALIZED VIEW)) (?!IF NOT EXISTS)", r"\1 IF NOT EXISTS ", statement)
