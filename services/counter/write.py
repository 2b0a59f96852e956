"""The batch's INSERT into ClickHouse: one, with a token that lets it happen once; and what stands there."""

from importlib import resources

from services.counter.batch import Batch, Position
from services.counter.columns import Columns, Row, of_rows, rows_of
from services.counter.sort_out import OLDEST_MS
from services.counter.store import Guard, PatientStore
from shared.clickhouse import format_time
from shared.events import StreamEvent

_QUERIES = resources.files("services.counter").joinpath("queries")
_WRITTEN = _QUERIES.joinpath("written.sql").read_text("utf-8")

LATEST_MS = 4_102_444_800_000
"""2100-01-01, after any event that is stored."""


def insert_settings(token: str) -> dict[str, object]:
    """What makes an insert happen once, in the table and in every roll-up behind it.

    A repeated token is dropped by the events table and, with the second setting, by the target of every view. The
    batch is large already, so ClickHouse must not gather it with others (async_insert).
    """
    return {
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "async_insert": 0,
        "max_partitions_per_insert_block": 0,  # an imported log may span more months than ClickHouse likes
    }


async def write(store: PatientStore, token: str, values: Columns, guard: Guard) -> None:
    """Insert columns of a batch; returns when they are stored. guard: raises where the shard is no longer ours."""
    if values["id"]:
        await store.insert("events", values, insert_settings(token), guard)


async def write_once(store: PatientStore, token: str, values: Columns, guard: Guard) -> bool:
    """The same, tried only once; False where the store failed and it may be stored, or in part."""
    return not values["id"] or await store.insert_once("events", values, insert_settings(token), guard)


async def written(store: PatientStore, batch: Batch) -> dict[Position, Row]:
    """The rows of the batch that are stored, by position, in the order of the stream."""
    if not (where := where_rows(batch)):
        return {}
    entries = {entry.id for entry in batch.entries}
    columns = of_rows(await store.query(_WRITTEN, where))
    found = rows_of({**columns, "id": tuple(map(int.from_bytes, columns["id"]))})
    return {position: row for position, row in found if position.entry in entries}


def where_rows(batch: Batch) -> dict[str, object]:
    """Where in the table the rows of a batch stand, as parameters; empty where it can have none."""
    times = [event.time for _, events in batch.events for event in events if isinstance(event, StreamEvent)]
    times = [time for time in times if OLDEST_MS <= time <= LATEST_MS]  # no others are ever stored
    if not times:
        return {}
    first, last = batch.entries[0].id, batch.entries[-1].id
    return {
        "shard": batch.shard,
        "from": format_time(min(times)),
        "to": format_time(max(times)),
        "first_ms": first.ms,
        "first_seq": first.seq,
        "last_ms": last.ms,
        "last_seq": last.seq,
    }
