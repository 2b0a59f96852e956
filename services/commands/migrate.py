"""`truycap migrate`: the schema of the store."""

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from shared.clickhouse import ClickHouse
from shared.schema import Migration, migrate, migrations, pending
from shared.settings import Settings

_UP_TO_DATE = "The schema is up to date."


async def run_migrate(settings: Settings, console: Console) -> None:
    """Create or update the schema, and say what is being done: a line for each migration when it begins."""
    store = await ClickHouse.connect(settings.clickhouse_dsn)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("")

            def begin(migration: Migration, number: int) -> None:
                if number == 1:
                    console.print(f"applying {_name(migration)}")
                progress.update(task, description=f"statement {number} of {len(migration.statements)}")

            await migrate(store, settings.shards, begin)
    finally:
        await store.close()
    console.print(_UP_TO_DATE)


async def show_migrations(settings: Settings, console: Console) -> None:
    """Say which statements would be run, and change nothing: not even a database is created.

    SetupError also where the sites' file, if there is one, is broken.
    """
    if settings.config.exists():
        settings.sites()  # what is about to be started reads them: better refused here
    found = await _pending(settings)
    for migration in found:
        console.print(f"would apply {_name(migration)}")
        for statement in migration.statements:
            console.print(f"\n{statement};", markup=False)
        console.print()
    console.print("Nothing was changed." if found else _UP_TO_DATE)


async def _pending(settings: Settings) -> list[Migration]:
    store = await ClickHouse.find(settings.clickhouse_dsn)
    if not store:
        return migrations()
    try:
        return await pending(store, settings.shards)
    finally:
        await store.close()


def _name(migration: Migration) -> str:
    return f"{migration.version:04d} {migration.name}"
