"""`truycap rebuild --store`: ClickHouse itself mended. Rows that stand twice are dropped, the roll-ups made again (what
they say of months that have left by age they keep).

Meanwhile counting is paused, on all shards: what is inserted while a partition is copied would be lost when the copy
takes its place. Every place is taken at once (REPLACE PARTITION), so that who reads sees the old or the new, and a run
that is cut off leaves nothing half done but a table that the next one drops.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from redis.asyncio import Redis

from services.counter.paused import paused
from services.counter.roll_ups import filling
from services.counter.store import Guard
from services.counter.truth import ROLL_UPS, sql
from shared.clickhouse import Statements

_WHOLE = "all"
"""The partition of a table that is not partitioned."""


class Mended(NamedTuple):
    """A table that was mended. dropped: how many rows stood at a position that another row has."""

    table: str
    dropped: int


async def mend(redis: "Redis", store: Statements, shards: int) -> AsyncIterator[Mended]:
    """Mend the store of all shards; the read model is not touched. FencedError where a shard was taken from us."""
    async with paused(redis, store, shards) as pause:
        await pause.settle()
        for table in ("events", *ROLL_UPS):
            await store.command(f"DROP TABLE IF EXISTS {table}_mending SYNC")
        for partition, surplus in await store.query(sql("doubled")):
            async with _scratch(store, "events"):
                await store.command(sql("copy_once"), {"partition": partition})
                await _replace(store, "events", partition, pause.guard)
            yield Mended("events", int(surplus))
        for table in ROLL_UPS:
            async with _scratch(store, table) as scratch:
                rule, columns = await filling(store, table, "kept")
                # As ever without deduplication: a block like one before it would be dropped. One thread reads the parts
                # in their order, and so finds the latest title of an item last.
                await store.command(
                    f"INSERT INTO {scratch} ({columns}) SELECT {columns} FROM ({rule})"  # noqa: S608 - ClickHouse's own
                    " SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable', max_threads = 1"
                )
                await store.command(sql(f"keep_{table}"))
                await _replace(store, table, _WHOLE, pause.guard)
            yield Mended(table, 0)


@asynccontextmanager
async def _scratch(store: Statements, table: str) -> AsyncIterator[str]:
    """An empty table of the same structure meanwhile; no view looks at it."""
    scratch = f"{table}_mending"
    await store.command(f"CREATE TABLE {scratch} AS {table}")
    yield scratch
    await store.command(f"DROP TABLE {scratch} SYNC")


async def _replace(store: Statements, table: str, partition: str, guard: Guard) -> None:
    """Let what stands in the scratch table take the place of the partition."""
    ((filled,),) = await store.query(f"SELECT count() > 0 FROM {table}_mending")  # noqa: S608 - our own names
    # ClickHouse refuses to replace something with nothing.
    change = (
        f"REPLACE PARTITION ID '{partition}' FROM {table}_mending" if filled else f"DROP PARTITION ID '{partition}'"
    )
    await guard()
    await store.command(f"ALTER TABLE {table} {change}")
