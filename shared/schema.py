"""The schema of the store: numbered .sql files, applied in order, each once."""

import re
from collections.abc import Iterator
from importlib import resources
from typing import NamedTuple

from shared.clickhouse import Statements
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


async def pending(store: Statements) -> list[Migration]:
    """The migrations that the store lacks. SetupError where the store is newer than this program."""
    await store.command(_HISTORY)
    applied = await _applied(store)
    known = migrations()
    if newer := applied - {migration.version for migration in known}:
        raise SetupError(f"The store has schema {max(newer)}, made by a newer truycap. Install that version.")
    return [migration for migration in known if migration.version not in applied]


async def _applied(store: Statements) -> set[int]:
    if not (await store.query("EXISTS TABLE migrations"))[0][0]:
        return set()
    return {int(row[0]) for row in await store.query("SELECT version FROM migrations")}


def newest_version() -> int:
    """The newest schema that this program knows."""
    return max(migration.version for migration in migrations())


async def schema_version(store: Statements) -> int:
    """The store's schema; 0 where it has none."""
    return max(await _applied(store), default=0)


async def check_migrated(store: Statements) -> None:
    """SetupError where `truycap migrate` must be run first. A newer store may do: an upgrade goes on."""
    if missing := {migration.version for migration in migrations()} - await _applied(store):
        raise SetupError(f"The store lacks schema {max(missing)}. Run `truycap migrate` first.")


async def migrate(store: Statements, shards: int) -> list[Migration]:
    """Apply what is missing and say what it was; idempotent, also after a migration that was cut off."""
    missing = await pending(store)
    for migration in missing:
        for statement in migration.statements:
            await store.command(_repeatable(statement))
        await store.command(
            "INSERT INTO migrations (version, name) VALUES ({version:UInt32}, {name:String})",
            {"version": migration.version, "name": migration.name},
        )
    await fix_shards(store, shards)
    return missing


async def fix_shards(store: Statements, shards: int) -> None:
    """Write down how many shards the store was created with; SetupError where it was another number."""
    await store.command(_STORE)
    rows = await store.query("SELECT value FROM store WHERE name = 'shards'")
    if not rows:
        await store.command("INSERT INTO store VALUES ('shards', {shards:String})", {"shards": str(shards)})
    elif int(rows[0][0]) != shards:
        raise SetupError(
            f"This store was created with TRUYCAP_SHARDS={rows[0][0]}, not {shards}. Set it to {rows[0][0]}: "
            "a site's events stay on the shard where they began."
        )


def _repeatable(statement: str) -> str:
    return re.sub(r"^(CREATE (?:TABLE|MATERIALIZED VIEW)) (?!IF NOT EXISTS)", r"\1 IF NOT EXISTS ", statement)
