"""Row i: how many bytes on disk a page view takes, in the events and in the roll-ups.

python -m tests.bench.disk

A year's page views, after the merges: first as they are in their first two to three weeks, with the ids by which a
resent event is known; then settled, without these. The row's value is the settled one: what each page view takes for
ever.
"""

import asyncio
import tempfile

from rich.console import Console
from rich.table import Table

from shared.clickhouse import ClickHouse
from tests.bench.history import TABLES, History
from tests.bench.options import Measured, Options, run
from tests.bench.result import Result

ROWS = 10_000_000
LEAST, AIM = 30.0, 15.0
_DAYS = 365
_SIZES = """
SELECT table, sum(bytes_on_disk)
FROM system.parts
WHERE database = currentDatabase() AND active AND table IN {tables:Array(String)}
GROUP BY table
ORDER BY table"""
_COLUMNS = """
SELECT name, data_compressed_bytes + marks_bytes FROM system.columns
WHERE database = currentDatabase() AND table = 'events'
UNION ALL
SELECT concat('index ', name), data_compressed_bytes + marks_bytes FROM system.data_skipping_indices
WHERE database = currentDatabase() AND table = 'events'"""

Sizes = dict[str, float]
"""Bytes a page view, by table or by column of the events."""


async def measure(rows: int, console: Console) -> list[Result]:
    """The row, with a table of what takes how much."""
    with tempfile.TemporaryDirectory() as folder:
        store = await ClickHouse.connect(f"chdb://{folder}")
        try:
            history = History(store, _DAYS)
            await history.begin()
            await store.command("SYSTEM STOP TTL MERGES events")
            await history.grow(rows)
            fresh = await _sizes(history, store)
            await store.command("SYSTEM START TTL MERGES events")
            settled = await _sizes(history, store)
        finally:
            await store.close()
    console.print(_shown(history.rows, fresh, settled))
    first, later = (sum(sizes[table] for table in TABLES) for sizes in (fresh, settled))
    what = f"bytes on disk per page view at {history.rows:,} rows, settled (in the first 2 to 3 weeks {first:.1f})"
    return [Result("i", what, f"{later:.1f} B", f"{LEAST:.0f} B", later, LEAST, AIM, smaller=True)]


async def _sizes(history: History, store: ClickHouse) -> Sizes:
    await history.merge(*TABLES)
    tables = {str(table): int(size) for table, size in await store.query(_SIZES, {"tables": list(TABLES)})}
    columns = {f"events.{name}": size for name, size in await store.query(_COLUMNS)}
    return {name: size / history.rows for name, size in (tables | columns).items()}


def _shown(rows: int, fresh: Sizes, settled: Sizes) -> Table:
    table = Table("", "first weeks", "settled", title=f"bytes a page view, {rows:,} rows")
    for name, size in sorted(fresh.items(), key=lambda part: -part[1]):
        if size >= 0.005:
            table.add_row(name, f"{size:.2f}", f"{settled[name]:.2f}")
    return table


def main(_options: Options) -> Measured:
    """Row i."""
    return asyncio.run(measure(ROWS, Console())), []


if __name__ == "__main__":
    run(main, __doc__)
