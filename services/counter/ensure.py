"""The INSERT of a batch where an earlier attempt at it may have stored none of it, all of it, or other rows.

A token alone does not make such a batch right. ClickHouse writes a token down half a millisecond before the rows are
there, in every table by itself: killed in between, it drops the repetition of what it never had. A repetition may also
be computed differently (another version, another configuration), and a token is forgotten after a while. So what stands
in the store is looked up and stays as it is, only what is missing is inserted, and the roll-ups are levelled with the
events. What the token is for: an insert of a counter that was stopped just before it sent it, and wakes up later.
"""

import asyncio

from services.counter.batch import Batch
from services.counter.columns import Columns, of_rows, rows_of, size
from services.counter.outcome import Outcome
from services.counter.roll_ups import filling
from services.counter.store import Guard, PatientStore
from services.counter.truth import ROLL_UPS, sql
from services.counter.write import where_rows, write, written
from shared.clickhouse import Queries
from shared.errors import StoreError

_SETTLE_SECONDS = 0.05
_RETRY_SECONDS = 0.5
_ATTEMPTS = 4
"""Each token can have been written down without its rows only where ClickHouse was killed at that very moment."""
_SOME_EVENTS = """(
    SELECT *
    FROM events
    WHERE site IN {sites:Array(String)} AND date IN {days:Array(Date)}
      AND (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
      AND time BETWEEN toDateTime64({first:Date}, 3, 'UTC') - INTERVAL 1 DAY
                   AND toDateTime64({last:Date}, 3, 'UTC') + INTERVAL 2 DAY
)"""
"""The events that a batch's roll-ups are levelled with: those that its sites have on its days, in months that have not
left (of those the roll-ups alone can speak, and the batch has nothing there). The days of a site begin up to 14 hours
before and after those of UTC; the table is ordered by time."""


async def ensure_written(store: PatientStore, batch: Batch, outcome: Outcome, guard: Guard) -> None:
    """Store what is missing of the batch. Then the outcome says what is stored, the roll-ups what the events say."""
    for number in range(_ATTEMPTS):
        await inserts_done(store)
        found = await written(store, batch)
        outcome.keep(found)
        missing = [row for position, row in rows_of(outcome.stored) if position not in found]
        if not missing:
            break
        # Not the same token twice: the first one may be known, and its rows not there.
        token = batch.token if number == 0 else f"{batch.token}:{number}"
        await write(store, token, of_rows(missing), guard)
    else:
        raise StoreError(
            f"ClickHouse took batch {batch.token} {_ATTEMPTS} times and does not show it. Nothing is lost: the batch "
            "waits in Redis. Look at ClickHouse's log, then start the counter again.",
            retry=False,
        )
    if size(outcome.stored):
        await _level(store, batch, outcome.stored, guard)


async def _level(store: PatientStore, batch: Batch, rows: Columns, guard: Guard) -> None:
    """Add to the roll-ups what they lack on the days of these rows, or take away what is too much.

    It reads all events that the batch's sites have on those days: the price of a death, not of a batch.
    """
    parameters = where_rows(batch) | {
        "sites": sorted(set(rows["site"])),
        "days": sorted(set(rows["date"])),
        "first": min(rows["date"]),
        "last": max(rows["date"]),
    }
    for table in ROLL_UPS:
        rule, _ = await filling(store, table, _SOME_EVENTS)
        statement = sql(f"level_{table}").replace("(RULE)", f"({rule})")
        await guard()
        while not await store.command_once(statement, parameters):
            await asyncio.sleep(_RETRY_SECONDS)
            await inserts_done(store)  # or it might be done twice
            await guard()


async def inserts_done(store: Queries) -> None:
    """Wait until no insert is under way that was under way now: one of a counter that died may go on without it."""
    running = {name for (name,) in await store.query(sql("inserting"))}
    while running:
        await asyncio.sleep(_SETTLE_SECONDS)
        running &= {name for (name,) in await store.query(sql("inserting"))}
