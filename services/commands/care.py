"""`truycap verify` and `truycap rebuild` on the terminal."""

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from services.counter.lease import FencedError
from services.counter.mend import mend
from services.counter.rebuild import Rebuilder
from services.counter.verify import Mend, verify
from services.stores import Stores
from shared.clock import wall_clock_ms
from shared.errors import SetupError

_MOST_LINES = 50
_ADVICE = {
    Mend.NOTHING: "What Redis has lost no command brings back.",
    Mend.REBUILD: "`truycap rebuild` makes the read model again from the events.",
    Mend.REBUILD_STORE: "`truycap rebuild --store` drops rows that stand twice, then makes all else again.",
    Mend.RESTORE: "ClickHouse has lost events: `truycap restore` a backup. Where there is none: `truycap rebuild "
    "--accept-loss`.",
}


async def run_verify(stores: Stores, console: Console) -> bool:
    """Say what every check found; whether all is as it must be."""
    differences: list[str] = []
    mends: set[Mend] = set()
    with Progress(SpinnerColumn(), TextColumn("Checking ..."), console=console, transient=True) as progress:
        progress.add_task("")
        async for finding in verify(stores.redis, stores.store, stores.sites, stores.settings.shards):
            progress.console.print(f"{'ok       ' if not finding.differences else 'DIFFERENT'}  {finding.check}")
            differences += finding.differences
            if finding.differences:
                mends.add(finding.mend)
    for line in differences[:_MOST_LINES]:
        console.print(f"  {line}")
    if len(differences) > _MOST_LINES:
        console.print(f"  ... and {len(differences) - _MOST_LINES} more")
    if differences:
        found = "1 difference" if len(differences) == 1 else f"{len(differences)} differences"
        if Mend.NOTHING in mends and len(mends) > 1:
            console.print(_ADVICE[Mend.NOTHING])
        console.print(f"{found}. {_ADVICE[max(mends)]}")
    return not differences


async def run_rebuild(stores: Stores, console: Console, *, store: bool, accept_loss: bool) -> None:
    """Make the read model of every shard again; store: mend ClickHouse first.

    LostEventsError or DoubledRowsError, before anything is changed, where ClickHouse has lost events and that is not
    accepted, or has rows twice and is not mended first.
    """
    rebuilder = Rebuilder(stores.redis, stores.store, stores.sites, wall_clock_ms())
    await rebuilder.check(stores.settings.shards, loss=accept_loss, doubled=store)
    try:
        if store:
            await _mend_store(stores, console)
        with Progress(console=console) as progress:
            for shard in progress.track(range(stores.settings.shards), description="Rebuilding"):
                rebuilt = await rebuilder.rebuild(shard)
                progress.console.print(f"shard {shard}: {rebuilt.fields:,} numbers from {rebuilt.rows:,} rows")
                if rebuilt.correction > 0:
                    progress.console.print(f"shard {shard}: Redis had forgotten {rebuilt.correction:,} events")
                if rebuilt.correction < 0:
                    progress.console.print(f"shard {shard}: ClickHouse lacks {-rebuilt.correction:,} counted events")
    except FencedError:
        raise SetupError("Another rebuild, or a counter, took the shard meanwhile. Run it again.") from None


async def _mend_store(stores: Stores, console: Console) -> None:
    with Progress(SpinnerColumn(), TextColumn("Mending ..."), console=console, transient=True) as progress:
        progress.add_task("")
        async for mended in mend(stores.redis, stores.store, stores.settings.shards):
            said = (
                f"dropped {mended.dropped:,} rows that stood twice" if mended.dropped else "made again from the events"
            )
            progress.console.print(f"{mended.table}: {said}")
