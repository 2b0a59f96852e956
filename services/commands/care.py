"""`truycap verify` and `truycap rebuild` on the terminal."""

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.counter.lease import FencedError
from services.counter.rebuild import Rebuilder
from services.counter.verify import verify
from services.stores import Stores
from shared.clock import wall_clock_ms
from shared.errors import SetupError

_MOST_LINES = 50


async def run_verify(stores: Stores, console: Console) -> bool:
    """Say what every check found; whether all is as it must be."""
    differences: list[str] = []
    with Progress(SpinnerColumn(), TextColumn("Checking ..."), console=console, transient=True) as progress:
        progress.add_task("")
        async for finding in verify(stores.redis, stores.store, stores.sites, stores.settings.shards):
            progress.console.print(f"{'ok       ' if not finding.differences else 'DIFFERENT'}  {finding.check}")
            differences += finding.differences
    for line in differences[:_MOST_LINES]:
        console.print(f"  {line}")
    if len(differences) > _MOST_LINES:
        console.print(f"  ... and {len(differences) - _MOST_LINES} more")
    if differences:
        found = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
        console.print(f"{found}. `truycap rebuild` makes the read model again from the events; it mends nothing else.")
    return not differences


async def run_rebuild(stores: Stores, console: Console) -> None:
    """Make the read model of every shard again."""
    rebuilder = Rebuilder(stores.redis, stores.store, stores.sites, wall_clock_ms())
    with Progress(console=console) as progress:
        for shard in progress.track(range(stores.settings.shards), description="Rebuilding"):
            try:
                rebuilt = await rebuilder.rebuild(shard)
            except FencedError:
                raise SetupError("Another rebuild, or a counter, took the shard meanwhile. Run it again.") from None
            progress.console.print(f"shard {shard}: {rebuilt.fields:,} numbers from {rebuilt.rows:,} rows")
            if rebuilt.correction > 0:
                progress.console.print(f"shard {shard}: Redis had forgotten {rebuilt.correction:,} events")
            if rebuilt.correction < 0:
                progress.console.print(f"shard {shard}: ClickHouse lacks {-rebuilt.correction:,} counted events")
