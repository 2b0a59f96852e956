"""The INSERT of a batch that is taken over: an earlier attempt may have stored none of it, all of it, or other rows.

What an earlier attempt stored stays as it is, for what is computed anew may differ (another version, another
configuration, another memory of recent ids). In the end what stands in the store is what is counted.
"""

from redis.asyncio import Redis

from services.counter.batch import Batch, Position
from services.counter.enrich import DeadLetter, Outcome
from services.counter.rows import Row
from services.counter.store import Guard, PatientStore
from services.counter.write import DEDUPLICATION_WINDOW, blocks_since, write, written
from shared.events import StreamEvent
from shared.streams import EntryId, delivery_key, encode_entry


async def write_taken_over(redis: "Redis", store: PatientStore, batch: Batch, outcome: Outcome, guard: Guard) -> None:
    """Store what is missing, then let the outcome say what is stored.

    Where the token is still known, all rows are sent under it: ClickHouse drops them from every table that has them,
    and so fills the roll-ups of an insert that was cut off between the table and them. Where it may be forgotten only
    the missing rows are sent, under another token. Then the roll-ups of an insert that was cut off stay as they are:
    `truycap verify` shows that and `truycap rebuild --store` mends it.
    """
    found = await written(store, batch)
    outcome.keep(found)
    if found and await _forgotten(redis, store, batch):
        missing = [row for row in outcome.rows if row.position not in found]
        await write(store, f"{batch.token}:missing", missing, guard)
    else:
        await write(store, batch.token, outcome.rows, guard)
    _settle(batch, outcome, await written(store, batch))


async def _forgotten(redis: "Redis", store: PatientStore, batch: Batch) -> bool:
    """Whether some table may no longer know the token of the batch, of which rows are stored."""
    mended = await redis.hget(delivery_key(batch.shard), "mended")
    if mended and batch.entries[0].id <= EntryId.parse(mended):
        return True  # the roll-ups that were made again know no tokens, and the blocks have other numbers
    return await blocks_since(store, batch) >= DEDUPLICATION_WINDOW


def _settle(batch: Batch, outcome: Outcome, stored: dict[Position, Row]) -> None:
    """Count what is stored and nothing else.

    ClickHouse drops a known token whatever its rows are. A row that was dropped so becomes a dead letter: it is not
    lost, and not counted before it is stored.
    """
    dropped = {row.position for row in outcome.rows} - stored.keys()
    outcome.keep(stored)
    outcome.rows = [row for row in outcome.rows if row.position in stored]
    outcome.dead += [
        DeadLetter(position, "not_stored", encode_entry([event]))
        for position, event in batch.events
        if position in dropped and isinstance(event, StreamEvent)
    ]
