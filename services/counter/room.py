"""How much room ClickHouse has left and takes, read now and then into metrics."""

import asyncio

from services.counter.truth import sql
from shared import log, metrics
from shared.clickhouse import Queries
from shared.errors import described

ROOM_SECONDS = 5.0

logger = log.get(__name__)


async def watch_room(store: Queries) -> None:
    """Read and set, for ever. While ClickHouse does not answer, what was read last stays."""
    outage = log.Outage(logger, "ClickHouse cannot be watched; the last numbers stay", "ClickHouse is watched again")
    while True:
        try:
            ((free, total),) = await store.query(sql("disk"))
            metrics.STORE_DISK.labels("free").set(free)
            metrics.STORE_DISK.labels("total").set(total)
            for table, rows, size in await store.query(sql("tables")):
                metrics.STORE_ROWS.labels(table).set(rows)
                metrics.STORE_BYTES.labels(table).set(size)
            metrics.STORE_ANSWERED.set_to_current_time()
        except Exception as error:  # of whatever kind: the next reading may succeed
            outage.failed(described(error))
        else:
            outage.over()
        await asyncio.sleep(ROOM_SECONDS)
