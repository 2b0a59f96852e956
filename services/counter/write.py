"""The batch's INSERT into ClickHouse: one, with a token that makes its repetition harmless."""

from collections.abc import Sequence
from importlib import resources

from services.counter.batch import Batch, Position
from services.counter.enrich import Arrival
from services.counter.rows import Row
from services.counter.store import PatientStore
from shared.clickhouse import format_time

_WRITTEN = resources.files("services.counter").joinpath("queries/written.sql").read_text("utf-8")


def insert_settings(token: str) -> dict[str, object]:
    """What makes an insert happen once, in the table and in every roll-up behind it.

    A repeated token is dropped by the events table and, with the second setting, by the target of every view. The
    batch is large already, so ClickHouse must not gather it with others (async_insert).
    """
    return {
        "insert_deduplication_token": token,
        "deduplicate_blocks_in_dependent_materialized_views": 1,
        "async_insert": 0,
    }


async def write(store: PatientStore, batch: Batch, rows: Sequence[Row]) -> None:
    """Insert the batch's rows; returns when they are stored."""
    if rows:
        columns = dict(zip(Row._fields, zip(*rows, strict=True), strict=True))
        await store.insert("events", columns, insert_settings(batch.token))


async def written(store: PatientStore, batch: Batch, arrivals: Sequence[Arrival]) -> dict[Position, Row]:
    """The rows of the batch that an earlier attempt has stored, by position.

    They stay as they are: what a take-over computes may differ (another version, a changed time zone), and only what
    is stored is counted.
    """
    if not arrivals:
        return {}
    times = [event.time for _, event, _ in arrivals]
    first, last = batch.entries[0].id, batch.entries[-1].id
    parameters = {
        "shard": batch.shard,
        "sites": sorted({event.site for _, event, _ in arrivals}),
        "from": format_time(min(times)),
        "to": format_time(max(times)),
        "first_ms": first.ms,
        "first_seq": first.seq,
        "last_ms": last.ms,
        "last_seq": last.seq,
    }
    entries = {entry.id for entry in batch.entries}
    rows = [Row(*values) for values in await store.query(_WRITTEN, parameters)]
    return {row.position: row for row in rows if row.position.entry in entries}
