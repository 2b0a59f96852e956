"""`truycap backup` and `truycap restore` on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.counter.archive import Archive, Report
from services.counter.backup import backup
from services.counter.lease import FencedError
from services.counter.restore import Restorer
from services.stores import Stores
from shared.clock import wall_clock_ms
from shared.errors import SetupError
from shared.streams import check_shards


async def run_backup(stores: Stores, console: Console, destination: str) -> None:
    """Back both stores up, and say of what."""
    await check_shards(stores.redis, stores.settings.shards)
    with _progress(console) as report:
        archive = Archive(stores.store, destination, report, own_files=stores.embedded)
        archive.prepare(Path(urlsplit(stores.settings.clickhouse_dsn).path))
        done = await backup(stores.redis, stores.store, archive, stores.settings.shards, wall_clock_ms())
    if done.left:
        console.print("Removed what an earlier backup had left when it was cut off.")
    accepted = sum(point.accepted for point in done.manifest.shards)
    counted = sum(point.counted for point in done.manifest.shards)
    console.print(
        f"{accepted:,} accepted events, {counted:,} of them counted, as of {done.manifest.made_at}. "
        f"Counting was paused for {done.paused_seconds:.1f} s."
    )


async def run_restore(stores: Stores, console: Console, source: str, *, replace: bool) -> None:
    """Let both stores be as a backup says. SetupError where they hold something that may not be replaced."""
    with _progress(console) as report:
        archive = Archive(stores.store, source, report, own_files=stores.embedded)
        restorer = Restorer(stores.redis, stores.store, archive, stores.settings.shards, report)
        present = await restorer.present()
        if any(present) and not replace:
            raise SetupError(
                f"These stores hold {present}. With --replace those are thrown away for what the backup has; events "
                "that wait to be counted are kept."
            )
        done = await restorer.restore()
    if any(present):
        console.print(f"Threw away {present}.")
    accepted = sum(point.accepted for point in done.manifest.shards)
    console.print(
        f"Restored {accepted:,} accepted events of {done.manifest.made_at}; {done.since:,} that came since are counted "
        "after them. `truycap verify` checks it."
    )


@contextmanager
def _progress(console: Console) -> Iterator[Report]:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Preparing", total=None)

        def report(step: str, done: int, total: int) -> None:
            progress.update(task, description=step, completed=done, total=total or None)

        try:
            yield report
        except FencedError:
            raise SetupError("Another command, or a counter, took a shard meanwhile. Run it again.") from None
