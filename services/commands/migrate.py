"""`truycap migrate`: the schema of the store."""

from rich.console import Console

from shared.clickhouse import ClickHouse
from shared.schema import migrate, pending
from shared.settings import Settings


async def run_migrate(settings: Settings, console: Console, *, dry_run: bool) -> None:
    """Create or update the schema, or only say what would be done."""
    store = await ClickHouse.connect(settings.clickhouse_dsn)
    try:
        found = await pending(store) if dry_run else await migrate(store, settings.shards)
    finally:
        await store.close()
    for migration in found:
        console.print(f"{'would apply' if dry_run else 'applied'} {migration.version:04d} {migration.name}")
    if not found:
        console.print("The schema is up to date.")
