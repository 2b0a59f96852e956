"""What the counter is measured against: the INSERTs of a part of a backlog, and nothing else, in a process of its own.

    python -m tests.bench.bare_insert chdb:///folder '<a Part as JSON>'

prints how many rows there were, and the seconds and CPU seconds of all INSERTs but the first. The rows are what the
counter makes of the same entries, in the same batches and with the same settings.
"""

import asyncio
import gc
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

from services.counter.ahead import LEAST_ENTRIES, MOST_ENTRIES, MOST_EVENTS
from services.counter.batch import Batch
from services.counter.enrich import enrich
from services.counter.outcome import Outcome, State, VoteKey
from services.counter.resent import RecentIds
from services.counter.sort_out import sort_out
from services.counter.write import insert_settings
from shared.clickhouse import ClickHouse
from shared.schema import migrate
from shared.streams import Entry
from tests.bench.backlog import SITES, Part


def together(part: Part) -> Iterator[list[Entry]]:
    """The entries of each batch, as ahead.py would take them."""
    some: list[Entry] = []
    events = 0
    for entry in part.entries():
        number = int(entry.fields[b"n"])
        if len(some) == MOST_ENTRIES or (len(some) >= LEAST_ENTRIES and events + number > MOST_EVENTS):
            yield some
            some, events = [], 0
        some.append(entry)
        events += number
    if some:
        yield some


def batches(part: Part) -> Iterator[tuple[str, Mapping[str, Sequence[object]]]]:
    """Token and columns of each batch."""
    recent, votes, seen = RecentIds(), dict[VoteKey, int](), defaultdict[object, dict[int, int]](dict)
    for entries in together(part):
        batch, outcome = Batch(0, entries), Outcome()
        arrivals = sort_out(batch, SITES, MappingProxyType({}), outcome)
        for key, place in arrivals.places.items():
            place.seen |= {visitor: seen[key][visitor] for visitor in place.seen.keys() & seen[key].keys()}
        recent.begin(batch, {})
        enrich(0, arrivals, State(arrivals.places, votes), recent, outcome)
        for key, place in arrivals.places.items():
            seen[key] |= place.seen
        yield batch.token, outcome.stored


async def insert(dsn: str, part: Part) -> None:
    store = await ClickHouse.connect(dsn)
    await migrate(store, 1)
    made = list(batches(part))
    gc.freeze()
    began = cpu = 0.0
    for number, (token, values) in enumerate(made):
        if number == 1:
            began, cpu = time.monotonic(), time.process_time()
        await store.insert("events", values, insert_settings(token))
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    print(sum(len(values["id"]) for _, values in made), seconds, cpu)
    await store.close()


if __name__ == "__main__":
    asyncio.run(insert(sys.argv[1], Part(*json.loads(sys.argv[2]))))
